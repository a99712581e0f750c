"""How long a process with eight threads stands still: oddtoc's commit against gdb doing the same write, in turns.

    python -m bench.process [ROUNDS] [KERNEL] [--json FILE]

The process itself watches the clock and says how long it was not running. Both go through the same gdbserver in an
emulated guest. gdb is told everything beforehand (program, no libraries), attaches, writes one word, and detaches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.kept import Measurement, write

from oddtoc.build.compile import compile_patch, tool
from oddtoc.live.session import Session
from oddtoc.process.guest import ProcessGuest, boot_with_gdbserver

_HERE = Path(__file__).parent
_PATCH = """#include <oddtoc.h>
static long my_gap(long value) { return value + 2; }
ODDTOC_REPLACE(gap, gap_patched, my_gap);
"""


def main(rounds: int, series: str, output: Path | None) -> None:
    """Measure, and print a table."""
    folder = Path(tempfile.mkdtemp(prefix="oddtoc-bench-"))
    program = folder / "gap"
    flags = ["-O2", "-pthread", "-pie", "-fPIE"]
    subprocess.run([tool("gcc"), *flags, "-o", program, _HERE / "programs/gap.c"], check=True)
    (folder / "patch.c").write_text(_PATCH)
    patch = compile_patch(folder / "patch.c", folder / "patch.o")
    made = boot_with_gdbserver(series, f"bench-process-{os.getpid()}", files={"bin/gap": program}, timeout=300)
    try:
        pid = made.start("exec gap")
        gaps: dict[str, list[float]] = {"nothing": [], "oddtoc, all stops of an apply": [], "gdb": []}
        commits = []
        for _ in range(rounds):
            with Session.open(f"{made.server}#{pid}") as session:
                plan = session.plan(patch)
                session.running.make_room(plan.subject)
                _gap(made)
                made.run("sleep 0.5")
                gaps["nothing"].append(_gap(made))
                outcome = session.apply(plan)
                gaps["oddtoc, all stops of an apply"].append(_gap(made))
                commits.append(outcome.commit_pause * 1000)
                word = plan.changes[-1]
                session.revert("patch")
            _gap(made)
            _write_with_gdb(made, program, pid, word.address, word.old)
            gaps["gdb"].append(_gap(made))
        print(
            f"Linux {series}, 8 threads, {rounds} rounds; milliseconds that the process was not running: median (worst)"
        )
        for what, values in gaps.items():
            print(f"  {what:32} {statistics.median(values):8.1f} ({max(values):.1f})")
        gaps["oddtoc's commit, seen from outside"] = commits
        kept = [
            Measurement(series, what, statistics.median(values) / 1000, max(values) / 1000)
            for what, values in gaps.items()
        ]
        write(output, "how long a process stands still", "medians, of a process with eight threads", kept)
        print(f"  oddtoc's commit, seen from here  {statistics.median(commits):8.1f} ({max(commits):.1f})")
    finally:
        made.guest.stop()


def _gap(made: ProcessGuest) -> float:
    """The longest gap since this was asked the last time, in milliseconds."""
    return float(made.run("touch /tmp/reset; while [ -e /tmp/reset ]; do sleep 0.01; done; cat /tmp/gap").split()[0])


def _write_with_gdb(made: ProcessGuest, program: Path, pid: int, address: int, word: int) -> None:
    commands = [
        "set auto-solib-add off",
        "set sysroot /nonexistent",
        f"target extended-remote {made.endpoint[0]}:{made.endpoint[1]}",
        f"attach {pid}",
        f"set {{unsigned int}}{address:#x} = {word:#x}",
        "detach",
    ]
    words = [word for command in commands for word in ("-ex", command)]
    subprocess.run(
        ["gdb-multiarch", "-nx", "-batch", *words, str(program)], check=True, capture_output=True, timeout=120
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=20)
    parser.add_argument("kernel", nargs="?", default="6.1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    main(options.rounds, options.kernel, options.json)
