"""A module's file linked by itself, at addresses that nothing has: what it refers to can then be read from its words.

A .ko is the output of `ld -r`: each of its files is in it with all relocations. Every section gets an address here, and
every name that it lacks one behind them, so that code compiled from a file's source can be compared with it as with a
kernel's (oddtoc.link.fidelity). `where` turns an address of this image back into a section and an offset, which a
module has wherever it is loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from oddtoc.errors import ImageError
from oddtoc.image.elf import Image
from oddtoc.image.functions import LOCAL_OFFSETS
from oddtoc.image.layout import RELOCATION, SYMBOL, Section, SectionType
from oddtoc.image.placed import placed
from oddtoc.link.relocations import RECIPES, Base, Recipe, apply
from oddtoc.link.unitobject import SHN_ABS

_START = 0x10000000
_TOC = ".TOC."
_TOC_BIAS = 0x8000
_SLOT = 16
_ALIGNMENT = 256
"""That of .toc (arch/powerpc/kernel/module.lds.S in Linux), the highest that sections of modules ask for."""


def link_by_itself(name: str, content: bytes) -> Image:
    """The image of a module that is nowhere.

    Args:
        name: what errors call it.
        content: of the .ko.

    Raises:
        ImageError: it is no module for ppc64le, or damaged.
    """
    file = Image.of_bytes(name, content)
    bases, end = _bases(file)
    toc = next((bases[s.index] for s in file.sections if s.name == ".toc" and s.index in bases), _START) + _TOC_BIAS
    at_places = _with_outside(file, toc, end)
    image = placed(at_places, bases, {}, toc)
    return placed(at_places, bases, {section.index: _linked(image, section) for section in _filled(image)}, toc)


def where(image: Image, address: int) -> tuple[str, int]:
    """The name of the section that an address of such an image is in, and the offset there.

    Raises:
        ImageError: it is in none.
    """
    for section in image.sections:
        if section.is_allocated and section.address <= address < section.address + max(section.size, 1):
            return section.name, address - section.address
    raise ImageError(f"{image.path} has no section at {address:#x}")


def _bases(file: Image) -> tuple[dict[int, int], int]:
    """Addresses for all sections that get loaded, one behind the other, and the end."""
    bases, place = {}, _START
    for section in file.sections:
        if section.is_allocated:
            bases[section.index] = place
            place += section.size + -section.size % _ALIGNMENT + _ALIGNMENT
    return bases, place


def _with_outside(file: Image, toc: int, end: int) -> Image:
    """The file with a place for each name that it lacks: close behind it, as for stubs."""
    table = next(section for section in file.sections if section.type == SectionType.SYMTAB)
    records = file.records(table, SYMBOL).copy()
    for number in np.flatnonzero((records["shndx"] == 0) & (records["name"] != 0)).tolist():
        is_toc = file.symbols.symbol(number).name == _TOC
        records[number]["value"] = toc if is_toc else end + _SLOT * number
        records[number]["shndx"] = SHN_ABS
    data = bytearray(file.file_bytes)
    data[table.offset : table.offset + table.size] = records.tobytes()
    return Image.of_bytes(file.path.name, bytes(data))


def _filled(image: Image) -> list[Section]:
    """The sections that get loaded and have relocations."""
    about = {section.info for section in image.sections if section.type == SectionType.RELA}
    return [s for s in image.sections if s.is_allocated and s.has_contents and s.index in about]


def _linked(image: Image, section: Section) -> bytes:
    content = bytearray(image.contents(section))
    for table in image.sections:
        if table.type == SectionType.RELA and table.info == section.index:
            for entry in image.records(table, RELOCATION):
                recipe = RECIPES.get(int(entry["type"]))
                if recipe is not None and recipe.size:
                    _relocate(image, section, content, recipe, entry)
    return bytes(content)


def _relocate(image: Image, section: Section, content: bytearray, recipe: Recipe, entry: Any) -> None:
    offset, number = int(entry["offset"]), int(entry["symbol"])
    if offset + recipe.size > len(content) or number >= image.symbols.record_count:
        raise ImageError(f"{image.path}: a relocation of {section.name} is about nothing that is there")
    symbol = image.symbols.records[number]
    value = int(image.symbols.start_of(np.array([number]))[0]) + int(entry["addend"])
    if recipe.is_call:
        value += (*LOCAL_OFFSETS, 0)[int(symbol["other"]) >> 5]
    distances = {Base.RELATIVE: section.address + offset, Base.TOC: image.toc or 0}
    value = (image.toc or 0) if recipe.base is Base.TOC_POINTER else value - distances.get(recipe.base, 0)
    field = memoryview(content)[offset : offset + recipe.size]
    apply(recipe, field, value, symbol=f"symbol {number}", place=f"{section.name}+{offset:#x}")
