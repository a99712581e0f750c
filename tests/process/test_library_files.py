"""Libraries whose files were replaced since they were loaded, debug files of others, and functions in versions."""

import pytest
from user import PATCHED, PLAIN, User

from oddtoc.build.compile import compile_patch
from oddtoc.errors import MismatchError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.live.session import Session

UPGRADE = (
    "rm -rf /tmp/old; mkdir /tmp/old; cp /lib/libthing.so.1 /bin/user /tmp/old; "
    "echo '#!/bin/sh' > /tmp/old/start; echo 'LD_PRELOAD=/tmp/old/libthing.so.1 exec /tmp/old/user' >> /tmp/old/start; "
    "chmod +x /tmp/old/start"
)


@pytest.fixture
def upgraded(process_guest):
    """A process whose program and library have been replaced by others of the same names since it was started."""
    process_guest.run(UPGRADE)
    user = User(process_guest, "/tmp/old/start")
    process_guest.run("cp /lib/powerpc64le-linux-gnu/libz.so.1 /tmp/new; mv /tmp/new /tmp/old/libthing.so.1")
    process_guest.run("cp /bin/busy /tmp/new; mv /tmp/new /tmp/old/user")
    yield user
    process_guest.run(f"kill -9 {user.pid}")


def test_what_was_loaded_is_patched_when_its_file_has_been_replaced(process_guest, upgraded, built):
    assert "libthing.so.1 (deleted)" in process_guest.run(f"cat /proc/{upgraded.pid}/maps")
    assert upgraded.ask() == PLAIN
    with Session.open(upgraded.target) as session:
        session.apply(session.plan(built("thing")))
        assert upgraded.ask() == PATCHED
        session.revert("thing")
    process_guest.put(built("thing").path, "/tmp/thing.o")
    assert "stood still for" in process_guest.oddtoc(f"apply /tmp/thing.o --target pid:{upgraded.pid}")
    assert upgraded.ask() == PATCHED


def test_a_debug_file_of_something_else_is_refused(
    process_guest, user_process, user, debian_files, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = Image.open(user["lib/libthing.so.1"])
    other = Image.open(debian_files["lib/powerpc64le-linux-gnu/libz.so.1"])
    identity = library.build_id.hex()
    place = f"/usr/lib/debug/.build-id/{identity[:2]}/{identity[2:]}.debug"
    process_guest.run(f"mv {place} /tmp/right.debug; cp /lib/powerpc64le-linux-gnu/libz.so.1 {place}")
    with Session.open(user_process.target) as session, pytest.raises(MismatchError, match=identity) as caught:
        session.running.subject(["libthing.so.1"])
    assert other.build_id.hex() in caught.value.message
    process_guest.run(f"mv /tmp/right.debug {place}")


def test_the_default_version_is_meant_and_others_can_be_named(strained, tmp_path):
    def patch(version):
        source = tmp_path / "version.c"
        source.write_text(
            "#include <oddtoc.h>\nstatic long my_answer(long value) { return value + 99; }\n"
            f'ODDTOC_REPLACE_IN(libstrained.so.1, "{version}", answer, my_answer);\n'
        )
        return compile_patch(source, tmp_path / "version.o")

    with Session.open(strained.target) as session:
        for version, says in (("", "100 2"), ("STRAINED_2", "100 2"), ("STRAINED_1", "3 100")):
            session.apply(session.plan(patch(version)))
            assert strained.ask().endswith(f"answers {says}")
            session.revert("version")
        with pytest.raises(SymbolError, match="no answer is at or in STRAINED_3") as caught:
            session.plan(patch("STRAINED_3"))
        assert "(STRAINED_1); " in caught.value.advice
        assert "(STRAINED_2, the default)" in caught.value.advice


def test_what_a_patch_calls_is_the_default_version_too(strained, tmp_path):
    source = tmp_path / "tell.c"
    source.write_text(
        "#include <oddtoc.h>\nlong answer(long value);\n"
        "static long my_tell(long value) { return 1000 * answer(value); }\nODDTOC_REPLACE(strain, tell, my_tell);\n"
    )
    patch = compile_patch(source, tmp_path / "tell.o")
    with Session.open(strained.target) as session:
        for which, says in (({}, "3000 2"), ({"answer": "STRAINED_1"}, "2000 2")):
            session.apply(session.plan(patch, which=which))
            assert strained.ask().endswith(f"answers {says}")
            session.revert("tell")
