"""The journal's memory in a target: entries, each with a record, and places where entries were given back.

A journal stands at the start of the kernel's hole. An entry is a header and a JSON body; entries follow each other at
multiples of 128 bytes, and the first header without magic ends the journal. A new entry's place is first reserved, as
a free entry; then comes the body, and the header last: an entry is there whole or not at all, wherever a writer is
killed. Its state is one aligned word and changes in the same stop as the words of the patch. The state is what oddtoc
meant to do: what is true is told from the live words.

Header, little endian: magic (8 bytes), state, capacity of the entry in bytes with its header, length of the body in
bytes, CRC-32 of the body (4 bytes each), 8 bytes of zero. A free entry has no body.

A target is not trusted: everything read from it is bounded and checked before it is used.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from oddtoc.errors import RecordError, RoomError
from oddtoc.live.record import Record, decode
from oddtoc.places import Span

MAGIC = b"oddtoc\x02\n"
HEADER = struct.Struct("<8sIIII8x")
STATE_OFFSET = 8
CAPACITY_OFFSET = 12
ALIGNMENT = 128
_FIRST_READ = 4096
_LONGEST_BODY = 200 << 10
_MOST_ENTRIES = 4096

Write = tuple[int, bytes]
"""An address, and what is written there."""


class State(IntEnum):
    """What oddtoc meant an entry to be."""

    INTENT = 1
    APPLIED = 2
    REVERTED = 3
    FREE = 4


@dataclass(frozen=True)
class JournalEntry:
    """An entry where it stands: its address, capacity in bytes, state, and record."""

    address: int
    capacity: int
    state: State
    record: Record


@dataclass(frozen=True)
class Gap:
    """A free entry: where it stands, header included, and whether the memory behind its header is zero."""

    span: Span
    clean: bool


@dataclass(frozen=True)
class Contents:
    """What stands in a journal.

    Attributes:
        entries: in the order of their records' serials.
        gaps: free entries, by address.
        end: where the journal ends.
    """

    entries: tuple[JournalEntry, ...]
    gaps: tuple[Gap, ...]
    end: int


def entry_bytes(record: Record, state: State) -> bytes:
    """The whole entry, padded to its capacity.

    Raises:
        RoomError: the record is too long for any journal.
    """
    body = record.encode()
    if len(body) > _LONGEST_BODY:
        raise RoomError(
            f"the record of {record.name} is {len(body)} bytes long", advice="split the patch, or trace fewer functions"
        )
    capacity = -(-(HEADER.size + len(body)) // ALIGNMENT) * ALIGNMENT
    header = HEADER.pack(MAGIC, state, capacity, len(body), zlib.crc32(body))
    return (header + body).ljust(capacity, b"\0")


def state_write(entry: int, state: State) -> Write:
    """What gives the entry at an address another state."""
    return entry + STATE_OFFSET, struct.pack("<I", state)


def place_for(contents: Contents, room: Span, size: int) -> int:
    """Where an entry of that many bytes can go: the first gap that is large enough, or the end.

    Raises:
        RoomError: the journal is full.
    """
    for gap in contents.gaps:
        if gap.clean and gap.span.size >= size:
            return gap.span.start
    if contents.end + size + HEADER.size > room.end:
        raise RoomError(
            "the journal of this target is full",
            address=contents.end,
            advice="oddtoc gc gives back records of reverted patches, and says which of them have to stay",
        )
    return contents.end


def entry_writes(contents: Contents, place: int, entry: bytes) -> list[Write]:
    """What puts an entry at its place, in the order in which it has to be written.

    Args:
        contents: of the journal, as it is.
        place: from `place_for`.
        entry: from `entry_bytes`.
    """
    gap = next((gap.span for gap in contents.gaps if gap.span.start == place), None)
    writes = [] if gap else [(place, _free_header(len(entry)))]
    writes.append((place + HEADER.size, entry[HEADER.size :]))
    if gap and gap.size > len(entry):
        writes.append((place + len(entry), _free_header(gap.size - len(entry))))
    return [*writes, (place, entry[: HEADER.size])]


def tidying_writes(gaps: Sequence[Gap], end: int) -> list[Write]:
    """What joins neighbouring gaps, zeroes them, and drops those at the end, in the order of writing.

    Args:
        gaps: by address.
        end: of the journal.
    """
    writes: list[Write] = []
    for run in _runs(gaps):
        start, size = run[0].span.start, run[-1].span.end - run[0].span.start
        last = run[-1].span.end == end
        if len(run) > 1:
            writes.append((start + CAPACITY_OFFSET, struct.pack("<I", size)))
        if len(run) > 1 or not run[0].clean:
            writes.append((start + HEADER.size, bytes(size - HEADER.size)))
        if last:
            writes.append((start, bytes(HEADER.size)))
    return writes


def read_journal(room: Span, read: Callable[[int, int], bytes]) -> Contents:
    """Everything in a target's journal.

    Args:
        room: where the journal is.
        read: reads live memory.

    Raises:
        RecordError: an entry is damaged, or was written by an oddtoc with another format.
    """
    entries: list[JournalEntry] = []
    gaps: list[Gap] = []
    memory = read(room.start, min(_FIRST_READ, room.size))
    offset = 0
    while offset + HEADER.size <= room.size and len(entries) + len(gaps) < _MOST_ENTRIES:
        memory = _extended(memory, offset + HEADER.size, room, read)
        magic, state, capacity, length, crc = HEADER.unpack_from(memory, offset)
        if magic == bytes(8):
            break
        place = room.start + offset
        if magic != MAGIC:
            raise RecordError(
                f"the journal at {place:#x} holds something that this oddtoc did not write", address=place
            )
        length = 0 if state == State.FREE else length
        if capacity % ALIGNMENT or not HEADER.size + length <= capacity <= room.size - offset or length > _LONGEST_BODY:
            raise RecordError(f"the journal entry at {place:#x} is damaged: its lengths make no sense", address=place)
        memory = _extended(memory, offset + capacity, room, read)
        body = memory[offset + HEADER.size : offset + capacity]
        if state == State.FREE:
            gaps.append(Gap(Span(place, place + capacity), clean=not any(body)))
        else:
            entries.append(_entry(place, capacity, state, body[:length], crc))
        offset += capacity
    entries.sort(key=lambda entry: entry.record.serial)
    return Contents(tuple(entries), tuple(gaps), room.start + offset)


def _entry(place: int, capacity: int, state: int, body: bytes, crc: int) -> JournalEntry:
    if zlib.crc32(body) != crc:
        raise RecordError(f"the journal entry at {place:#x} is damaged: its checksum is wrong", address=place)
    try:
        known = State(state)
    except ValueError:
        raise RecordError(f"the journal entry at {place:#x} is in the unknown state {state}", address=place) from None
    return JournalEntry(place, capacity, known, decode(body, place))


def _free_header(capacity: int) -> bytes:
    return HEADER.pack(MAGIC, State.FREE, capacity, 0, 0)


def _runs(gaps: Sequence[Gap]) -> list[list[Gap]]:
    """Gaps that follow each other, together."""
    runs: list[list[Gap]] = []
    for gap in gaps:
        if runs and runs[-1][-1].span.end == gap.span.start:
            runs[-1].append(gap)
        else:
            runs.append([gap])
    return runs


def _extended(memory: bytes, needed: int, room: Span, read: Callable[[int, int], bytes]) -> bytes:
    if needed <= len(memory):
        return memory
    more = min(max(needed - len(memory), len(memory)), room.size - len(memory))
    return memory + read(room.start + len(memory), more)
