"""What a kernel has complained of since it booted: told by the flags that it is tainted with, and by its panic."""

from __future__ import annotations

import struct
from typing import Final

from oddtoc.kernel.running import RunningKernel

_TAINTS: Final = {
    4: "a machine check",
    5: "a bad page",
    7: "an oops",
    9: "a warning",
    14: "a CPU that hung",
}
"""Bits of `tainted_mask` that say that something went wrong (include/linux/panic.h, TAINT_*)."""
_NOBODY: Final = -1
"""PANIC_CPU_INVALID: no CPU is in panic (kernel/panic.c)."""


def complaints(kernel: RunningKernel) -> frozenset[str]:
    """What has gone wrong in a running kernel, as words; nothing if it does not tell.

    Raises:
        FaultError: its memory can't be read.
    """
    taints, panic = _value(kernel, "tainted_mask", "<Q"), _value(kernel, "panic_cpu", "<i")
    found = {word for bit, word in _TAINTS.items() if taints and taints >> bit & 1}
    if panic not in (None, _NOBODY):
        found.add("a panic")
    return frozenset(found)


def _value(kernel: RunningKernel, name: str, layout: str) -> int | None:
    symbols = kernel.image.symbols.find(name)
    if len(symbols) != 1:
        return None
    (memory,) = kernel.read_many([(symbols[0].address, struct.calcsize(layout))])
    return int(struct.unpack(layout, memory)[0])
