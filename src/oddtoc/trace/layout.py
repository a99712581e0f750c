"""Where the data of a trace stands, and what it looks like: the numbers of passage.h.

    slots: return addresses     header     ring of events     a row for each function
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from oddtoc.places import SLOT_SIZE, Span

HEADER_SIZE = 128
EVENT_SIZE = 128
ROW = struct.Struct("<4Q")
"""Calls, returns, ticks in all, ticks of the longest."""
HEAD_AND_MISSED = struct.Struct("<Q8xQ")
MOST_RING_BITS, FEWEST_RING_BITS = 12, 4
MOST_SLOT_BITS, FEWEST_SLOT_BITS = 8, 4


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
    def slots(self) -> Span:
        """Where return addresses are kept; empty without."""
        size = SLOT_SIZE << self.slot_bits if self.slot_bits is not None else 0
        return Span(self.start, self.start + size)

    @property
    def header(self) -> int:
        """Address of the header."""
        return self.slots.end

    @property
    def ring(self) -> Span:
        """The events; empty without."""
        size = EVENT_SIZE << self.ring_bits if self.ring_bits is not None else 0
        return Span(self.header + HEADER_SIZE, self.header + HEADER_SIZE + size)

    @property
    def rows(self) -> Span:
        """What is counted."""
        return Span(self.ring.end, self.ring.end + ROW.size * self.functions)

    @property
    def read(self) -> Span:
        """All that is read again and again."""
        return Span(self.header, self.rows.end)

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self.rows.end - self.start


def largest(start: int, room: int, functions: int, *, events: bool, returns: bool) -> DataLayout | None:
    """The largest data that fits; None if none does.

    Args:
        start: its address.
        room: bytes that are free there.
        functions: how many there are.
        events: whether calls go into a ring.
        returns: whether returns are watched.
    """
    rings = range(MOST_RING_BITS, FEWEST_RING_BITS - 1, -1) if events else [None]
    slots = range(MOST_SLOT_BITS, FEWEST_SLOT_BITS - 1, -1) if returns else [None]
    # a slot more lets one more call be away; an event more lets the reader come a little later
    tried = (DataLayout(start, functions, ring, slot) for slot in slots for ring in rings)
    return next((one for one in tried if one.size <= room), None)
