"""Where a running kernel has room for new code: the hole in its image, and the gap before .bss.

The linker script of powerpc kernels aligns `__init_begin` to 16 or 32 MiB (arch/powerpc/kernel/vmlinux.lds.S,
STRICT_ALIGN_SIZE), so that between the last read-only section and `__init_begin` there is memory that lies inside the
kernel's read-only, executable mapping, is never freed, and that nothing uses: within one branch of all kernel text.
Between the last section with contents and `.bss` there is writable room up to the next page. Both are zero until
oddtoc comes; that is checked before every use.
"""

from __future__ import annotations

from oddtoc.errors import RoomError
from oddtoc.image.elf import Image
from oddtoc.places import BLOCK, Rooms, Span, align, toc_block

_PAGE = 4096
_JOURNAL_SIZE = 256 << 10
_COMMON_SIZE = 4 << 10
_CACHE_LINE = 128


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
    block = toc_block(image.toc or 0, journal.end)
    gap = _gap_before_bss(image)
    common = Span(gap.start, gap.start + _COMMON_SIZE)
    return Rooms(journal, Span(block, block + BLOCK), Span(block + BLOCK, high), common, Span(common.end, gap.end))


def _gap_before_bss(image: Image) -> Span:
    bss = image.section(".bss")
    if bss is None:
        raise RoomError(f"{image.path.name} has no .bss")
    ends = [s.end for s in image.sections if s.is_allocated and s.address < bss.address and s.size]
    return Span(align(max(ends), _CACHE_LINE), bss.address)
