"""Servers as Debian ships them are patched and taken back a thousand times while clients ask them.

python -m soak.process [--service nginx] [--rounds 1000] [--commands 20] [--inside 480] [--kernel 6.1] [--json FILE]

Each service is in a guest of its own. Of the rounds `--commands` are made by the commands, `--inside` by ptrace from
inside of the guest, in one session, and the others in one session over its gdbserver.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from oddtoc.debian import SERIES
from oddtoc.process.guest import boot_with_gdbserver
from soak import end_with_guests
from soak.own import own_files
from soak.rounds import Result, Rounds
from soak.services import SERVICES, Service, nginx_files

_TELL_EVERY = 20
_BOOT_SECONDS = 300.0


def main() -> int:
    """Make the rounds that were asked for, and say what came of them."""
    wanted = _arguments()
    end_with_guests()
    found: dict[str, Result] = {}

    def keep(result: Result) -> None:
        found[result.service] = result
        if wanted.json:
            wanted.json.parent.mkdir(parents=True, exist_ok=True)
            wanted.json.write_text(json.dumps([one.plain() for one in found.values()], indent=1) + "\n")

    for service in (one for one in SERVICES if one.name in (wanted.service or [s.name for s in SERVICES])):
        with tempfile.TemporaryDirectory(prefix="oddtoc-soak-") as folder:
            result = _run(service, Path(folder), wanted, keep)
        keep(result)
        print(_line(result), flush=True)
        for line in (*result.wrong, *result.answers.failed):
            print(f"  {line}", file=sys.stderr)
    return int(not all(result.right for result in found.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak.process", description=(__doc__ or "").splitlines()[0])
    names = [service.name for service in SERVICES]
    parser.add_argument("--service", action="append", choices=names, help="repeatable; all if not given")
    parser.add_argument("--rounds", type=int, default=1000, help="with each service [1000]")
    parser.add_argument("--commands", type=int, default=20, help="of these rounds, by the commands [20]")
    parser.add_argument("--inside", type=int, default=480, help="of these rounds, by ptrace in the guest [480]")
    parser.add_argument("--kernel", choices=SERIES, default="6.1", help="of the guest [6.1]")
    parser.add_argument("--smp", type=int, default=2, help="vCPUs of the guest [2]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, also on the way")
    return parser.parse_args()


def _run(service: Service, folder: Path, wanted: argparse.Namespace, keep) -> Result:
    told = 0

    def tell(result: Result) -> None:
        nonlocal told
        if result.count >= told + _TELL_EVERY:
            told = result.count
            print(_line(result), flush=True)
            keep(result)

    files = nginx_files() | own_files(folder / "own")
    name = f"soak-{service.name}-{os.getpid()}"
    made = boot_with_gdbserver(wanted.kernel, name, files=files, smp=wanted.smp, timeout=_BOOT_SECONDS)
    try:
        rounds = Rounds(made, service, folder, tell)
        session = wanted.rounds - wanted.commands - wanted.inside
        return rounds.run(session=session, command=wanted.commands, inside=wanted.inside)
    finally:
        made.guest.stop()


def _line(result: Result) -> str:
    kinds = ", ".join(f"{number} by {kind}" for kind, number in result.rounds.items())
    median = statistics.median(result.pauses) * 1000
    said = f"{result.service}: {result.count} rounds ({kinds}) in {result.seconds:.0f} s"
    said += f", median pause {median:.1f} ms, {len(result.wrong)} wrong looks"
    if result.after:
        said += f"; {result.answers.count:,} requests, {len(result.answers.failed)} failed; "
        said += f"{result.before} and then {result.after}; left {result.records} records, {result.kept} bytes"
    return said


if __name__ == "__main__":
    sys.exit(main())
