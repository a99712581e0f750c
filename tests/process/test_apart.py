"""What a process does to a patch by itself: it leaves calls in other ways, forks, executes, and closes libraries."""

import pytest
from user import User

from oddtoc.errors import PatchError, StateError
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session

PLAIN, PATCHED = "visit 1 1", "visit 10 10"
MECHANISMS = pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])


@pytest.fixture(params=["apart", "apart-fixed", "apart-static"])
def program(request):
    return request.param


@pytest.fixture
def start(process_guest):
    started = []

    def begin(program="apart"):
        started.append(User(process_guest, program))
        return started[-1]

    yield begin
    for user in started:
        process_guest.run(f"kill -9 {user.pid}")


@pytest.fixture
def visit(built):
    """The patch, for a program of that name and mechanism."""

    def get(program="apart", mechanism="shared-toc"):
        return built("visit", image=program, long_calls="/" in mechanism)

    return get


def conditions(session):
    return [status.condition for status in session.status()]


@MECHANISMS
def test_calls_are_left_by_longjmp_swapcontext_and_signal_handlers(start, visit, mechanism):
    user = start()
    plain = ["jump 3", "begun 1", "ended 2", "signal 1 2"]
    assert [user.ask(one) for one in ("jump", "begin", "end", "signal")] == plain
    with Session.open(user.target) as session:
        session.apply(session.plan(visit(mechanism=mechanism), mechanism=mechanism))
        for _ in range(2):
            assert user.ask("jump") == "jump 30"
            assert user.ask("begin") == "begun 10"
            assert user.ask("end") == "ended 20"
            assert user.ask("signal") == "signal 10 20"
        # a context that waits in the replacement goes on in it, although that was taken back meanwhile
        user.ask("begin")
        session.revert("visit")
        assert user.ask("end") == "ended 11"
    assert user.ask() == PLAIN


def test_a_child_keeps_its_patch_when_its_parent_loses_it(process_guest, start, visit):
    user = start()
    with Session.open(user.target) as session:
        session.apply(session.plan(visit()))
        child, other = (int(user.ask("fork")) for _ in range(2))
        session.revert("visit")
    assert user.ask() == PLAIN
    with Session.open(f"{process_guest.server}#{child}") as session:
        assert conditions(session) == [Condition.APPLIED]
        session.revert("visit")
        assert conditions(session) == []
    process_guest.run(f"kill -USR1 {child}")
    assert user.ask("wait") == "child 1"
    process_guest.run(f"kill -USR1 {other}")
    assert user.ask("wait") == "child 10"


def test_what_is_executed_later_has_no_patch(start, visit):
    user = start()
    with Session.open(user.target) as session:
        session.apply(session.plan(visit()))
        assert user.ask("vfork") == "vfork 1 10"
    user.guest.run("rm -f /tmp/answer; echo exec > /tmp/ask; sleep 0.2")
    assert user.ask() == PLAIN
    with Session.open(user.target) as session:
        assert conditions(session) == []
        session.apply(session.plan(visit()))
        assert user.ask() == PATCHED


def test_a_library_that_is_closed_takes_its_patch_along(start, visit, built):
    user = start()
    with Session.open(user.target) as session:
        user.ask("open")
        session.running.refresh()
        session.apply(session.plan(built("thing")))
        assert user.ask("close") == "closed 0"
        assert conditions(session) == [Condition.GONE]
        with pytest.raises(PatchError, match="loaded 0 times"):
            session.plan(built("thing"))
        # others come and go meanwhile
        session.apply(session.plan(visit()))
        assert user.ask() == PATCHED
        session.gc()
        assert user.ask() == PATCHED
        session.revert("thing")
        assert conditions(session) == [Condition.APPLIED]
        session.gc()
        assert user.ask() == PATCHED
        session.revert("visit")
        with pytest.raises(StateError):
            session.revert("thing")
    assert user.ask() == PLAIN


def test_programs_of_all_kinds(start, visit, program):
    user = start(program)
    with Session.open(user.target) as session:
        session.apply(session.plan(visit(program)))
        assert user.ask() == PATCHED
        assert user.ask("jump") == "jump 30"
        session.revert("visit")
    assert user.ask() == PLAIN


def test_a_program_in_a_root_and_mounts_of_its_own(process_guest, start, visit):
    program = "apart-static"
    prepared = f"mkdir -p /mnt; mount -t tmpfs own /mnt && cp /bin/{program} /mnt && mkdir /mnt/tmp"
    user = start(f"unshare -m sh -c '{prepared} && mount --bind /tmp /mnt/tmp && exec chroot /mnt /{program}'")
    with Session.open(user.target) as session:
        session.apply(session.plan(visit(program)))
        assert user.ask() == PATCHED
        session.revert("visit")
    assert user.ask() == PLAIN
    process_guest.put(visit(program).path, "/tmp/visit.o")
    assert "stood still for" in process_guest.oddtoc(f"apply /tmp/visit.o --target pid:{user.pid}")
    assert user.ask() == PATCHED
    assert "reverted visit" in process_guest.oddtoc(f"revert visit --target pid:{user.pid}")
    assert user.ask() == PLAIN
