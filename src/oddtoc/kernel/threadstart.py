"""Functions that the kernel's own assembly calls through a pointer, at the global entry, without reloading r2.

That is how a new kernel thread begins (ret_from_kernel_thread, ret_from_kernel_user_thread and start_kernel_thread in
arch/powerpc/kernel/interrupt_64.S): its function is called by `bctrl` and may return to code that relies on r2.
"""

from __future__ import annotations

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.image.flow import flow_of
from oddtoc.image.symbols import Symbol
from oddtoc.isa import high_adjusted, low

_MAKERS = ("kernel_thread", "user_mode_thread", "create_io_thread", "kernel_clone", "copy_process")
"""They take the address of a thread's function (kernel/fork.c)."""
_ADDIS_FROM_R2 = 15 << 26 | 2 << 16
_ADDIS_MASK = 0xFC1FFFFF
_ADDI = 14 << 26
_ADDI_MASK = 0xFC00FFFF
_APART = 16
"""Words between the two halves of an address."""


def started_by(image: Image, symbol: Symbol) -> str | None:
    """The function that hands this one to a maker of threads; None where none is known to.

    Args:
        image: the kernel.
        symbol: the function that may be a thread's.
    """
    makers = [maker.local_entry for name in _MAKERS for maker in image.symbols.find(name) if maker.is_function]
    calls = np.concatenate([np.empty(0, np.uint64), *(flow_of(image).branches_to(maker).sources for maker in makers)])
    for place in _taken_at(image, symbol.address):
        owner = image.symbols.at(place)
        if owner and np.any((calls >= owner.address) & (calls < owner.address + owner.size)):
            return owner.name
    return None


def _taken_at(image: Image, address: int) -> list[int]:
    """Where code makes an address from the TOC pointer: ``addis rX,r2,high; addi rY,rX,low``."""
    distance = address - (image.toc or 0)
    found = []
    for _, start, words in image.text():
        lows = np.flatnonzero((words & _ADDI_MASK) == _ADDI | low(distance))
        for index in lows:
            register = int(words[index]) >> 16 & 31
            before = words[max(0, index - _APART) : index]
            wanted = _ADDIS_FROM_R2 | register << 21 | high_adjusted(distance)
            if np.any(before == wanted):
                found.append(start + 4 * int(index))
    return found
