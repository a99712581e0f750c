"""Where a running kernel has room for new code: the hole in its image, and the gap before .bss.

The linker script of powerpc kernels aligns `__init_begin` to 16 or 32 MiB (arch/powerpc/kernel/vmlinux.lds.S,
STRICT_ALIGN_SIZE), so that between the last read-only section and `__init_begin` there is memory that lies inside the
kernel's read-only, executable mapping, is never freed, and that nothing uses: within one branch of all kernel text.
Between the last section with contents and `.bss` there is writable room up to the next page. Both are zero until
oddtoc comes; that is checked before every use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oddtoc.errors import RoomError
from oddtoc.image.elf import Image

_PAGE = 4096
_JOURNAL_SIZE = 256 << 10
_BLOCK = 64 << 10
_COMMON_SIZE = 4 << 10
_CACHE_LINE = 128


@dataclass(frozen=True, order=True)
class Span:
    """Addresses from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.start <= address < self.end


@dataclass(frozen=True)
class Rooms:
    """The room of one kernel, by use.

    Attributes:
        journal: for the records.
        helpers: one block of return helpers of the odd-toc mechanism, 64 KiB, aligned to the TOC pointer.
        text: for code and constants.
        common: writable data that all patches share, 4 KiB.
        data: for writable data of payloads.
    """

    journal: Span
    helpers: Span
    text: Span
    common: Span
    data: Span


def rooms(image: Image) -> Rooms:
    """Find the room in a kernel image.

    Raises:
        RoomError: the image has no hole of at least 1 MiB below `__init_begin`.
    """
    high = image.symbols.one("__init_begin").address
    occupied = [section.end for section in image.sections if section.is_allocated and section.address < high]
    low = -(-max(occupied, default=high) // _PAGE) * _PAGE
    if high - low < 1 << 20:
        raise RoomError(
            f"{image.path.name} has no unused executable memory below __init_begin ({max(high - low, 0)} bytes)",
            advice="oddtoc needs 1 MiB there for payloads and records",
        )
    journal = Span(low, low + _JOURNAL_SIZE)
    block = _toc_block(image.toc or 0, journal.end)
    gap = _gap_before_bss(image)
    common = Span(gap.start, gap.start + _COMMON_SIZE)
    return Rooms(journal, Span(block, block + _BLOCK), Span(block + _BLOCK, high), common, Span(common.end, gap.end))


def _toc_block(toc: int, low: int) -> int:
    """The first address from `low` on where TOC - address has a new upper half (see mechanism/storage/cr4.S)."""
    return low + (toc + 1 - low) % _BLOCK


def _gap_before_bss(image: Image) -> Span:
    bss = image.section(".bss")
    if bss is None:
        raise RoomError(f"{image.path.name} has no .bss")
    ends = [s.end for s in image.sections if s.is_allocated and s.address < bss.address and s.size]
    return Span(_align(max(ends), _CACHE_LINE), bss.address)


def allocate(room: Span, used: Iterable[Span], size: int, alignment: int = _CACHE_LINE) -> int:
    """The lowest free place in a room.

    Args:
        room: where to look.
        used: what is taken; spans elsewhere don't matter.
        size: bytes.
        alignment: of the place, bytes.

    Returns:
        Its address.

    Raises:
        RoomError: no gap is large enough.
    """
    place = _align(room.start, alignment)
    for span in sorted(used):
        if span.end <= place or span.start >= room.end:
            continue
        if place + size <= span.start:
            break
        place = _align(span.end, alignment)
    if place + size > room.end:
        raise RoomError(
            f"no room for {size} bytes between {room.start:#x} and {room.end:#x}",
            advice="revert patches that are no longer needed, or make the payload smaller",
        )
    return place


def _align(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment
