"""What is new in one part of a patch, and used by another: the part of the kernel proper has a new function, say, that
the part of a module calls.

The part that has it lists it in a section, one address each. The other part has an undefined symbol,
``name:new-in:vmlinux``: where that is tells the record of the first part, when the other one is applied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from oddtoc.errors import PatchError
from oddtoc.image.functions import LOCAL_OFFSETS
from oddtoc.link.object import ObjectSymbol, PatchObject

FRESH_SECTION = ".oddtoc.fresh"
_ENTRY = struct.Struct("<8x")
_MARK = ":new-in:"
_ADDR64 = 38


@dataclass(frozen=True)
class Fresh:
    """Something new of another part, where it is in a target.

    Attributes:
        name: of the function or variable.
        address: of a function the global entry.
        other: st_other of its symbol.
    """

    name: str
    address: int
    other: int = 0

    @property
    def local_entry(self) -> int:
        """Calls from another part go to the global entry; this is the other one."""
        return self.address + (*LOCAL_OFFSETS, 0)[self.other >> 5]


def fresh_name(name: str, image: str) -> str:
    """The undefined symbol that stands for something new in the part of an image."""
    return f"{name}{_MARK}{image}"


def read_fresh(symbol: str) -> tuple[str, str] | None:
    """Name and image that a symbol stands for; None for all others."""
    name, mark, image = symbol.partition(_MARK)
    return (name, image) if mark else None


def fresh_of(patch: PatchObject) -> Iterator[tuple[ObjectSymbol, int, int]]:
    """What other parts may use of a part: symbol, section and offset of each.

    Raises:
        PatchError: the section is malformed.
    """
    for section in patch.sections.values():
        if section.name != FRESH_SECTION:
            continue
        targets = {relocation.offset: relocation for relocation in section.relocations}
        for offset in range(0, len(section.data), _ENTRY.size):
            relocation = targets.get(offset)
            symbol = patch.symbols[relocation.symbol] if relocation and relocation.type == _ADDR64 else None
            if relocation is None or symbol is None or symbol.section not in patch.sections:
                raise PatchError(f"{patch.name}: an entry of {FRESH_SECTION} does not point into this object")
            yield symbol, symbol.section or 0, symbol.value + relocation.addend


def needed_parts(patch: PatchObject) -> dict[str, PatchObject]:
    """The other parts of its patch that a part uses something new of, by the image that each changes.

    Raises:
        PatchError: the patch has no such part.
    """
    used = {relocation.symbol for section in patch.loaded for relocation in section.relocations}
    wanted = {found[1] for index in used if (found := read_fresh(patch.symbols[index].name))}
    if not wanted:
        return {}
    parts = {image: part for part in (patch.first or patch).parts for image in part.images}
    if missing := sorted(wanted - parts.keys()):
        raise PatchError(f"{patch.name} uses what is new in {missing[0]}, and the patch has no part for that")
    return {image: parts[image] for image in sorted(wanted)}
