"""Where each part of a payload goes: trampolines, stubs, code and constants in one area, data in another.

Three areas, because a target has three kinds of room: executable memory within a branch of the sites (`text`, which
also takes the constants), the block of return helpers (`helpers`), writable memory (`data`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from oddtoc.image.entry import Entry
from oddtoc.link.object import PatchObject, Replacement, Section
from oddtoc.link.relocations import RECIPES, Base
from oddtoc.mechanism.catalog import Mechanism

STUB_SIZE = 20
SLOT_SIZE = 8
BASE_ALIGNMENT = 128
"""Areas start at a multiple of this many bytes: a cache line, and enough for what gcc asks for."""


class Area(Enum):
    """The kinds of room in a target."""

    TEXT = "text"
    HELPERS = "helpers"
    DATA = "data"


@dataclass(frozen=True)
class Redirect:
    """One function of the target, what replaces it, and how.

    Attributes:
        replacement: the record in the patch object.
        entry: the function's entry in the target.
        mechanism: how calls get there and back.
    """

    replacement: Replacement
    entry: Entry
    mechanism: Mechanism

    @property
    def template(self) -> str | None:
        """The trampoline template, None where the site branches straight to the replacement."""
        uses_toc = self.replacement.symbol.local_offset > 0
        return self.mechanism.template(self.entry, replacement_uses_toc=uses_toc)


@dataclass
class Layout:
    """Offsets (bytes) from the start of an area.

    Attributes:
        sections: section index to its area and offset.
        trampolines: function name to its area and offset.
        stubs: name of a function outside to the offset of its call stub, in the text area.
        slots: symbol index to the offset of the doubleword that holds its address, in the text area.
        sizes: bytes that each area needs.
    """

    sections: dict[int, tuple[Area, int]] = field(default_factory=dict)
    trampolines: dict[str, tuple[Area, int]] = field(default_factory=dict)
    stubs: dict[str, int] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    sizes: dict[Area, int] = field(default_factory=lambda: dict.fromkeys(Area, 0))

    def reserve(self, area: Area, size: int, alignment: int) -> int:
        """Append `size` bytes to an area and return their offset."""
        start = -(-self.sizes[area] // alignment) * alignment
        self.sizes[area] = start + size
        return start


def lay_out(patch: PatchObject, redirects: Iterable[Redirect], *, own_toc: bool) -> Layout:
    """Decide where everything goes, from nothing but the object: addresses come later.

    Args:
        patch: the object.
        redirects: its functions, each with its mechanism.
        own_toc: the payload has a TOC pointer of its own, so calls to the outside need stubs.
    """
    layout = Layout()
    for redirect in redirects:
        if template := redirect.template:
            area = Area.HELPERS if redirect.mechanism.helper_block else Area.TEXT
            offset = layout.reserve(area, len(patch.template(template).data), 4)
            layout.trampolines[redirect.entry.function] = area, offset
    if own_toc:
        for name in dict.fromkeys(_outside_calls(patch)):
            layout.stubs[name] = layout.reserve(Area.TEXT, STUB_SIZE, 4)
    for section in sorted(patch.loaded, key=_order):
        area = Area.DATA if section.writable else Area.TEXT
        layout.sections[section.index] = area, layout.reserve(area, len(section.data), section.alignment)
    for symbol in dict.fromkeys(_slot_symbols(patch)):
        layout.slots[symbol] = layout.reserve(Area.TEXT, SLOT_SIZE, SLOT_SIZE)
    return layout


def _order(section: Section) -> tuple[bool, bool, int]:
    """Code first, then constants; initialised data before zeroed data."""
    return not section.executable, not any(section.data), section.index


def _outside_calls(patch: PatchObject) -> Iterator[str]:
    for section in patch.loaded:
        for relocation in section.relocations:
            recipe = RECIPES.get(relocation.type)
            symbol = patch.symbols[relocation.symbol]
            if recipe is not None and recipe.is_call and not symbol.defined:
                yield symbol.name


def _slot_symbols(patch: PatchObject) -> Iterator[int]:
    for section in patch.loaded:
        for relocation in section.relocations:
            recipe = RECIPES.get(relocation.type)
            if recipe is not None and recipe.base is Base.PLT_SLOT:
                yield relocation.symbol
