"""A pause as the guest itself sees it: the longest gap that a busy loop on each of its processors measures."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from oddtoc.build.compile import tool
from oddtoc.target.guest import Guest

_SOURCE = Path(__file__).parent / "guest/gap.c"
_SECONDS = 2.0
_LEAD = 0.5
"""Seconds in which the loops begin."""


def build_gap(folder: Path) -> Path:
    """The program for guests, compiled; it belongs into their /bin.

    Raises:
        BuildError: the cross compiler is missing.
    """
    program = folder / "gap"
    subprocess.run([tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-o", str(program), str(_SOURCE)], check=True)
    return program


def longest_gap(guest: Guest, operate: Callable[[], None]) -> float:
    """Seconds that a loop in a guest saw nothing of, at most, on any processor, while something is done to it.

    Args:
        guest: with `gap` in its /bin.
        operate: what is done; it has to be over within a second.
    """
    printed: list[bytes] = []
    loops = threading.Thread(target=lambda: printed.append(guest.run(f"gap {_SECONDS}").stdout))
    loops.start()
    time.sleep(_LEAD)
    operate()
    loops.join()
    return max(int(line) for line in printed[0].split()) / 1e6
