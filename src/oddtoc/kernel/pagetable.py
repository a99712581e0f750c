"""Kernel addresses outside of the linear map (vmalloc), found through the kernel's page tables.

Only the radix tables of Power ISA 3.0 and later (Book III, "Radix Tree Translation"): each entry is a big-endian
doubleword that says whether it is valid, whether it is a leaf, and how large the next table is. The root is
`swapper_pg_dir`, with the size that Linux gives it (arch/powerpc/include/asm/book3s/64/radix.h).
"""

from __future__ import annotations

from collections.abc import Sequence

from oddtoc.errors import FaultError
from oddtoc.image.elf import Image
from oddtoc.kernel.offsets import ReadMany
from oddtoc.target.qemu import LINEAR_MAP

_ROOT_BITS, _ADDRESS_BITS = 13, 52
_LINEAR_BITS = 51
_VALID, _LEAF = 1 << 63, 1 << 62
_NEXT_TABLE, _NEXT_BITS = 0x0FFFFFFFFFFFFF00, 0x1F
_PAGE_ADDRESS = 0x01FFFFFFFFFFF000
_SMALLEST_PAGE = 4096


class PageTables:
    """Reads kernel memory wherever it is mapped.

    Args:
        image: the kernel's image.
    """

    def __init__(self, image: Image) -> None:
        roots = image.symbols.find("swapper_pg_dir")
        self._root = roots[0].address if roots else 0

    def reader(self, read_many: ReadMany) -> ReadMany:
        """A reader of any kernel address from one of the linear map."""

        def read_mapped(requests: Sequence[tuple[int, int]]) -> list[bytes]:
            return [b"".join(read_many(self._pieces(address, size, read_many))) for address, size in requests]

        return read_mapped

    def _pieces(self, address: int, size: int, read_many: ReadMany) -> list[tuple[int, int]]:
        if address >> _LINEAR_BITS == LINEAR_MAP >> _LINEAR_BITS:
            return [(address, size)]
        found = []
        while size > 0:
            piece = min(size, _SMALLEST_PAGE - address % _SMALLEST_PAGE)
            found.append((self.linear(address, read_many), piece))
            address, size = address + piece, size - piece
        return found

    def linear(self, address: int, read_many: ReadMany) -> int:
        """The address in the linear map of what is mapped at an address.

        Raises:
            FaultError: nothing is, or the kernel's tables are not radix tables.
        """
        table, bits, below = self._root, _ROOT_BITS, _ADDRESS_BITS
        while table and 0 < bits <= below:
            below -= bits
            index = (address >> below) & ((1 << bits) - 1)
            entry = int.from_bytes(read_many([(table + 8 * index, 8)])[0], "big")
            if not entry & _VALID:
                break
            if entry & _LEAF:
                offset = (1 << below) - 1
                return LINEAR_MAP | (entry & _PAGE_ADDRESS & ~offset) | (address & offset)
            table, bits = LINEAR_MAP | entry & _NEXT_TABLE, entry & _NEXT_BITS
        raise FaultError(f"nothing is mapped at {address:#x}, as far as can be told", address=address, size=8)
