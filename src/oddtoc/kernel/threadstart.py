"""Functions that the kernel's own assembly calls through a pointer, at the global entry, without reloading r2.

That is how a new kernel thread begins (ret_from_kernel_thread, ret_from_kernel_user_thread and start_kernel_thread in
arch/powerpc/kernel/interrupt_64.S): its function is called by `bctrl` and may return to code that relies on r2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.image.flow import flow_of
from oddtoc.image.symbols import Symbol
from oddtoc.isa import Words, sign_extend

_MAKERS = ("kernel_thread", "user_mode_thread", "create_io_thread", "kernel_clone", "copy_process")
"""They take the address of a thread's function (kernel/fork.c)."""
_ADDIS_FROM_R2 = 15 << 26 | 2 << 16
_ADDIS_MASK = 0xFC1F0000
_ADDI = 14
_APART = 16
"""Words between the two halves of an address."""


def started_by(image: Image, symbol: Symbol) -> str | None:
    """The function that hands this one to a maker of threads; None where none is known to.

    Args:
        image: the kernel.
        symbol: the function that may be a thread's.
    """
    return _handed_on(image).get(symbol.address)


@lru_cache(maxsize=1)
def _handed_on(image: Image) -> dict[int, str]:
    """Every address that a function makes which calls a maker -> the name of that function."""
    makers = [maker.local_entry for name in _MAKERS for maker in image.symbols.find(name) if maker.is_function]
    calls = {int(place) for maker in makers for place in flow_of(image).branches_to(maker).sources}
    callers = {owner.address: owner for place in sorted(calls) if (owner := image.symbols.at(place))}
    found: dict[int, str] = {}
    for caller in callers.values():
        for distance in _distances(image.words(caller.address, caller.size // 4)):
            found.setdefault((image.toc or 0) + distance, caller.name)
    return found


def _distances(words: Words) -> set[int]:
    """What code adds to the TOC pointer: ``addis rX,r2,high`` and within reach ``addi rY,rX,low``, in bytes."""
    found = set()
    for high in np.flatnonzero((words & _ADDIS_MASK) == _ADDIS_FROM_R2):
        register = int(words[high]) >> 21 & 31
        for word in map(int, words[high + 1 : high + 1 + _APART]):
            if word >> 26 == _ADDI and word >> 16 & 31 == register:
                found.add((sign_extend(int(words[high]), 16) << 16) + sign_extend(word, 16))
    return found
