"""A thousand times: redis-server and zlib are patched and taken back under load, and no request fails.

python -m soak.process [ROUNDS] [KERNEL]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import oddtoc
from oddtoc.build.compile import compile_patch
from oddtoc.live.session import Session
from oddtoc.process.guest import ProcessGuest, boot_with_gdbserver

_SAMPLES = Path(oddtoc.__file__).parent / "samples"
_LOAD = "while :; do redis-benchmark -q -n 1000 -c 4 -t ping,set,get,incr || exit; done"
_WORD = {True: "PATCHED", False: "PONG"}


def main(rounds: int, series: str) -> int:
    """Run it; the number of things that went wrong."""
    made = boot_with_gdbserver(series, f"soak-process-{os.getpid()}", timeout=300)
    try:
        return _soak(made, rounds)
    finally:
        made.guest.stop()


def _soak(made: ProcessGuest, rounds: int) -> int:
    patch = compile_patch(_SAMPLES / "ping.c", Path(tempfile.mkdtemp(prefix="oddtoc-soak-")) / "ping.o")
    made.run("redis-server --save '' --daemonize yes; until redis-cli ping; do sleep 0.1; done")
    pid = int(made.run("pidof redis-server"))
    load = made.start(_LOAD, "/tmp/load")
    wrong = 0
    pauses = []
    began = time.monotonic()
    with Session.open(f"{made.server}#{pid}") as session:
        for number in range(1, rounds + 1):
            outcomes = [session.apply(session.plan(patch), timeout=60)]
            wrong += _answers(made, patched=True)
            outcomes.append(session.revert("ping", timeout=60))
            wrong += _answers(made, patched=False)
            pauses += [outcome.commit_pause for outcome in outcomes]
            session.gc()
            if number % 20 == 0 or number == rounds:
                seconds = time.monotonic() - began
                median = statistics.median(pauses) * 1000
                print(f"{number} rounds in {seconds:.0f} s, median pause {median:.1f} ms, {wrong} wrong", flush=True)
    alive = made.run(f"kill -0 {load} && echo yes") == "yes\n"
    complaints = made.run("grep -i err /tmp/load || true").splitlines()
    print(f"the load {'runs' if alive else 'has ended'}, {len(complaints)} failed requests")
    return wrong + len(complaints) + (not alive)


def _answers(made: ProcessGuest, *, patched: bool) -> int:
    return int(made.run("redis-cli ping").strip() != _WORD[patched])


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *("1000", "6.1")[len(sys.argv) - 1 :]]
    sys.exit(min(main(int(arguments[0]), arguments[1]), 1))
