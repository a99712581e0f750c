"""Where the data of a trace stands: the addresses that passage.h is given, and what stands there.

header     ring of events     a row for each function     slots for return addresses
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from oddtoc.places import Span
from oddtoc.slots import SLOT_SIZE

HEADER = struct.Struct("<Q8xQ")
"""How many entries the ring was ever given; how many calls found no slot."""
ROW = struct.Struct("<4Q")
"""Calls, returns, ticks in all, ticks of the longest."""
_HEADER_SIZE = 128
EVENT_SIZE = 128
_RING_BITS = (15, 4)
_SLOT_BITS = (9, 4)
"""Most and fewest."""


@dataclass(frozen=True)
class DataLayout:
    """Where everything is.

    Attributes:
        start: address of the first byte.
        functions: how many rows there are.
        ring_bits: 2^ring_bits entries; None without events.
        slot_bits: 2^slot_bits slots; None where returns are not watched.
    """

    start: int
    functions: int
    ring_bits: int | None
    slot_bits: int | None

    @property
    def header(self) -> Span:
        """The header."""
        return Span(self.start, self.start + _HEADER_SIZE)

    @property
    def ring(self) -> Span:
        """The events; empty without."""
        return _behind(self.header, EVENT_SIZE, self.ring_bits)

    @property
    def rows(self) -> Span:
        """What is counted."""
        return Span(self.ring.end, self.ring.end + ROW.size * self.functions)

    @property
    def slots(self) -> Span:
        """Where return addresses are kept; empty without."""
        return _behind(self.rows, SLOT_SIZE, self.slot_bits)

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self.slots.end - self.start


def _behind(span: Span, size: int, bits: int | None) -> Span:
    return Span(span.end, span.end + (size << bits if bits is not None else 0))


def largest(start: int, room: int, functions: int, *, events: bool, returns: bool) -> DataLayout | None:
    """The largest data that fits; None if none does.

    Args:
        start: its address.
        room: bytes that are free there.
        functions: how many there are.
        events: whether calls go into a ring.
        returns: whether returns are watched.
    """
    slots = _SLOT_BITS[1] + 4 if events else _SLOT_BITS[0]
    tried = (
        DataLayout(start, functions, ring if events else None, slot if returns else None)
        for slot in range(slots, _SLOT_BITS[1] - 1, -1)
        for ring in range(_RING_BITS[0], _RING_BITS[1] - 1, -1)
    )
    return next((one for one in tried if one.size <= room), None)
