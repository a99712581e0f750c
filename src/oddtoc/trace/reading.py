"""What is read of a trace: counts, and events out of the ring that is written meanwhile."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from oddtoc.trace.layout import EVENT_SIZE, HEADER, ROW, DataLayout

_EVENT = struct.Struct("<Qq3Q9QQQ")
_VALUES = slice(6, 14)


@dataclass(frozen=True)
class Count:
    """What is counted of one function. Times are ticks of the timebase, those of functions that it calls included."""

    calls: int
    returns: int
    ticks: int
    longest: int


@dataclass(frozen=True)
class Event:
    """A call, or its return.

    Attributes:
        number: of the event.
        function: index of the function.
        is_return: what it is.
        ticks: when; of the timebase.
        thread: the address of the task in a kernel; the thread pointer in a process.
        caller: the return address.
        frame: the caller's r1, the same at the call and at its return.
        values: r3 to r10 of a call; r3 and the ticks that it took of a return.
        r13: the PACA of the CPU in a kernel.
    """

    number: int
    function: int
    is_return: bool
    ticks: int
    thread: int
    caller: int
    frame: int
    values: tuple[int, ...]
    r13: int


@dataclass(frozen=True)
class Reading:
    """What one look has found.

    Attributes:
        counts: of each function.
        events: new ones, in order.
        lost: events, so far, that were overwritten before anybody read them.
        missed: calls, so far, that found no slot: their returns were not seen.
    """

    counts: tuple[Count, ...]
    events: tuple[Event, ...]
    lost: int
    missed: int


class Reader:
    """Makes sense of the data of one trace, read again and again.

    Args:
        data: where it stands.

    Attributes:
        ring_size: entries.
    """

    def __init__(self, data: DataLayout) -> None:
        self._data = data
        self.ring_size = 1 << data.ring_bits if data.ring_bits is not None else 0
        self._next = 0
        self._open: list[int] = []
        self._lost = 0

    @property
    def requests(self) -> list[tuple[int, int]]:
        """What has to be read, (address, size in bytes), in this order: the header after the ring."""
        spans = [self._data.ring, self._data.rows, self._data.header]
        return [(span.start, span.size) for span in spans if span.size]

    def make(self, memory: list[bytes]) -> Reading:
        """What was read.

        Args:
            memory: for `requests`.
        """
        *ring, rows, header = memory
        head, missed = HEADER.unpack_from(header)
        counts = tuple(Count(*row) for row in ROW.iter_unpack(rows))
        events = self._events(head, ring[0]) if ring else ()
        return Reading(counts, events, self._lost, missed)

    def _events(self, head: int, ring: bytes) -> tuple[Event, ...]:
        """Those that are complete. Others are looked for again, until their place in the ring is somebody else's.

        The head was read last: an entry that had begun to be overwritten before is not among those it leaves.
        """
        oldest = max(head - self.ring_size, 0)
        first = max(self._next, oldest)
        self._lost += first - self._next
        wanted = [*self._open, *range(first, head)]
        self._next = head
        self._open = []
        found = []
        for number in wanted:
            event = self._event(ring, number) if number >= oldest else None
            if event is not None:
                found.append(event)
            elif number >= oldest:
                self._open.append(number)
            else:
                self._lost += 1
        return tuple(sorted(found, key=lambda event: event.number))

    def _event(self, ring: bytes, number: int) -> Event | None:
        fields = _EVENT.unpack_from(ring, number % self.ring_size * EVENT_SIZE)
        if not fields[0] == fields[-1] == number + 1:
            return None
        function = fields[1]
        index, is_return = (~function, True) if function < 0 else (function, False)
        if index >= self._data.functions:
            return None
        values = fields[_VALUES][:2] if is_return else fields[_VALUES]
        _, _, ticks, thread, caller, frame = fields[:6]
        return Event(number, index, is_return, ticks, thread, caller, frame, values, fields[14])
