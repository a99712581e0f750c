"""How long a guest stands still: apply and revert on a busy guest, beside the least that any stop costs.

Run by `make bench`. The baseline, measured in the same run on the same guest, is one stop that writes one word.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from bench.gap import build_gap, longest_gap
from bench.hundred import hundred_functions
from bench.kept import Measurement, write

import oddtoc
from oddtoc.build.compile import compile_patch
from oddtoc.debian import fetch_kernel
from oddtoc.image.elf import Image
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.target.guest import Guest, boot

SAMPLES = Path(oddtoc.__file__).parent / "samples"
_MEASURED: list[Measurement] = []
MECHANISMS = ("odd-toc/cr4", "guarded/slot", "shared-toc")


def main() -> None:
    """Print one row per kernel, mechanism and operation; milliseconds, and the ratio to the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="*", default=["6.1", "6.12", "7.2"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    print(f"{'kernel':7} {'mechanism':13} {'what':30} {'median':>7} {'p95':>7} {'max':>7} ms   ratio")
    with tempfile.TemporaryDirectory() as folder:
        patch = PatchObject.open(_object(Path(folder)))
        for kernel in options.kernels:
            _measure(kernel, patch, options.rounds, Path(folder))
    write(
        options.json, "how long a guest stands still", "medians; the baseline is a stop that writes a word", _MEASURED
    )


def _object(folder: Path) -> Path:
    compile_patch(SAMPLES / "putc.c", folder / "putc.o")
    return folder / "putc.o"


def _measure(kernel: str, patch: PatchObject, rounds: int, folder: Path) -> None:
    image = fetch_kernel(kernel)
    gap = {"bin/gap": build_gap(folder)}
    guest = boot(image.vmlinux, image.busybox, name=f"bench-{os.getpid()}", smp=2, files=gap)
    try:
        _guests_view(kernel, guest, patch, rounds)
        for _ in range(2):
            guest.run("while :; do cat /proc/mounts /proc/stat; done < /dev/null > /dev/null 2>&1 &")
        baseline = _baseline(guest.name, rounds)
        base = _row(kernel, "-", "stop, write, go on", baseline, statistics.median(baseline))
        hundred = hundred_functions(Image.open(image.vmlinux), folder)
        for mechanism in MECHANISMS:
            for one, prefix, count in ((patch, "", rounds), (hundred, "100 fns ", -(-rounds // 3))):
                for what, seconds in _apply_and_revert(guest.name, one, mechanism, count).items():
                    _row(kernel, mechanism, prefix + what, seconds, base)
        _fill(guest)
        for immediate, how in ((False, "200 tasks "), (True, "immediate ")):
            for what, seconds in _apply_and_revert(guest.name, patch, "shared-toc", rounds, immediate).items():
                _row(kernel, "shared-toc", how + what, seconds, base)
    finally:
        guest.stop()


def _guests_view(kernel: str, guest: Guest, patch: PatchObject, rounds: int) -> None:
    """What loops in the guest see, which has nothing else to do, of stacks looked at and not."""
    count = -(-rounds // 3)
    nothing = [longest_gap(guest, lambda: None) for _ in range(count)]
    base = _row(kernel, "-", "longest gap inside, no stop", nothing, statistics.median(nothing))
    for immediate, how in ((False, ""), (True, ", immediate")):

        def operate(immediate: bool = immediate) -> None:
            _apply_and_revert(guest.name, patch, "shared-toc", 1, immediate)

        gaps = [longest_gap(guest, operate) for _ in range(count)]
        _row(kernel, "shared-toc", "longest gap inside" + how, gaps, base)


def _fill(guest: Guest) -> None:
    """Let the guest have at least 200 tasks: the kernel's own threads, and sleepers."""
    count = int(guest.run("ls -d /proc/[0-9]* | wc -l").stdout)
    guest.run(f"i={count}; while [ $i -lt 201 ]; do sleep 100000 < /dev/null > /dev/null 2>&1 & i=$((i + 1)); done")


def _apply_and_revert(
    guest: str, patch: PatchObject, mechanism: str, rounds: int, immediate: bool = False
) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        with Session.open(f"guest:{guest}") as session:
            applied = session.apply(session.plan(patch, mechanism=mechanism), immediate=immediate)
            reverted = session.revert(patch.name, immediate=immediate)
            session.gc()
        for what, outcome in (("apply", applied), ("revert", reverted)):
            figures.setdefault(f"{what}, commit", []).append(outcome.commit_pause)
            figures.setdefault(f"{what}, longest stop", []).append(outcome.longest_pause)
            figures.setdefault(f"{what}, all stops", []).append(outcome.total_pause)
    return figures


def _baseline(guest: str, rounds: int) -> list[float]:
    with Session.open(f"guest:{guest}") as session:
        place = session.kernel.rooms.text.end - 128
        for _ in range(rounds):
            with session.target.stopped() as stopped:
                stopped.write_many([(place, bytes(4))], verify=False)
        return [pause.seconds for pause in session.target.pauses[-rounds:]]


def _row(kernel: str, mechanism: str, what: str, seconds: list[float], base: float) -> float:
    middle = statistics.median(seconds)
    high = statistics.quantiles(seconds, n=20)[-1]
    figures = " ".join(f"{value * 1000:7.2f}" for value in (middle, high, max(seconds)))
    print(f"{kernel:7} {mechanism:13} {what:30} {figures}      {middle / base:5.2f}", flush=True)
    shown = "" if mechanism == "-" else mechanism
    _MEASURED.append(Measurement(kernel, what, middle, max(seconds), shown, middle / base))
    return middle


if __name__ == "__main__":
    main()
