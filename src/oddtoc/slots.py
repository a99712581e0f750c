"""Return addresses that traces keep, and what stands on stacks in their place.

A traced call gets a slot, which keeps its return address, and returns to that slot's return stub (trace/passage.h).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from oddtoc.places import Span

STUB_SIZE, SLOT_SIZE = 16, 32
"""Bytes of a return stub, and of its slot, which begins with the return address."""
_MOST_NESTED = 64

ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reads several (address, size) of a target's memory, as it was when the words in question were read."""


@dataclass(frozen=True)
class ReturnSlots:
    """The stubs and slots of one trace."""

    stubs: Span
    slots: Span

    def slot_of(self, address: int) -> int:
        """The address of the slot of a return stub, given an address in the stub."""
        return self.slots.start + (address - self.stubs.start) // STUB_SIZE * SLOT_SIZE


def kept_in_slots(words: Iterable[int], slots: Sequence[ReturnSlots], read_many: ReadMany) -> set[int]:
    """The return addresses that some words stand for, and those that these stand for in turn.

    Args:
        words: what was found on a stack.
        slots: of all traces.
        read_many: reads the target's memory.
    """
    found: set[int] = set()
    new = set(words)
    while places := [one.slot_of(word) for word in new for one in slots if word in one.stubs]:
        new = {int.from_bytes(memory, "little") for memory in read_many([(place, 8) for place in places])} - found
        found |= new
    return found


def returned(start: int, stack: bytes, slots: Sequence[ReturnSlots], read_many: ReadMany) -> list[tuple[int, bytes]]:
    """What puts return addresses back onto a stack: (address, bytes) to be written.

    Args:
        start: address of the stack's memory, a multiple of 8.
        stack: what stands there.
        slots: of all traces.
        read_many: reads the target's memory.
    """
    words = np.frombuffer(stack, "<u8")
    writes = []
    for one in slots:
        for index in np.flatnonzero(words - np.uint64(one.stubs.start) < np.uint64(one.stubs.size)).tolist():
            address = _true_address(int(words[index]), slots, read_many)
            if address:
                writes.append((start + 8 * index, address.to_bytes(8, "little")))
    return writes


def _true_address(word: int, slots: Sequence[ReturnSlots], read_many: ReadMany) -> int:
    """Where a call really returns to; 0 if that is not known: its slot is free, so the word is an old one."""
    for _ in range(_MOST_NESTED):
        place = next((one.slot_of(word) for one in slots if word in one.stubs), None)
        if place is None:
            return word
        word = int.from_bytes(read_many([(place, 8)])[0], "little")
    return 0
