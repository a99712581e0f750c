"""Parameters of all kinds, libc's own functions, calls during changes, a locked loader: nothing of it goes wrong."""

import pytest

from oddtoc.build.compile import compile_patch
from oddtoc.live.session import Session

PLAIN = "650 1240.00 1015,1120,1225,1330 598.00 60.00 1226561 20,30,50,-10,600 0.25,3.00,0.75 11,30 2 answers 3 2"
PATCHED = (
    "1650 2240.00 2015,2120,2225,2330 1598.00 1060.00 1227561 20,30,50,-10,1600 0.25,3.00,1000.75 11,1030 2 answers 3 2"
)
MECHANISMS = ("shared-toc", "guarded/slot", "odd-toc/cr4")


def pace(folder, kind):
    """A patch that makes pace() give 10 more for each kind."""
    source = folder / f"pace{kind}.c"
    source.write_text(
        "#include <oddtoc.h>\nstatic long calls;\n"
        f"static long my_pace(long value) {{ calls++; return value + 1 + {10 * kind}; }}\n"
        "ODDTOC_REPLACE(libstrained.so.1, pace, my_pace);\n"
    )
    return compile_patch(source, folder / f"pace{kind}.o", long_calls=True)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_parameters_of_all_kinds_arrive(strained, built, mechanism):
    assert strained.ask() == PLAIN
    with Session.open(strained.target) as session:
        session.apply(session.plan(built("parameters", long_calls="/" in mechanism), mechanism=mechanism))
        assert strained.ask() == PATCHED
        session.revert("parameters")
    assert strained.ask() == PLAIN


def test_no_call_is_torn_while_it_is_patched_again_and_again(strained, tmp_path):
    patches = [pace(tmp_path, kind) for kind in (1, 2, 3)]
    strained.ask("call")
    with Session.open(strained.target) as session:
        for turn in range(2):
            # on top of each other, and in another order the next time
            for patch, mechanism in zip(patches, MECHANISMS[turn:] + MECHANISMS[:turn], strict=True):
                session.apply(session.plan(patch, mechanism=mechanism))
            for patch in patches[turn:] + patches[:turn]:
                session.revert(patch.name)
    calls, wrong, *kinds = map(int, strained.ask("stop").split())
    assert wrong == 0
    assert calls == sum(kinds)
    assert all(kinds)


def test_functions_that_a_patcher_would_call_are_patched(strained, built):
    with Session.open(strained.target) as session:
        session.apply(session.plan(built("libc")))
        assert strained.ask("map") == "no"
        # another library: room for its payload is mapped
        session.apply(session.plan(built("parameters")))
        assert strained.ask() == PATCHED
        session.revert("libc")
        assert strained.ask("map") == "yes"
        session.revert("parameters")
    assert strained.ask() == PLAIN


def test_the_loaders_lock_is_in_nobodys_way(process_guest, strained, built):
    def waits():
        process_guest.run(
            f"until grep -qs 'pipe_\\|fifo\\|wait_for_partner' /proc/{strained.pid}/task/*/wchan; do sleep 0.1; done"
        )

    process_guest.run("rm -f /tmp/slow; mkfifo /tmp/slow")
    strained.ask("load")
    for state in ("loading", "unloading"):
        process_guest.run(f"until grep -qs {state} /tmp/user; do sleep 0.1; done")
        with Session.open(strained.target) as session:
            for name in ("parameters", "malloc"):
                session.apply(session.plan(built(name)))
            assert strained.ask() == PATCHED
            for name in ("parameters", "malloc"):
                session.revert(name)
        process_guest.run("echo > /tmp/slow")
    assert strained.ask("loaded") == "loaded"
    assert strained.ask() == PLAIN
