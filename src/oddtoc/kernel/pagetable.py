"""Kernel addresses outside of the linear map (vmalloc, modules), found through the kernel's page tables.

Only the radix tables of Power ISA 3.0 and later (Book III, "Radix Tree Translation"): each entry is a big-endian
doubleword that says whether it is valid, whether it is a leaf, and how large the next table is. The root is
`swapper_pg_dir`, with the size that Linux gives it (arch/powerpc/include/asm/book3s/64/radix.h).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oddtoc.errors import FaultError
from oddtoc.image.elf import Image
from oddtoc.kernel.offsets import ReadMany
from oddtoc.target.memory import LINEAR_MAP, is_linear

_ROOT_BITS, _ADDRESS_BITS = 13, 52
_VALID, _LEAF = 1 << 63, 1 << 62
_NEXT_TABLE, _NEXT_BITS = 0x0FFFFFFFFFFFFF00, 0x1F
_PAGE_ADDRESS = 0x01FFFFFFFFFFF000
_SMALLEST_PAGE = 4096


@dataclass(frozen=True)
class Page:
    """One page of kernel memory.

    Attributes:
        start, size: its virtual address, and bytes.
        linear: its address in the linear map.
    """

    start: int
    size: int
    linear: int


class PageTables:
    """Finds kernel memory wherever it is mapped.

    Args:
        image: the kernel's image.
    """

    def __init__(self, image: Image) -> None:
        roots = image.symbols.find("swapper_pg_dir")
        self._root = roots[0].address if roots else 0

    def reader(self, read_many: ReadMany) -> ReadMany:
        """A reader of any kernel address from one of the linear map."""

        def read_mapped(requests: Sequence[tuple[int, int]]) -> list[bytes]:
            found = self.pieces(requests, read_many)
            answers = iter(read_many([piece for parts in found for piece in parts]))
            return [b"".join(next(answers) for _ in parts) for parts in found]

        return read_mapped

    def pieces(self, spans: Sequence[tuple[int, int]], read_many: ReadMany) -> list[list[tuple[int, int]]]:
        """The pieces of the linear map, (address, size in bytes), that make up some memory.

        Args:
            spans: (address, size in bytes) each.
            read_many: reads memory of the linear map.

        Raises:
            FaultError: nothing is mapped there.
        """
        cut = [[span] if is_linear(*span) else list(_in_pages(*span)) for span in spans]
        addresses = {address for parts in cut for address, size in parts if not is_linear(address, size)}
        pages = dict(zip(sorted(addresses), self.pages(sorted(addresses), read_many), strict=True))

        def linear(address: int) -> int:
            page = pages.get(address)
            return page.linear + address - page.start if page else address

        return [[(linear(address), size) for address, size in parts] for parts in cut]

    def pages(self, addresses: Sequence[int], read_many: ReadMany) -> list[Page]:
        """The pages around some addresses, looked up together.

        Raises:
            FaultError: nothing is mapped at one, or the kernel's tables are not radix tables.
        """
        found: dict[int, Page] = {}
        # address -> the table to look into, the bits of the address that choose an entry, and those below
        walks = {address: (self._root, _ROOT_BITS, _ADDRESS_BITS) for address in addresses}
        while walks:
            places = {address: _place(address, *walk) for address, walk in walks.items()}
            memory = read_many([(place, 8) for place in places.values()])
            for address, entry in zip(places, (int.from_bytes(one, "big") for one in memory), strict=True):
                below = walks[address][2] - walks[address][1]
                if entry & _VALID and entry & _LEAF:
                    found[address] = _page(address, entry, 1 << below)
                    del walks[address]
                else:
                    walks[address] = (
                        LINEAR_MAP | entry & _NEXT_TABLE if entry & _VALID else 0,
                        entry & _NEXT_BITS,
                        below,
                    )
        return [found[address] for address in addresses]


def _place(address: int, table: int, bits: int, above: int) -> int:
    """The address of the entry that is next on the way to an address."""
    if not table or not 0 < bits <= above:
        raise FaultError(f"nothing is mapped at {address:#x}, as far as can be told", address=address, size=8)
    return table + 8 * ((address >> (above - bits)) & ((1 << bits) - 1))


def _page(address: int, entry: int, size: int) -> Page:
    start = address & -size
    return Page(start, size, LINEAR_MAP | entry & _PAGE_ADDRESS & -size)


def _in_pages(address: int, size: int) -> Iterable[tuple[int, int]]:
    while size > 0:
        piece = min(size, _SMALLEST_PAGE - address % _SMALLEST_PAGE)
        yield address, piece
        address, size = address + piece, size - piece
