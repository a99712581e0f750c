"""Room for payloads near a kernel's modules: memory that the kernel has given (build/support/room.c), for ever.

Modules are in mapped memory, far from the hole in the kernel's image. An arena serves all modules within a branch:

    code, r-x, 256 KiB:  header, 128 bytes     text     return helpers, 128 KiB
    data, rw-, 64 KiB

Of the helpers' part each module takes the block of 64 KiB that goes with its TOC pointer (see mechanism/storage/cr4.S).
It outlives the modules: a payload is never in memory that a removed module gives back.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from oddtoc.errors import RecordError
from oddtoc.kernel.offsets import ReadMany
from oddtoc.places import BLOCK, Rooms, Span, toc_block

FIRST = struct.Struct("<QQ")
"""What the kernel's common room holds of arenas: the address of the one that was made last, and the page size."""
_HEADER = struct.Struct("<16sQ")
_MAGIC = b"oddtoc-arena\n\0\0\1"
_HEADER_SIZE = 128
_CODE_SIZE, _DATA_SIZE = 256 << 10, 64 << 10
_BRANCH = 32 << 20
_MOST_ARENAS = 64


@dataclass(frozen=True)
class Arena:
    """One arena, by its address."""

    start: int

    @property
    def code(self) -> Span:
        """What is executed."""
        return Span(self.start, self.start + _CODE_SIZE)

    @property
    def text(self) -> Span:
        """The room for code and constants."""
        return Span(self.start + _HEADER_SIZE, self.code.end - 2 * BLOCK)

    @property
    def data(self) -> Span:
        """The room for data."""
        return Span(self.code.end, self.code.end + _DATA_SIZE)

    @property
    def span(self) -> Span:
        """All of it."""
        return Span(self.start, self.data.end)

    def reaches(self, code: Span) -> bool:
        """Whether one branch leads from anywhere in some code to anywhere in the arena."""
        return max(self.code.end - code.start, code.end - self.start) < _BRANCH

    def rooms(self, toc: int, journal: Span, common: Span) -> Rooms:
        """Its room for one module.

        Args:
            toc: the module's TOC pointer.
            journal: of the kernel.
            common: of the kernel.
        """
        block = toc_block(toc, self.text.end)
        return Rooms(journal, Span(block, block + BLOCK), self.text, common, self.data)


def find_arenas(place: int, read_many: ReadMany) -> Sequence[Arena]:
    """All arenas of a kernel.

    Args:
        place: where the address of the first one is.
        read_many: reads live memory.

    Raises:
        RecordError: what is there is none.
    """
    address, _ = FIRST.unpack(read_many([(place, FIRST.size)])[0])
    found: list[Arena] = []
    while address:
        magic, following = _HEADER.unpack(read_many([(address, _HEADER.size)])[0])
        if magic != _MAGIC or len(found) >= _MOST_ARENAS:
            raise RecordError(f"there should be room for patches of modules at {address:#x}", address=address)
        found.append(Arena(address))
        address = following
    return found
