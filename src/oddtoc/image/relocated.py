"""Where the branches and tables of an object before linking will lead: its relocations.

Types: ELFv2 ABI, 3.5.4. A branch to a function of the object goes to its local entry, one to an undefined symbol to
a stub (ELFv2 ABI, 3.5.3; the module loader of powerpc kernels, arch/powerpc/kernel/module_64.c).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from oddtoc.errors import ImageError
from oddtoc.image.elf import Image
from oddtoc.image.functions import LOCAL_OFFSETS
from oddtoc.image.layout import RELOCATION, Section, SectionType
from oddtoc.isa import Addresses

_BRANCHES: Final = (10, 11, 12, 13, 116, 124)
"""REL24, REL14, REL14_BRTAKEN, REL14_BRNTAKEN, REL24_NOTOC, REL24_P9NOTOC"""
_TOGETHER: Final = (26, 44)
"""REL32, REL64: a word that says how far away something is"""


class Relocated(NamedTuple):
    """Columns of equal length (n,): addresses of relocated words, where they lead, and whether that is elsewhere."""

    places: Addresses
    targets: Addresses
    is_outside: npt.NDArray[np.bool_]


def relocated_branches(image: Image) -> Relocated:
    """Every branch with a relocation.

    Raises:
        ImageError: a relocation names a symbol that is not there.
    """
    found = [
        _read(image, table, _BRANCHES, to_local_entry=True)
        for table, applied in _tables(image)
        if applied.is_executable
    ]
    return _joined(found)


def relocated_distances(image: Image, prefix: str, step: int = 0) -> Addresses:
    """Where the entries of tables lead that say how far away something is.

    Args:
        image: an object before linking.
        prefix: what the names of the tables' sections begin with.
        step: bytes from one record of the table to the next, to look at the first word of each; 0: at all words.
    """
    found = []
    for table, applied in _tables(image):
        if applied.name.startswith(prefix):
            entries = _read(image, table, _TOGETHER)
            first = (entries.places - np.uint64(applied.address)) % np.uint64(step or 1) == 0
            found.append(Relocated(*(column[first] for column in entries)))
    return _joined(found).targets


def _tables(image: Image) -> list[tuple[Section, Section]]:
    """Every table of relocations, with the section that it is about."""
    tables = [section for section in image.sections if section.type == SectionType.RELA]
    return [(table, image.sections[table.info]) for table in tables if 0 < table.info < len(image.sections)]


def _read(image: Image, table: Section, types: tuple[int, ...], *, to_local_entry: bool = False) -> Relocated:
    entries = image.records(table, RELOCATION)
    entries = entries[np.isin(entries["type"], types)]
    symbols = entries["symbol"].astype(np.intp)
    if len(symbols) and symbols.max() >= image.symbols.record_count:
        raise ImageError(f"{image.path}: {table.name} names a symbol that is not there")
    records = image.symbols.records[symbols]
    targets = image.symbols.start_of(symbols) + entries["addend"].astype(np.uint64)
    if to_local_entry:
        targets = targets + _offset_of_local_entry(records)
    base = np.uint64(image.sections[table.info].address)
    return Relocated(entries["offset"] + base, targets, records["shndx"] == 0)


def _offset_of_local_entry(records: npt.NDArray[Any]) -> Addresses:
    offsets: Addresses = np.array((*LOCAL_OFFSETS, 0), np.uint64)[records["other"] >> 5]
    return offsets


def _joined(parts: list[Relocated]) -> Relocated:
    nothing = Relocated(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.bool_))
    places, targets, is_outside = (np.concatenate(columns) for columns in zip(nothing, *parts, strict=True))
    return Relocated(places, targets, is_outside)
