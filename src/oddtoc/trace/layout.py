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
_MOST_RING_BITS, _FEWEST_RING_BITS = 15, 4
_MOST_SLOT_BITS, _MOST_SLOT_BITS_BESIDE_RING, _FEWEST_SLOT_BITS = 9, 8, 4


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
    most_slots = _MOST_SLOT_BITS_BESIDE_RING if events else _MOST_SLOT_BITS
    slots = range(most_slots, _FEWEST_SLOT_BITS - 1, -1) if returns else (None,)
    rings = range(_MOST_RING_BITS, _FEWEST_RING_BITS - 1, -1) if events else (None,)
    tried = (DataLayout(start, functions, ring, slot) for slot in slots for ring in rings)
    return next((one for one in tried if one.size <= room), None)
