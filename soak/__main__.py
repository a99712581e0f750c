"""Patches come and go while four processors call what they patch; every call is checked.

python -m soak [--kernel 6.1] [--mechanism shared-toc] [--operations 1000] [--calls 10000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from oddtoc.debian import SERIES, fetch_kernel
from oddtoc.target.guest import boot
from soak import end_with_guests
from soak.stress import Result, Stress, build_caller

MECHANISMS = ("shared-toc", "guarded/slot", "odd-toc/cr4")
PROCESSORS = 4
_CALLERS = 2 * PROCESSORS
"""So that they take the processors from each other, between our instructions too where the kernel can be preempted."""
_MOST_BUSY = 0.05


def main() -> int:
    """Make the runs that were asked for, and say what came of them."""
    wanted = _arguments()
    end_with_guests()
    found = []
    for series in wanted.kernel or SERIES:
        for mechanism in wanted.mechanism or MECHANISMS:
            result = _run(series, mechanism, wanted.operations)
            enough = result.patched + result.bpf_patched >= wanted.calls
            print(
                _line(series, mechanism, result) + ("" if enough else f"; fewer than {wanted.calls:,} calls"),
                flush=True,
            )
            found.append({"kernel": series, "mechanism": mechanism, "right": result.right, **asdict(result)})
            if not enough or not result.right or result.operations.get("busy", 0) > _MOST_BUSY * result.count:
                print(result.dmesg, file=sys.stderr)
                return 1
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kernel", action="append", choices=SERIES, help="repeatable; all if not given")
    parser.add_argument("--mechanism", action="append", choices=MECHANISMS, help="repeatable; all if not given")
    parser.add_argument("--operations", type=int, default=1000, help="on patches, in each run [1000]")
    parser.add_argument("--calls", type=int, default=10_000_000, help="of patched functions, at least, in each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser.parse_args()


def _run(series: str, mechanism: str, operations: int) -> Result:
    kernel = fetch_kernel(series)
    with tempfile.TemporaryDirectory(prefix="oddtoc-soak-") as folder:
        guest = boot(
            kernel.vmlinux,
            kernel.busybox,
            name=f"soak-{series}-{mechanism.replace('/', '-')}",
            smp=PROCESSORS,
            kernel_label=kernel.release,
            files={"bin/caller": build_caller(Path(folder))},
        )
        try:
            stress = Stress(guest, mechanism, processes=_CALLERS)
            return stress.run(operations, lambda so_far: print(f"  {_operations(so_far)}", file=sys.stderr))
        finally:
            guest.stop()


def _line(series: str, mechanism: str, result: Result) -> str:
    return (
        f"{series:5} {mechanism:13} {'ok   ' if result.right else 'WRONG'} {_operations(result)}; "
        f"{result.patched:,} patched calls, {result.errors} wrong; from BPF {result.bpf_patched:,}, "
        f"{result.bpf_errors} wrong; left {result.records} records, {result.kept} bytes"
    )


def _operations(result: Result) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(result.operations.items()))
    return f"{result.count} operations in {result.seconds:.0f} s ({kinds})"


if __name__ == "__main__":
    sys.exit(main())
