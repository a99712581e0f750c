"""Processes of the machine that oddtoc itself runs on, by ptrace: in a guest, with Python and oddtoc inside of it."""

import json
from pathlib import Path

import pytest
from user import PATCHED, PLAIN, User

from oddtoc.errors import TargetError
from oddtoc.image.elf import Image
from oddtoc.target.local import LocalProcess

THREADS = 8
SCRIPTS = Path(__file__).parent / "scripts"


@pytest.fixture(scope="module")
def answers(process_guest):
    """Runs a script in the guest and gives what it answers."""

    def run(name, *words):
        script = (SCRIPTS / "common.py").read_text() + (SCRIPTS / f"{name}.py").read_text()
        printed = process_guest.python(script, *words)
        try:
            return json.loads(printed.splitlines()[-1])
        except (ValueError, IndexError):
            raise AssertionError(printed) from None

    return run


def test_threads_stand_still_and_no_signal_is_lost(process_guest, answers, busy):
    place = Image.open(busy).symbols.one("counters").address
    still, moved, counts, chained, traced, free, threads = answers("still", str(place))
    assert still and moved and chained and free
    assert (counts, traced, threads) == ([THREADS + 1], [True], str(THREADS + 1))
    assert process_guest.run("cat /tmp/printed") == "300 of 300\n"


def test_a_thread_is_lent_and_its_system_call_goes_on(process_guest, answers):
    assert answers("lend") == [33, True]
    assert process_guest.run("cat /tmp/printed").splitlines() == [
        "read 1 errno 0 in time",
        "futex 0 errno 0 in time",
        "futex for a time -1 errno 110 in time",
        *(f"{name} 0 errno 0 in time" for name in ("nanosleep", "poll", "select", "epoll_wait")),
        *(f"{name} -1 errno 11 in time" for name in ("recv", "sigtimedwait", "semtimedop")),
    ]


def test_a_killed_oddtoc_and_job_control_leave_a_process_as_it_was(answers):
    assert answers("die") == [9, True, THREADS + 1, "T", True]


def test_what_can_not_be_reached_is_said(answers):
    with pytest.raises(TargetError, match=r"process of this machine, which is .* and not ppc64le"):
        LocalProcess(1)
    missing, kernel, traced, foreign = answers("refused")
    assert "there is no process 99999" in missing
    assert "thread 2 can't be traced" in kernel
    assert "is traced by process" in traced
    assert "can't be reached: Permission denied" in foreign


def test_the_commands_patch_and_revert(process_guest, built):
    process_guest.put(built("thing").path, "/tmp/thing.o")
    user = User(process_guest)
    assert user.ask() == PLAIN
    assert "stood still for" in process_guest.oddtoc(f"apply /tmp/thing.o --target pid:{user.pid}")
    assert user.ask() == PATCHED
    assert "thing: applied" in process_guest.oddtoc(f"status --target pid:{user.pid}")
    assert "reverted thing" in process_guest.oddtoc(f"revert thing --target pid:{user.pid}")
    assert user.ask() == PLAIN
    process_guest.run(f"kill -9 {user.pid}")
