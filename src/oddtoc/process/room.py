"""Room for payloads and records in a process: memory mapped by oddtoc, known again by the words at its start.

Every patched object has one arena, within a branch of all its code where that is free, otherwise as near as there is
room: within 2 GiB, which is how far a TOC pointer reaches (`addis`, `addi`). The process has one journal:

    arena, r-x:  header, 4 KiB     text     block of return helpers (see mechanism/storage/cr4.S)
    behind it, rw-:  data that all patches share, 1 KiB     data
    journal, r--:  header, 128 bytes     records

Nobody but a debugger can write to the first and the last.

Where a branch does not reach the arena, islands (link/layout.py) stand behind the object's text: the last page of its
executable mapping holds what follows in the file, and nothing refers to that there. What of it is zero is room.
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
_TOC_REACH = (2 << 30) - (1 << 20)
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

    def reaches(self, code: Span, distance: int = _BRANCH) -> bool:
        """Whether all of some code is within so many bytes of it, one branch unless told otherwise."""
        return max(code.end - self.start, self.span.end - code.start) < distance


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
        around: code that it has to be near to.
        owner: see `Area`.
        taken: free memory that was promised to others.

    Raises:
        RoomError: there is no place near enough.
    """
    size = Area(0, owner, exists=False).span.size
    start = nearest_gap(mappings, around, size, taken)
    area = Area(start or 0, owner, exists=False)
    if start is None or not area.reaches(around, _TOC_REACH):
        raise RoomError(
            f"no {size} bytes are free within 2 GiB of the code at {around.start:#x}",
            address=around.start,
            advice="the process has mapped all of it: patch it before it does, or have it map less",
        )
    return area


def rooms_in(arena: Area, toc: int, journal: Span, code: Span, islands: tuple[Span, ...]) -> Rooms:
    """The rooms of an arena.

    Args:
        arena: it.
        toc: TOC pointer of the object that it is for.
        journal: of the process.
        code: of that object.
        islands: unused executable memory of that object.
    """
    end = arena.start + CODE_SIZE
    block = toc_block(toc, end - 2 * BLOCK)
    text = Span(arena.start + _HEADER_PAGE, end - 2 * BLOCK)
    common = Span(end, end + _COMMON_SIZE)
    data = Span(common.end, end + DATA_SIZE)
    return Rooms(journal, Span(block, block + BLOCK), text, common, data, arena.reaches(code), islands)
