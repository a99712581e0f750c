"""A run of oddtoc that ends in the middle, and vCPUs that stand in the way."""

import pytest

from oddtoc.errors import BusyError, RoomError, StateError
from oddtoc.live import commit as commits
from oddtoc.live.journal import Condition
from oddtoc.live.record import Change, FunctionRecord
from oddtoc.live.session import Session
from oddtoc.target.qemu import Cpu

PATCHED = b"this has been live patched\n"


def output(machine, command):
    result = machine.run(command)
    assert result.status == 0, result
    return result.stdout


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def session(guest):
    with Session.open(f"guest:{guest('7.2').name}") as session:
        yield session


def test_a_run_that_ends_before_the_commit_leaves_an_intent_and_the_next_one_completes(
    guest, session, objects, monkeypatch
):
    def killed(*_arguments, **_options):
        raise KilledError

    machine = guest("7.2")
    with monkeypatch.context() as patching:
        patching.setattr("oddtoc.live.session.carry_out", killed)
        with pytest.raises(KilledError):
            session.apply(session.plan(objects("cmdline.c")))
    assert [status.condition for status in session.status()] == [Condition.ABSENT]
    assert output(machine, "cat /proc/cmdline") != PATCHED
    with pytest.raises(StateError):
        session.revert("cmdline")
    session.apply(session.plan(objects("cmdline.c")))
    assert [status.condition for status in session.status()] == [Condition.APPLIED]
    assert output(machine, "cat /proc/cmdline") == PATCHED
    session.revert("cmdline")
    assert session.status() == []


@pytest.mark.parametrize("offset, busy", [(0, False), (4, True), (8, True), (16, True), (20, False)])
def test_a_vcpu_between_global_entry_and_branch_is_in_the_way(offset, busy):
    entry = 0xC0000000006154C0
    function = FunctionRecord("f", "guarded/slot", entry, entry + 16, 0, (Change(entry + 16, 1, 2, "branch"),))
    cpu = Cpu("01", {"pc": entry + offset, "msr": 0x8000000000009033})
    assert (commits._obstacle([cpu], [function]) is not None) is busy
    interrupted = Cpu("01", {"pc": 0x300, "msr": 0x8000000000009031, "srr0": entry + offset, "hsrr0": 0})
    assert (commits._obstacle([interrupted], [function]) is not None) is busy
    hidden = Cpu("02", {"pc": 0x300, "msr": 0x8000000000009031})
    assert commits._obstacle([hidden], [function]) is not None


def test_a_vcpu_that_stays_in_the_way_fails_the_apply_and_leaves_nothing(guest, session, objects, monkeypatch):
    machine = guest("7.2")
    monkeypatch.setattr(commits, "_obstacle", lambda _cpus, _functions: BusyError("vCPU 01 stands there"))
    with pytest.raises(BusyError):
        session.apply(session.plan(objects("cmdline.c")), timeout=0.2)
    monkeypatch.undo()
    assert session.status() == []
    assert output(machine, "cat /proc/cmdline") != PATCHED


def test_a_payload_that_is_too_large_finds_no_room(session, objects):
    with pytest.raises(RoomError, match="no room for"):
        session.plan(objects("large.c"))
