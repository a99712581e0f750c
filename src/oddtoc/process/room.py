"""Room for payloads and records in a process: memory mapped by oddtoc, known again by the words at its start.

Every patched object has one arena within a branch of all its code; the process has one journal:

    arena, r-x:  header, 4 KiB     text     block of return helpers (see mechanism/storage/cr4.S)
    behind it, rw-:  data that all patches share, 1 KiB     data
    journal, r--:  header, 128 bytes     records

Nobody but a debugger can write to the first and the last.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from oddtoc.errors import FaultError, RoomError
from oddtoc.places import BLOCK, Rooms, Span, toc_block
from oddtoc.process.maps import PAGE, Mapping, nearest_gap

CODE_SIZE = 7 * PAGE
DATA_SIZE = PAGE
JOURNAL_SIZE = 4 * PAGE
HEADER = struct.Struct("<16sQQ")
"""Magic; the address of the object that it is for, 0 for the journal; 0."""
_MAGIC = b"oddtoc-process\n\1"
_HEADER_PAGE = 4 << 10
_JOURNAL_HEADER = 128
_COMMON_SIZE = 1 << 10
_BRANCH = 32 << 20
_ARENA, _JOURNAL = "r-xp", "r--p"
_MOST_CANDIDATES = 256

ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]


@dataclass(frozen=True)
class Area:
    """Memory that oddtoc has mapped, or is going to.

    Attributes:
        start: its address.
        owner: of the object whose code is patched from here; 0 for the journal.
        exists: whether it is mapped already.
    """

    start: int
    owner: int
    exists: bool

    @property
    def span(self) -> Span:
        """All of it."""
        return Span(self.start, self.start + (CODE_SIZE + DATA_SIZE if self.owner else JOURNAL_SIZE))

    @property
    def header(self) -> bytes:
        """What stands at its start."""
        return HEADER.pack(_MAGIC, self.owner, 0)

    @property
    def journal(self) -> Span:
        """The room for records."""
        return Span(self.start + _JOURNAL_HEADER, self.span.end)


def find_areas(mappings: Iterable[Mapping], read_many: ReadMany) -> list[Area]:
    """What oddtoc has mapped before, in this run or another.

    Args:
        mappings: of the process.
        read_many: reads its memory.
    """
    sizes = {_ARENA: CODE_SIZE, _JOURNAL: JOURNAL_SIZE}
    candidates = [m for m in mappings if m.is_anonymous and m.span.size >= sizes.get(m.permissions, 1 << 48)]
    starts = [mapping.span.start for mapping in candidates[:_MOST_CANDIDATES]]
    found = []
    for start, memory in zip(starts, _read_each(starts, read_many), strict=True):
        if len(memory) == HEADER.size:
            magic, owner, _ = HEADER.unpack(memory)
            if magic == _MAGIC:
                found.append(Area(start, owner, exists=True))
    return found


def _read_each(starts: Sequence[int], read_many: ReadMany) -> list[bytes]:
    try:
        return read_many([(start, HEADER.size) for start in starts]) if starts else []
    except FaultError:
        # one of them has gone meanwhile, or can't be read at all
        return [b""] * len(starts)


def plan_area(mappings: Sequence[Mapping], around: Span, owner: int, taken: Iterable[Span]) -> Area:
    """Where an area can go.

    Args:
        mappings: of the process.
        around: code that has to be within a branch of it.
        owner: see `Area`.
        taken: free memory that was promised to others.

    Raises:
        RoomError: there is no place near enough.
    """
    size = Area(0, owner, exists=False).span.size
    start = nearest_gap(mappings, around, size, taken)
    if start is None or max(around.end - start, start + size - around.start) >= _BRANCH:
        raise RoomError(
            f"no {size} bytes are free within a branch of the code at {around.start:#x}", address=around.start
        )
    return Area(start, owner, exists=False)


def rooms_in(arena: Area, toc: int, journal: Span) -> Rooms:
    """The rooms of an arena.

    Args:
        arena: it.
        toc: TOC pointer of the object that it is for.
        journal: of the process.
    """
    end = arena.start + CODE_SIZE
    block = toc_block(toc, end - 2 * BLOCK)
    text = Span(arena.start + _HEADER_PAGE, end - 2 * BLOCK)
    common = Span(end, end + _COMMON_SIZE)
    return Rooms(journal, Span(block, block + BLOCK), text, common, Span(common.end, end + DATA_SIZE))
