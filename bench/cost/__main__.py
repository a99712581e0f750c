"""What a patched call costs: oddtoc's mechanisms in user mode and in Debian's kernels, beside upstream's livepatch.

    python -m bench.cost [KERNEL...] [--no-peer] [--json FILE]

Needs qemu-system-ppc64, qemu-ppc64le, gcc and the cross compiler; the peer needs what building a kernel needs.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from bench.cost import ours, peer, user
from bench.cost.cost import Cost
from bench.cost.table import as_json, as_text

from oddtoc.debian.kernels import SERIES, fetch_kernel
from oddtoc.errors import OddtocError


def main() -> None:
    """Count, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", default=[], help=f"of {', '.join(SERIES)}; all if none is given")
    parser.add_argument("--no-peer", action="store_true", help="leave out upstream's livepatch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    # so that a guest is ended too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _run(options.kernels or list(SERIES), options.no_peer, options.json)
    except OddtocError as error:
        sys.exit(str(error))


def _run(kernels: list[str], without_peer: bool, output: Path | None) -> None:
    fetched = [fetch_kernel(kernel) for kernel in kernels]
    names = {kernel.series: f"Debian's {kernel.release}" for kernel in fetched}
    names[user.KERNEL] = "a program under qemu-ppc64le, held against the same peer"
    upstream: list[Cost] = []
    if not without_peer:
        built = peer.build_peer(_tell)
        names[peer.KERNEL] = f"6.1 with CONFIG_LIVEPATCH, from Debian's source {built.version}"
        _tell("counting upstream's livepatch")
        upstream = list(peer.costs(built, fetch_kernel("6.1").busybox))
    costs: list[Cost] = []
    for kernel in fetched:
        _tell(f"counting in Linux {kernel.release}")
        costs += ours.costs(kernel)
    _tell(f"counting in {user.KERNEL}")
    costs += user.costs()
    print(as_text(costs, upstream, names))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(as_json(costs, upstream, names), indent=2) + "\n")


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
