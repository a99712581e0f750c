"""A run of the corpus that is interrupted leaves no guest behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpus.__main__ import grouped
from corpus.judge import Verdict
from corpus.table import table

from oddtoc.errors import GuestError
from oddtoc.target.interrupts import interrupts_held

ROOT = Path(__file__).parents[2]
RUN = """
import sys, time
from corpus.guests import Guests
from corpus.judge import Verdict
from corpus.workers import Workers
from oddtoc.debian import fetch_kernel

class Booting:
    def __init__(self):
        self.guests = Guests(fetch_kernel("6.1"), ())
    def judge(self, file):
        # in one write, also where PYTHONUNBUFFERED is set: two workers write
        print("begins\\n", end="", flush=True)
        guest = self.guests.of("")
        print(f"up {guest.pid}\\n", end="", flush=True)
        if file == "quick":
            return Verdict(file, "applied")
        time.sleep(600)
    def stop(self):
        self.guests.stop()

try:
    with Workers(Booting, 2) as workers:
        for verdict in workers.judged([[name] for name in sys.argv[1:]]):
            print(verdict.outcome, flush=True)
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


def guests_of(run):
    """QEMU's processes that the workers of a run have started, by the names of their guests: corpus-PID."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "qemu-system" in words[0] and any(f"/corpus-{pid}/" in word for word in words for pid in run):
            found.append(int(process.name))
    return found


def workers_of(run):
    listed = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return [int(pid) for pid in listed]


def begin(*files):
    command = [sys.executable, "-c", RUN, *files]
    path = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', ROOT / 'src')}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # a session of its own: what Ctrl-C at a terminal reaches
    return subprocess.Popen(command, env=path, start_new_session=True, **pipes)


def wait_for_guests(run, count):
    limit = time.monotonic() + 120
    while len(guests_of(workers_of(run))) < count:
        assert time.monotonic() < limit and run.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("when", ["while they boot", "when they are up"])
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_interrupted(how, when):
    run = begin("one", "two")
    try:
        workers = workers_of(run)
        if when == "while they boot":
            wait_for_guests(run, 2)
        else:
            assert sorted(run.stdout.readline().split()[0] for _ in range(4)) == ["begins", "begins", "up", "up"]
        workers = workers_of(run)
        assert len(guests_of(workers)) >= 2
        if how == "Ctrl-C":
            os.killpg(run.pid, signal.SIGINT)
            os.killpg(run.pid, signal.SIGINT)
        else:
            run.terminate()
        _, said = run.communicate(timeout=60)
        assert (run.returncode, said.splitlines()[-1]) == (1, "interrupted")
        assert guests_of(workers) == []
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


def test_ended():
    run = begin("quick")
    said, _ = run.communicate(timeout=120)
    assert said.splitlines()[-1] == "applied" and run.returncode == 0
    pid = int(said.split("up ")[1].split()[0])
    # where nobody waits for it, it stays in the list, without a command
    assert not Path(f"/proc/{pid}").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()


def test_its_table():
    outcomes = (("applied", ""), ("in part", "m"), ("refused", "m"), ("no effect", ""))
    verdicts = [Verdict("f.c", outcome, "layout, symbol: f.c", module=module) for outcome, module in outcomes]
    lines = table([verdict.plain() for verdict in verdicts], 5, "1 to 2").splitlines()
    assert lines[0] == "Linux 1 to 2: 4 of 5 files that differ"
    assert "| in part | 1 (25.0%) | 0 (0.0%) | 1 (50.0%) |" in lines and "| layout | 1 | 0 | 1 |" in lines
    assert any(line.startswith("2 files, 50.0%,") and line.endswith("it is 3 files, 75.0%.") for line in lines)


def test_who_is_told_to_end_ends_when_an_error_comes_first():
    """As when the guest that a worker starts does not come up: it would go on to the next file."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, interrupts_held():
        signal.raise_signal(signal.SIGTERM)
        raise GuestError("QEMU does not start")
    assert caught.value.code == 128 + signal.SIGTERM and signal.getsignal(signal.SIGTERM) is before


def test_the_largest_group_goes_first():
    """Nobody waits for it at the end; with guests those come first together that share one."""
    files = {"fs/a/a.c": "a", "fs/b/a.c": "b", "fs/b/b.c": "b", "mm/a.c": "", "mm/b.c": "", "mm/c.c": ""}
    groups = [["mm/a.c", "mm/b.c", "mm/c.c"], ["fs/b/a.c", "fs/b/b.c"], ["fs/a/a.c"]]
    assert grouped(list(files), files, with_guests=False) == groups
    assert grouped(list(files), files, with_guests=True) == groups
    many = {f"fs/{number:02}/a.c": f"m{number:02}" for number in range(40)}
    last = {"fs/39/b.c": "m39"}
    assert grouped([*many, *last], many | last, with_guests=True)[0] == ["fs/00/a.c"]
    assert grouped([*many, *last], many | last, with_guests=False)[0] == ["fs/39/a.c", "fs/39/b.c"]
