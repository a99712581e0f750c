"""The doublewords of an image that get an address by relocation.

After linking those are the R_PPC64_RELATIVE entries (B + A; a kernel is linked for where it runs, so B is 0), in an
object before linking the R_PPC64_ADDR64 ones (S + A): ELFv2 ABI, 3.5.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from oddtoc.errors import ImageError
from oddtoc.image.layout import RELOCATION, FileType, Section, SectionType
from oddtoc.isa import Addresses

if TYPE_CHECKING:
    from oddtoc.image.elf import Image

_R_PPC64_RELATIVE: Final = 22
_R_PPC64_ADDR64: Final = 38


class Pointers(NamedTuple):
    """Columns of equal length (n,): the address of each pointer, and what it points to. Not sorted."""

    places: Addresses
    values: Addresses

    def within(self, start: int, end: int) -> Pointers:
        """Those whose place is from `start` up to, not including, `end`."""
        inside = (self.places >= start) & (self.places < end)
        return Pointers(self.places[inside], self.values[inside])


def read_pointers(image: Image) -> Pointers:
    """All pointers of an image.

    Raises:
        ImageError: a relocation names a symbol that is not there.
    """
    tables = [section for section in image.sections if section.type == SectionType.RELA]
    found = [_of_object(image, table) if image.type is FileType.REL else _of_linked(image, table) for table in tables]
    empty = np.empty(0, np.uint64)
    return Pointers(
        np.concatenate([empty, *(pointers.places for pointers in found)]),
        np.concatenate([empty, *(pointers.values for pointers in found)]),
    )


def _of_linked(image: Image, table: Section) -> Pointers:
    entries = _entries(image, table, _R_PPC64_RELATIVE)
    shift = np.uint64(image.shift)
    return Pointers(entries["offset"] + shift, entries["addend"].astype(np.uint64) + shift)


def _of_object(image: Image, table: Section) -> Pointers:
    entries = _entries(image, table, _R_PPC64_ADDR64)
    symbols = entries["symbol"].astype(np.intp)
    if table.info >= len(image.sections) or (len(symbols) and symbols.max() >= image.symbols.record_count):
        raise ImageError(f"{image.path}: {table.name} names a section or a symbol that is not there")
    values = image.symbols.start_of(symbols) + entries["addend"].astype(np.uint64)
    return Pointers(entries["offset"] + np.uint64(image.sections[table.info].address), values)


def _entries(image: Image, table: Section, kind: int) -> npt.NDArray[Any]:
    entries = image.records(table, RELOCATION)
    chosen: npt.NDArray[Any] = entries[entries["type"] == kind]
    return chosen
