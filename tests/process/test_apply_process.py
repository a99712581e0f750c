"""Functions of libraries and programs are replaced in running processes, behave as replaced, and are taken back."""

import pytest
from user import PATCHED, PLAIN

from oddtoc.build.compile import compile_patch
from oddtoc.errors import BusyError, NoSiteError, PatchError, StateError, SymbolError, TargetError
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session


@pytest.mark.parametrize("mechanism", ["auto", "shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_a_library_is_patched_and_reverted(user_process, built, mechanism):
    assert user_process.ask() == PLAIN
    with Session.open(user_process.target) as session:
        plan = session.plan(built("thing", long_calls="/" in mechanism), mechanism=mechanism)
        assert user_process.ask() == PLAIN
        outcome = session.apply(plan)
        assert outcome.changed and outcome.commit_pause > 0
        assert user_process.ask() == PATCHED
        assert [status.condition for status in session.status()] == [Condition.APPLIED]
    # the record is in the process
    with Session.open(user_process.target) as session:
        (status,) = session.status()
        assert {function.name for function in status.record.functions} >= {"thing_value", "hidden"}
        assert user_process.ask() == PATCHED
        session.revert("thing")
        assert user_process.ask() == PLAIN
        with pytest.raises(StateError):
            session.revert("thing")


def test_a_function_without_toc_pointer_gets_one(user_process, built):
    with Session.open(user_process.target) as session:
        session.apply(session.plan(built("leaf")))
        assert "leaf 1004 1005" in user_process.ask()
        session.revert("leaf")
    assert user_process.ask() == PLAIN


def test_inside_and_outside_of_zlib(user_process, built):
    with Session.open(user_process.target) as session:
        session.apply(session.plan(built("adler")))
        assert user_process.ask().endswith("adler 01020304 01020304")
        session.revert("adler")
    assert user_process.ask() == PLAIN


def test_patches_of_several_libraries_at_once(user_process, built):
    with Session.open(user_process.target) as session:
        for name in ("thing", "adler", "malloc"):
            session.apply(session.plan(built(name)))
        assert user_process.ask() == PATCHED.replace("1ff104df 1ff104df", "01020304 01020304")
        for name in ("thing", "malloc", "adler"):
            session.revert(name)
        assert user_process.ask() == PLAIN
        collection = session.gc()
        assert {entry.record.name for entry in collection.free} >= {"adler", "malloc"}
        session.apply(session.plan(built("adler")))
        assert user_process.ask().endswith("adler 01020304 01020304")


def test_who_is_inside_is_waited_for(user_process, built):
    user_process.ask("wait")
    with Session.open(user_process.target) as session:
        with pytest.raises(BusyError, match="in thing_wait, at thing_wait") as caught:
            session.apply(session.plan(built("wait")), timeout=0.5)
        assert caught.value.function == "thing_wait"
        # the handler runs on top of it, and what it has interrupted still counts
        user_process.ask("signal")
        with pytest.raises(BusyError, match="in thing_wait"):
            session.apply(session.plan(built("wait")), timeout=0.5)
        assert session.status() == []
        user_process.ask("go")
        session.apply(session.plan(built("wait")))
        session.revert("wait")
    assert user_process.ask() == PLAIN


def test_a_child_is_patched_like_its_parent(user_process, built):
    with Session.open(user_process.target) as session:
        session.apply(session.plan(built("thing")))
        assert user_process.ask("fork") == PATCHED
        session.revert("thing")
        assert user_process.ask("fork") == PLAIN


def test_a_library_that_was_loaded_later(user_process, tmp_path):
    source = tmp_path / "version.c"
    source.write_text(
        "#include <oddtoc.h>\nstatic unsigned my_version(void) { return 7; }\n"
        "ODDTOC_REPLACE(liblzma.so.5, lzma_version_number, my_version);\n"
    )
    patch = compile_patch(source, tmp_path / "version.o")
    with Session.open(user_process.target) as session, pytest.raises(PatchError, match="loaded 0 times"):
        session.plan(patch)
    assert user_process.ask("load") == "loaded"
    with Session.open(user_process.target) as session:
        session.apply(session.plan(patch))
        session.revert("version")


def test_what_can_not_be_replaced_is_refused(user_process, built):
    with Session.open(user_process.target) as session:
        with pytest.raises(NoSiteError, match="IFUNC"):
            session.plan(built("chosen"))
        with pytest.raises(SymbolError):
            session.running.subject(["libthing.so.1"]).function("nothing_like_it")
        assert session.status() == []
    assert user_process.ask() == PLAIN


@pytest.mark.parametrize(("words", "mode"), [("", 1), ("mmap", 2), ("mmap refused", 2)])
def test_who_would_be_ended_for_a_system_call_is_left_alone(process_guest, built, words, mode):
    pid = process_guest.start(f"exec locked {words}")
    process_guest.run(f"until grep -qs 'Seccomp:.{mode}' /proc/{pid}/status; do sleep 0.1; done")
    with Session.open(f"{process_guest.server}#{pid}") as session, pytest.raises(TargetError, match="seccomp"):
        session.apply(session.plan(built("malloc")))
    assert process_guest.run(f"kill -0 {pid} && echo lives; kill -9 {pid}") == "lives\n"
