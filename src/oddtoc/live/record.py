"""The record of what is applied, kept in the target itself.

A journal of entries at the start of the kernel's hole. An entry is a header and a JSON body; entries follow each
other at multiples of 128 bytes, and the first header without magic ends the journal. The header is written after the
body, so an entry is there whole or not at all; its state is one aligned word and changes in the same stop as the
words of the patch. The state is what oddtoc meant to do: what is true is told from the live words.

Header, little endian: magic (8 bytes), state, capacity of the entry in bytes with its header, length of the body in
bytes, CRC-32 of the body (4 bytes each), 8 bytes of zero.

A target is not trusted: everything read from it is bounded and checked before it is used.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from oddtoc.errors import RecordError, RoomError
from oddtoc.kernel.room import Span

MAGIC = b"oddtoc\x01\n"
HEADER = struct.Struct("<8sIIII8x")
STATE_OFFSET = 8
ALIGNMENT = 128
_FIRST_READ = 4096
_LONGEST_BODY = 200 << 10
_MOST_ENTRIES = 4096
_64 = 1 << 64


class State(IntEnum):
    """What oddtoc meant an entry to be."""

    INTENT = 1
    APPLIED = 2
    REVERTED = 3


@dataclass(frozen=True)
class Change:
    """A word of code: its address, what stood there, what stands there while the patch is applied, and what it is."""

    address: int
    old: int
    new: int
    role: str


@dataclass(frozen=True)
class FunctionRecord:
    """One redirected function.

    Attributes:
        name: of the function in the kernel.
        mechanism: by name.
        entry, behind: address of its global entry and of the word that holds the branch.
        target: where the branch goes.
        changes: the words that change, mark first.
    """

    name: str
    mechanism: str
    entry: int
    behind: int
    target: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Record:
    """One applied patch.

    Attributes:
        name: the patch's name, unique among those that are applied.
        sha256: of the patch object, in hex.
        time: when it was planned, seconds since 1970.
        functions: what it redirects.
        spans: the memory that its payload holds, by area.
    """

    name: str
    sha256: str
    time: int
    functions: tuple[FunctionRecord, ...]
    spans: dict[str, Span]

    def encode(self) -> bytes:
        """The body of its entry."""
        plain = asdict(self)
        plain["spans"] = {area: [span.start, span.end] for area, span in self.spans.items()}
        return json.dumps(plain, separators=(",", ":")).encode()


@dataclass(frozen=True)
class JournalEntry:
    """An entry where it stands: its address, capacity in bytes, state, and record (None where it was given back)."""

    address: int
    capacity: int
    state: State
    record: Record


def entry_bytes(record: Record, state: State) -> bytes:
    """The whole entry, padded to its capacity.

    Raises:
        RoomError: the record is too long for any journal.
    """
    body = record.encode()
    if len(body) > _LONGEST_BODY:
        raise RoomError(f"the record of {record.name} is {len(body)} bytes long", advice="split the patch")
    capacity = -(-(HEADER.size + len(body)) // ALIGNMENT) * ALIGNMENT
    header = HEADER.pack(MAGIC, state, capacity, len(body), zlib.crc32(body))
    return (header + body).ljust(capacity, b"\0")


def state_word(state: State) -> bytes:
    """The four bytes at STATE_OFFSET of an entry."""
    return struct.pack("<I", state)


def read_journal(room: Span, read: Callable[[int, int], bytes]) -> list[JournalEntry]:
    """All entries of a target's journal, oldest first.

    Args:
        room: where the journal is.
        read: reads live memory.

    Raises:
        RecordError: an entry is damaged, or was written by an oddtoc with another format.
    """
    entries: list[JournalEntry] = []
    memory = read(room.start, min(_FIRST_READ, room.size))
    offset = 0
    while offset + HEADER.size <= room.size and len(entries) < _MOST_ENTRIES:
        memory = _extended(memory, offset + HEADER.size, room, read)
        magic, state, capacity, length, crc = HEADER.unpack_from(memory, offset)
        if magic == bytes(8):
            return entries
        place = room.start + offset
        if magic != MAGIC:
            raise RecordError(
                f"the journal at {place:#x} holds something that this oddtoc did not write", address=place
            )
        if capacity % ALIGNMENT or not HEADER.size + length <= capacity <= room.size - offset or length > _LONGEST_BODY:
            raise RecordError(f"the journal entry at {place:#x} is damaged: its lengths make no sense", address=place)
        memory = _extended(memory, offset + capacity, room, read)
        body = memory[offset + HEADER.size : offset + HEADER.size + length]
        if zlib.crc32(body) != crc:
            raise RecordError(f"the journal entry at {place:#x} is damaged: its checksum is wrong", address=place)
        entries.append(JournalEntry(place, capacity, _state(state, place), _decode(body, place)))
        offset += capacity
    return entries


def end_of_journal(room: Span, entries: list[JournalEntry]) -> int:
    """Where the next entry goes."""
    return entries[-1].address + entries[-1].capacity if entries else room.start


def _extended(memory: bytes, needed: int, room: Span, read: Callable[[int, int], bytes]) -> bytes:
    if needed <= len(memory):
        return memory
    more = min(max(needed - len(memory), len(memory)), room.size - len(memory))
    return memory + read(room.start + len(memory), more)


def _state(value: int, place: int) -> State:
    try:
        return State(value)
    except ValueError:
        raise RecordError(f"the journal entry at {place:#x} is in the unknown state {value}", address=place) from None


def _decode(body: bytes, place: int) -> Record:
    try:
        plain = json.loads(body)
        functions = tuple(_function(one) for one in _list(plain["functions"]))
        spans = {_text(area): Span(*map(_address, _list(span))) for area, span in plain["spans"].items()}
        return Record(_text(plain["name"]), _text(plain["sha256"]), _address(plain["time"]), functions, spans)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"the journal entry at {place:#x} is damaged: {error}", address=place) from error


def _function(plain: dict[str, Any]) -> FunctionRecord:
    changes = tuple(
        Change(_address(one["address"]), _word(one["old"]), _word(one["new"]), _text(one["role"]))
        for one in _list(plain["changes"])
    )
    entry, behind, target = (_address(plain[key]) for key in ("entry", "behind", "target"))
    return FunctionRecord(_text(plain["name"]), _text(plain["mechanism"]), entry, behind, target, changes)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 256:
        raise TypeError("a name is malformed")
    return value


def _address(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < _64:
        raise TypeError("an address is malformed")
    return value


def _word(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise TypeError("a word is malformed")
    return value
