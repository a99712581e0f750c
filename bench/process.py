"""How long a process with eight busy threads stands still: oddtoc against gdb doing the same writes, in turns.

    python -m bench.process [ROUNDS] [KERNEL] [--json FILE]

The process itself watches the clock (programs/gap.c): the longest time in which none of its threads ran. From outside
all go through the same gdbserver in an emulated guest; the least that any stop there costs is gdbserver attaching and
detaching with nothing in between. gdb is told everything beforehand (program, no libraries), and checks nothing. From
inside of the guest (pid:N, programs/inside.py) oddtoc does by ptrace what gdbserver does, with gdbserver's priority;
the least that costs is all threads seized and let go.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.kept import Measurement, write
from soak.own import own_files

from oddtoc.build.compile import compile_patch, tool
from oddtoc.errors import TargetError
from oddtoc.link.object import PatchObject
from oddtoc.live.plan import Plan
from oddtoc.live.session import Session
from oddtoc.process.guest import ProcessGuest, boot_with_gdbserver
from oddtoc.target.handshake import greet
from oddtoc.target.server import ServerConnection
from soak import end_with_guests

_HERE = Path(__file__).parent
_HOST = "10.0.2.2"
"""This machine, as QEMU's user network has it."""
_PATCH = """#include <oddtoc.h>
static long my_gap(long value) { return value + 2; }
ODDTOC_REPLACE(gap, gap_patched, my_gap);
"""
_NOTHING, _FLOOR, _GDB = "nothing", "gdbserver attaches and detaches", "gdb, the same writes"
_FIRST, _APPLY, _REVERT = "oddtoc, first apply (with mmap)", "oddtoc, apply", "oddtoc, revert"
_SEIZED = "pid:N, threads seized and let go"
_INSIDE = {_FIRST: "pid:N, first apply (with mmap)", _APPLY: "pid:N, apply", _REVERT: "pid:N, revert"}
_ROWS = (_NOTHING, _FLOOR, _FIRST, _APPLY, _REVERT, _GDB, _SEIZED, *_INSIDE.values())
_SAID, _SAID_INSIDE = "oddtoc, as it says itself", "pid:N, as it says itself"
_OBJECT, _LOG = "/tmp/patch.o", "/tmp/inside.log"
_PATIENCE = 60.0
_PATIENCE_WITH_PYTHON = 300.0
"""Seconds. An emulated Python takes some to come up."""
Gaps = dict[str, list[tuple[float, float]]]
"""Of each row: seconds in which the process stood still at most, and one thread at most, for each round."""


class Watched:
    """The program, running in the guest, and the connection over which it says what it saw."""

    def __init__(self, made: ProcessGuest) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(_PATIENCE)
            self.pid = made.start(f"exec gap {_HOST} {server.getsockname()[1]}")
            self._connection = server.accept()[0]
        self._connection.settimeout(_PATIENCE)
        self._lines = self._connection.makefile("r")

    def gaps(self) -> tuple[float, float]:
        """Seconds in which no thread ran, and in which some thread did not, at most, since the last time."""
        self._connection.sendall(b"?")
        all_of_them, one, _ = self._lines.readline().split()
        return int(all_of_them) / 1e9, int(one) / 1e9

    def close(self) -> None:
        """It is not asked any more."""
        self._connection.close()


class Inside:
    """An oddtoc in the guest, which does what it is told a line at a time (programs/inside.py)."""

    def __init__(self, made: ProcessGuest, patch: PatchObject) -> None:
        for file, place in ((patch.path, _OBJECT), (_HERE / "programs/inside.py", "/tmp/inside.py")):
            assert file is not None
            made.put(file, place)
        self._made = made
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(_PATIENCE_WITH_PYTHON)
            port = server.getsockname()[1]
            command = f"exec python3.11 /tmp/inside.py {_HOST} {port} {_OBJECT}"
            made.start(f"renice -n -20 -p $$; HOME=/tmp {command}", _LOG)
            self._connection = server.accept()[0]
        self._connection.settimeout(_PATIENCE_WITH_PYTHON)
        self._lines = self._connection.makefile("r")

    def do(self, line: str) -> float:
        """Have it do something; the seconds that it says the process stood still."""
        self._connection.sendall(f"{line}\n".encode())
        answer = self._lines.readline()
        if not answer:
            raise TargetError(f"the oddtoc inside of the guest has ended: {self._made.run(f'tail -n 3 {_LOG}')}")
        return float(answer)


def main(rounds: int, series: str, output: Path | None) -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="oddtoc-bench-") as name:
        folder = Path(name)
        program = folder / "gap"
        flags = ["-O2", "-pthread", "-pie", "-fPIE"]
        subprocess.run([tool("gcc"), *flags, "-o", program, _HERE / "programs/gap.c"], check=True)
        (folder / "patch.c").write_text(_PATCH)
        patch = compile_patch(folder / "patch.c", folder / "patch.o")
        files = {"bin/gap": program} | own_files(folder / "own")
        made = boot_with_gdbserver(series, f"bench-process-{os.getpid()}", files=files, timeout=300)
        try:
            gaps: Gaps = {row: [] for row in _ROWS}
            commits: list[float] = []
            commits_inside: list[float] = []
            inside = Inside(made, patch)
            for _ in range(rounds):
                commits += _round(made, patch, program, gaps)
                commits_inside += _round_inside(made, inside, gaps)
        finally:
            made.guest.stop()
    print(f"Linux {series}, 8 busy threads, {rounds} rounds; milliseconds: median, least")
    print(f"  {'':34} {'no thread ran':>18} {'one did not run':>18}")
    for row, found in gaps.items():
        print(f"  {row:34}", *(_shown(seconds) for seconds in _apart(found)))
    for what, said in ((_SAID, commits), (_SAID_INSIDE, commits_inside)):
        print(f"  {what:34} {_shown(said)}")
    kept = [_measurement(series, row, _apart(found)[0], _apart(gaps[_GDB])[0]) for row, found in gaps.items()]
    for what, said in ((_SAID, commits), (_SAID_INSIDE, commits_inside)):
        kept.append(_measurement(series, what, said, _apart(gaps[_GDB])[0]))
    unit = "medians, of a process with eight busy threads, none of which runs; ratios are to gdb doing the same writes"
    write(output, "how long a process stands still", unit, kept)


def _round(made: ProcessGuest, patch: PatchObject, program: Path, gaps: Gaps) -> list[float]:
    """Everything once, with a new process; the seconds that oddtoc says of its commits."""
    watched = Watched(made)
    said = []

    def measured(row: str) -> None:
        gaps[row].append(watched.gaps())

    watched.gaps()
    time.sleep(0.3)
    measured(_NOTHING)
    _attach_and_detach(made, watched.pid)
    measured(_FLOOR)
    for row in (_FIRST, _APPLY):
        with Session.open(f"{made.server}#{watched.pid}") as session:
            plan = session.plan(patch)
            watched.gaps()
            said.append(session.apply(plan).commit_pause)
            measured(row)
            written = _written(plan)
        watched.gaps()
        if row == _APPLY:
            _write_with_gdb(made, program, watched.pid, written)
            measured(_GDB)
        with Session.open(f"{made.server}#{watched.pid}") as session:
            watched.gaps()
            said.append(session.revert("patch").commit_pause)
            measured(_REVERT)
            session.gc()
    watched.close()
    made.run(f"kill {watched.pid}")
    return said


def _round_inside(made: ProcessGuest, inside: Inside, gaps: Gaps) -> list[float]:
    """The same from inside of the guest, with a new process too."""
    watched = Watched(made)
    said = []
    inside.do(f"open {watched.pid}")
    watched.gaps()
    inside.do("seize")
    gaps[_SEIZED].append(watched.gaps())
    for row in (_FIRST, _APPLY):
        for command, measured in (("apply", row), ("revert", _REVERT)):
            inside.do(f"plan {command}")
            watched.gaps()
            said.append(inside.do(command))
            gaps[_INSIDE[measured]].append(watched.gaps())
        inside.do("gc")
    inside.do("close")
    watched.close()
    made.run(f"kill {watched.pid}")
    return said


def _attach_and_detach(made: ProcessGuest, pid: int) -> None:
    connection = ServerConnection(made.endpoint, _PATIENCE)
    connection.looks_after_process(b"D;%x" % pid)
    try:
        greet(connection)
        connection.exchange([b"qSupported:multiprocess+", b"!", b"QNonStop:0"])
        replies = connection.exchange([b"vAttach;%x" % pid, b"D;%x" % pid])
        if replies[1] != b"OK":
            raise TargetError(f"gdbserver did not attach: {replies}")
    finally:
        connection.close()


def _written(plan: Plan) -> list[tuple[int, bytes]]:
    """What a commit has written: words of functions, and the state of the record."""
    assert plan.commit is not None
    words = [(change.address, change.new.to_bytes(4, "little")) for change in plan.changes]
    return [*words, *plan.commit.states]


def _write_with_gdb(made: ProcessGuest, program: Path, pid: int, writes: Sequence[tuple[int, bytes]]) -> None:
    setting = [f"set {{unsigned int}}{address:#x} = {int.from_bytes(word, 'little'):#x}" for address, word in writes]
    commands = [
        "set auto-solib-add off",
        "set sysroot /nonexistent",
        f"target extended-remote {made.endpoint[0]}:{made.endpoint[1]}",
        f"attach {pid}",
        *setting,
        "detach",
    ]
    words = [word for command in commands for word in ("-ex", command)]
    subprocess.run(
        ["gdb-multiarch", "-nx", "-batch", *words, str(program)], check=True, capture_output=True, timeout=300
    )


def _apart(found: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [all_of_them for all_of_them, _ in found], [one for _, one in found]


def _shown(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:9.1f} {min(seconds) * 1000:8.1f}"


def _measurement(series: str, what: str, seconds: Sequence[float], peer: Sequence[float]) -> Measurement:
    middle = statistics.median(seconds)
    return Measurement(series, what, middle, max(seconds), ratio=middle / statistics.median(peer))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=20)
    parser.add_argument("kernel", nargs="?", default="6.1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    end_with_guests()
    main(options.rounds, options.kernel, options.json)
