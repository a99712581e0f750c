"""Patches of a process that has no free memory within a branch: calls go by islands behind the text of the object."""

import pytest
from test_cost_process import cost, stepped
from test_strain import PLAIN as UNSTRAINED
from test_strain import pace
from test_unwinding import CANCELLED
from test_unwinding import PATCHED as CAUGHT
from test_unwinding import PLAIN as UNCAUGHT
from user import PATCHED, PLAIN, User

from oddtoc.errors import ChangedError, RoomError
from oddtoc.isa import BRANCH_REACH
from oddtoc.link.stubs import ISLAND_SIZE
from oddtoc.live.parts import rehearse
from oddtoc.live.session import Session
from oddtoc.report.patches import plan_text, status_text
from oddtoc.trace.tracer import Tracer

THREE = ("shared-toc", "guarded/slot", "odd-toc/cr4")
CARRIED = (*THREE, "odd-toc/slot", "return-site/cr4", "return-site/slot", "guarded/cr4")
"""What a process lets be used: frame and heuristic need what is known of no function there."""
STEPS = ISLAND_SIZE // 4
BOTH = "value 1100 1200 sum 1055 inside 4948 leaf 1004 -5 "
"""With thing_leaf giving 1000 more: the other patch calls it, too."""


def crowd(user):
    """Have a program leave no free memory within 64 MiB of its libraries, nor of itself."""
    assert user.ask("fill") == "filled"
    return user


def code(session, *names):
    """All that is mapped executable of some objects, with what is behind their text."""
    mappings = [m for name in names for m in session.running.code_mappings(session.running.subject([name]).start)]
    return session.target.read_many([(m.span.start, m.span.size) for m in mappings])


@pytest.mark.parametrize("mechanism", THREE)
def test_calls_of_all_kinds_go_by_islands_and_all_is_as_before(user_process, built, mechanism):
    user = crowd(user_process)
    with Session.open(user.target) as session:
        assert user.ask() == PLAIN
        before = code(session, "libthing.so.1", "libc.so.6")
        session.apply(session.plan(built("thing", long_calls="/" in mechanism), mechanism=mechanism))
        assert user.ask() == PATCHED
        functions = session.status()[0].record.functions
        assert {one.name for one in functions} >= {"thing_value", "thing_sum", "hidden", "_dl_find_object"}
        for one in functions:
            assert abs(one.island - one.behind) < BRANCH_REACH < abs(one.target - one.behind)
    with Session.open(user.target) as session:
        session.revert("thing")
        assert user.ask() == PLAIN
        # who is in an island goes on in it
        assert code(session, "libthing.so.1", "libc.so.6") != before
        assert [entry.record.name for entry in session.gc().free] == ["thing"]
        assert code(session, "libthing.so.1", "libc.so.6") == before
        assert user.ask() == PLAIN


@pytest.mark.parametrize("mechanism", CARRIED)
def test_every_mechanism_finds_at_its_trampoline_what_it_needs(strained, tmp_path, mechanism):
    user, patch = crowd(strained), pace(tmp_path, 1)
    with Session.open(user.target) as session:
        assert user.ask() == UNSTRAINED
        session.apply(session.plan(patch, mechanism=mechanism))
        # from outside and from inside, which would be told apart
        assert user.ask() == UNSTRAINED.replace(" 2 answers", " 12 answers")
        session.revert(patch.name)
        assert user.ask() == UNSTRAINED


def test_ptrace_writes_them_as_well(process_guest, user_process, built):
    user = crowd(user_process)
    process_guest.put(built("thing").path, "/tmp/thing.o")
    target = f"--target pid:{user.pid}"
    assert "stood still for" in process_guest.oddtoc(f"apply /tmp/thing.o {target}")
    assert user.ask() == PATCHED
    shown = process_guest.oddtoc(f"status {target}")
    assert "thing: applied" in shown and shown.count("(island)") == len(built("thing").replacements)
    assert "reverted thing" in process_guest.oddtoc(f"revert thing {target}")
    assert "gave back" in process_guest.oddtoc(f"gc {target}")
    assert user.ask() == PLAIN


def test_a_function_without_toc_pointer_is_reached_too(user_process, built):
    user = crowd(user_process)
    with Session.open(user.target) as session:
        session.apply(session.plan(built("leaf")))
        assert "leaf 1004 1005" in user.ask()
        session.revert("leaf")
    assert user.ask() == PLAIN


@pytest.mark.parametrize("mechanism", THREE)
def test_exceptions_and_cancellation_pass_through(catching_process, built, mechanism):
    user = crowd(catching_process)
    with Session.open(user.target) as session:
        session.apply(session.plan(built("middle", long_calls="/" in mechanism), mechanism=mechanism))
        assert user.ask() == CAUGHT
        assert user.ask("cancel") == CANCELLED
        session.revert("middle")
        assert user.ask() == UNCAUGHT


def test_two_patches_of_one_library_have_islands_of_their_own(user_process, built):
    user = crowd(user_process)
    with Session.open(user.target) as session:
        before = code(session, "libthing.so.1", "libc.so.6")
        for name in ("thing", "leaf"):
            session.apply(session.plan(built(name)))
        assert user.ask().startswith(BOTH)
        spans = [span for status in session.status() for span in status.record.spans.values()]
        assert all(one.end <= other.start for one, other in zip(sorted(spans), sorted(spans)[1:], strict=False))
        session.revert("thing")
        assert "leaf 1004 1005" in user.ask()
        assert [entry.record.name for entry in session.gc().free] == ["thing"]
        # in the place that was given back, with the other one still in force
        session.apply(session.plan(built("thing")))
        assert user.ask().startswith(BOTH)
        for name in ("leaf", "thing"):
            session.revert(name)
        session.gc()
        assert code(session, "libthing.so.1", "libc.so.6") == before
    assert user.ask() == PLAIN


def test_without_room_for_an_island_it_is_refused(user_process, built):
    user = crowd(user_process)
    with Session.open(user.target) as session:
        library = session.running.subject(["libthing.so.1"])
        (room,) = library.padding
        session.target.write_many([(room.start + ISLAND_SIZE, b"\1" * (room.size - ISLAND_SIZE))])
        with pytest.raises(
            RoomError, match=r"no memory is free within a branch of .*no \d+ bytes for islands"
        ) as caught:
            session.plan(built("thing"))
        function = library.function(caught.value.function)
        assert function.address <= caught.value.address < function.address + function.size
        assert "oddtoc gc" in caught.value.advice
        # one fits, and is refused where somebody has come meanwhile
        plan = session.plan(built("wait"))
        session.target.write_many([(room.start + 8, b"\1")])
        with pytest.raises(ChangedError, match="not zero"):
            session.apply(plan)
        session.target.write_many([(room.start + 8, b"\0")])
        session.apply(session.plan(built("wait")))
        session.revert("wait")
    assert user.ask() == PLAIN


def test_a_trace_says_that_it_has_no_islands(user_process):
    user = crowd(user_process)
    with Session.open(user.target) as session:
        with pytest.raises(RoomError, match="within a branch of thing_leaf, and traces have no islands"):
            Tracer(session, ["libthing.so.1:thing_leaf"])
        assert user.ask() == PLAIN


def test_islands_are_told(user_process, built):
    user = crowd(user_process)
    with Session.open(user.target) as session:
        rehearsal = rehearse(session, built("leaf"))
        (function,) = rehearsal.plans[0].record.replaced
        assert f"islands, {ISLAND_SIZE} bytes\n    {function.island:#x}  " in plan_text(rehearsal)
        session.apply(rehearsal.plans[0])
        told = f"{function.behind:#x} -> {function.island:#x} (island) -> {function.target:#x}"
        assert told in status_text(session.status(), user.target)


@pytest.mark.parametrize(
    ("mechanism", "local", "from_outside"),
    [("shared-toc", (1, 0), (1, 0)), ("guarded/slot", (11, 9), (6, 0)), ("odd-toc/cr4", (12, 5), (6, 0))],
)
def test_an_island_costs_six_instructions_on_the_way_in(strained, built, mechanism, local, from_outside):
    """More than test_cost_process has for the same calls; nothing on the way back."""
    user, patch = crowd(strained), built("pace", long_calls="/" in mechanism)
    with Session.open(user.target) as session:
        library = session.running.subject(["libstrained.so.1"])
        entries = [library.function(name).address for name in ("pace", "pace_inside")]
        session.apply(session.plan(patch, mechanism=mechanism))
        costs = [cost(session, patch, stepped(session, entry)) for entry in entries]
        assert costs == [(there + STEPS, back) for there, back in (from_outside, local)]
        session.revert("pace")


def test_islands_of_a_library_that_was_closed_are_left_alone(process_guest, built):
    user = User(process_guest, "apart")
    with Session.open(user.target) as session:
        user.ask("open")
        crowd(user)
        session.running.refresh()
        session.apply(session.plan(built("thing")))
        assert user.ask("close") == "closed 0"
        session.revert("thing")
        # what is there now, or nothing, is not ours to write to
        assert [entry.record.name for entry in session.gc().free] == ["thing"]
        assert user.ask("signal") == "signal 1 2"
    process_guest.run(f"kill -9 {user.pid}")
