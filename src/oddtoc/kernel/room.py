"""Where a running kernel has room for new code: the hole in its image, and the gap before .bss.

The linker script of powerpc kernels aligns `__init_begin` to 16 or 32 MiB (arch/powerpc/kernel/vmlinux.lds.S,
STRICT_ALIGN_SIZE), so that between the last read-only section and `__init_begin` there is memory that lies inside the
kernel's read-only, executable mapping, is never freed, and that nothing uses: within one branch of all kernel text.
Between the last section with contents and `.bss` there is writable room up to the next page. Both are zero until
oddtoc comes; that is checked before every use.

Behind the code of a module there is room up to the end of its last page: the loader zeroes it, and gives code pages
that are executed and not written to (CONFIG_STRICT_MODULE_RWX), so nothing else is in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oddtoc.errors import RoomError
from oddtoc.image.elf import Image
from oddtoc.image.live import ReadMany
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


@dataclass(frozen=True)
class ModuleRoom:
    """The room behind the code of a module.

    Attributes:
        header: where the room begins, with words that tell it from code of the module; 16 bytes.
        exists: whether they stand there.
        text: the room for payloads behind them.
    """

    header: int
    exists: bool
    text: Span

    MAGIC = b"oddtoc module\n\0\1"

    @classmethod
    def behind(cls, code: int, end: int, read_many: ReadMany) -> ModuleRoom:
        """Find it.

        Args:
            code: the end of the module's code; stubs that the loader has made may follow.
            end: that of the module's pages of code.
            read_many: reads live memory.
        """
        start = min(align(code, len(cls.MAGIC)), end)
        memory = read_many([(start, end - start)])[0] if start < end else b""
        found = memory.find(cls.MAGIC)
        in_use = np.flatnonzero(np.frombuffer(memory, "u1"))
        offset = found if found >= 0 else int(in_use[-1]) + 1 if len(in_use) else 0
        header = min(align(start + offset, len(cls.MAGIC)), end)
        return cls(header, found >= 0, Span(min(header + len(cls.MAGIC), end), end))
