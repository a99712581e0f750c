"""Several that want to change one process: the record stays right, and who can't have it is told so."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext

import pytest
from slow_network import slow_network
from user import PATCHED, PLAIN

from oddtoc.errors import ChangedError, TargetInUseError
from oddtoc.image.elf import Image
from oddtoc.live.commit import carry_out
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session
from oddtoc.live.writing import write_intent

TRACING = "/sys/kernel/tracing"


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """What is opened by it comes from another machine, whose locks are not ours."""

    def open_session(target):
        with monkeypatch.context() as patching:
            patching.setenv("XDG_RUNTIME_DIR", str(tmp_path))
            return Session.open(target)

    tmp_path.chmod(0o700)
    return open_session


def serial(user_process):
    return f"{user_process.guest.serial}#{user_process.pid}"


def test_two_gdbservers_and_one_process(user_process, built):
    with Session.open(user_process.target) as session:
        with pytest.raises(
            TargetInUseError, match=rf"another oddtoc \(process {os.getpid()}\) .*process {user_process.pid}"
        ):
            Session.open(serial(user_process))
        with pytest.raises(TargetInUseError, match="another oddtoc"):
            Session.open(user_process.target)
        session.apply(session.plan(built("thing")))
    with Session.open(serial(user_process)) as session:
        assert [status.condition for status in session.status()] == [Condition.APPLIED]
        session.revert("thing")
    assert user_process.ask() == PLAIN


def test_who_has_planned_before_another_one_applies_is_refused(user_process, built, elsewhere):
    with Session.open(user_process.target) as first:
        # room is made, which both then share
        first.apply(first.plan(built("thing")))
        first.revert("thing")
        plan = first.plan(built("leaf"))
        with elsewhere(serial(user_process)) as second:
            second.apply(second.plan(built("thing")))
        with pytest.raises(ChangedError, match="another oddtoc"):
            first.apply(plan)
        assert [status.record.name for status in first.status()] == ["thing"]
        assert user_process.ask() == PATCHED
        first.revert("thing")
        plan = first.plan(built("leaf"))
        with elsewhere(serial(user_process)) as second:
            # what was to stand behind the record of thing would not be found any more
            assert [entry.record.name for entry in second.gc().free][:1] == ["thing"]
        with pytest.raises(ChangedError, match="another oddtoc has been at the records"):
            first.apply(plan)
        assert user_process.ask() == PLAIN
        first.apply(first.plan(built("leaf")))
        first.revert("leaf")
    assert user_process.ask() == PLAIN


def test_whose_record_was_ended_by_another_one_is_refused(user_process, built, elsewhere):
    with Session.open(user_process.target) as first:
        first.apply(first.plan(built("leaf")))
        first.revert("leaf")
        plan = first.plan(built("adler"))
        first.running.make_room(plan.subject)
        write_intent(first.target, plan, first.running.journal)
        with elsewhere(serial(user_process)) as second:
            # for this one the record is that of a killed run
            second.apply(second.plan(built("thing")))
        with pytest.raises(ChangedError, match="another oddtoc"):
            carry_out(first.target, plan.commit, timeout=1)
        assert [status.record.name for status in first.status()] == ["thing"]
        assert user_process.ask() == PATCHED
        first.revert("thing")


def over_the_network(user_process):
    return nullcontext(user_process.target)


def over_a_serial_line(user_process):
    return nullcontext(serial(user_process))


@contextmanager
def over_a_slow_network(user_process):
    with slow_network(user_process.guest.endpoint) as (host, port):
        yield f"gdb://{host}:{port}#{user_process.pid}"


@pytest.mark.parametrize("reached", [over_the_network, over_a_slow_network, over_a_serial_line])
def test_a_debugger_that_comes_between_two_stops_is_in_the_way(user_process, built, reached):
    with reached(user_process) as target:
        a_debugger_comes(target, user_process, built)


def a_debugger_comes(target, user_process, built):
    with Session.open(target) as session:
        plan = session.plan(built("leaf"))
        debugger = user_process.guest.start(
            f"exec gdbserver --attach 127.0.0.1:3336 {user_process.pid}", "/tmp/debugger"
        )
        user_process.guest.run("until grep -qs Listening /tmp/debugger; do sleep 0.1; done")
        with pytest.raises(TargetInUseError, match="somebody else traces it"):
            session.apply(plan)
    with pytest.raises(TargetInUseError, match="is traced by process"):
        Session.open(target)
    user_process.guest.run(f"kill -9 {debugger}")
    with Session.open(target) as session:
        session.apply(session.plan(built("leaf")))
        assert "leaf 1004" in user_process.ask()
        session.revert("leaf")


def test_who_is_killed_is_followed_by_the_next(user_process, built):
    with Session.open(user_process.target) as session:
        # room is made
        session.apply(session.plan(built("leaf")))
        session.revert("leaf")
    user_process.ask("wait")
    apply = [sys.executable, "-m", "oddtoc", "apply", built("wait").path, "--target", user_process.target]
    killed = subprocess.Popen([*apply, "--timeout", "100"], stderr=subprocess.DEVNULL)
    user_process.guest.run(f"until grep -q 'TracerPid:.[1-9]' /proc/{user_process.pid}/status; do :; done")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with Session.open(user_process.target) as session:
        session.apply(session.plan(built("thing")))
        assert user_process.ask("go") == ""
        session.apply(session.plan(built("wait")))
        session.revert("thing")
        session.revert("wait")
    assert user_process.ask() == PLAIN


def test_a_uprobe_on_the_word_is_in_the_way(user_process, user, built):
    guest = user_process.guest
    address = Image.open(user["lib/libthing.so.1"]).symbols.one("thing_leaf").local_entry
    guest.run(f"mount -t tracefs none {TRACING} || true")
    guest.run(f"echo 'p:leaf /lib/libthing.so.1:{address:#x}' > {TRACING}/uprobe_events")
    guest.run(f"echo 1 > {TRACING}/events/uprobes/leaf/enable")
    with Session.open(user_process.target) as session, pytest.raises(ChangedError, match="branch in thing_leaf"):
        session.plan(built("leaf"))
    guest.run(f"echo 0 > {TRACING}/events/uprobes/leaf/enable")
    with Session.open(user_process.target) as session:
        session.apply(session.plan(built("leaf")))
        assert "leaf 1004" in user_process.ask()
        # the kernel has the word from the file, and puts that back
        guest.run(f"echo 1 > {TRACING}/events/uprobes/leaf/enable")
        assert user_process.ask() == PLAIN
        assert [status.condition for status in session.status()] == [Condition.FOREIGN]
        guest.run(f"echo 0 > {TRACING}/events/uprobes/leaf/enable")
        assert [status.condition for status in session.status()] == [Condition.ABSENT]
        session.apply(session.plan(built("leaf")))
        assert "leaf 1004" in user_process.ask()
        session.revert("leaf")
    assert user_process.ask() == PLAIN
    guest.run(f"echo > {TRACING}/uprobe_events")
