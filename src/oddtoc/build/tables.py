"""The tables beside the code: entries that say something about single instructions of a function.

The kernel walks them in its own image and in modules. A patch takes the entries of its functions along
(`__bug_table`, `__ex_table`), answers them itself (`__jump_table`, see keys.py), or does what the kernel did with them
at boot (fixups, oddtoc.live.fixups). An entry belongs to the function that its first relocation points into.

Layouts: include/asm-generic/bug.h, include/asm-generic/extable.h, include/linux/jump_label.h, and
arch/powerpc/include/asm/feature-fixups.h.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from oddtoc.link.unitobject import UnitObject, UnitRelocation, UnitSection, UnitSymbol

BUGS, FAULTS, KEYS = "__bug_table", "__ex_table", "__jump_table"
ONE_WORD_FIXUPS: Final = ("__lwsync_fixup", "__barrier_nospec_fixup")
ENTRY_SIZES: Final = {BUGS: 12, FAULTS: 8, KEYS: 16, **dict.fromkeys(ONE_WORD_FIXUPS, 8)}
"""Section -> bytes of one entry, for all tables that a patch can have."""
FEATURES: Final = ("__ftr_fixup", "__mmu_ftr_fixup", "__fw_ftr_fixup")
"""Tables of code that the kernel may have replaced at boot; their distances count from the entry's begin."""
_FEATURE_SIZE, _FEATURE_PLACE = 48, 16
_BUG_LINE = slice(8, 10)
_TABLE = re.compile(r"__\w*(fixup|table)\Z|__ftr_alt_")


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Attributes:
        section: the table.
        offset: of the entry in it, bytes.
        size: bytes.
        relocations: those within the entry.
        place: bytes from the function's start of the instruction that it is about.
    """

    section: UnitSection
    offset: int
    size: int
    relocations: tuple[UnitRelocation, ...]
    place: int

    @property
    def data(self) -> bytes:
        """Its bytes before relocation."""
        return self.section.data[self.offset : self.offset + self.size]


def without_line(entry: Entry) -> bytes:
    """An entry before relocation; of BUG and WARN_ON without its line (`struct bug_entry` of asm-generic/bug.h)."""
    data = bytearray(entry.data)
    if entry.section.name == BUGS:
        data[_BUG_LINE] = bytes(2)
    return bytes(data)


def entries_by_function(unit: UnitObject) -> dict[str, list[Entry]]:
    """Function -> what tables say about its instructions, in the tables' order."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for section in unit.sections.values():
        size, first = ENTRY_SIZES.get(section.name, 0), 0
        if section.name in FEATURES:
            size, first = _FEATURE_SIZE, _FEATURE_PLACE
        if not size:
            continue
        relocations: dict[int, list[UnitRelocation]] = defaultdict(list)
        for relocation in section.relocations:
            relocations[relocation.offset // size].append(relocation)
        for number, inside in relocations.items():
            head = next((r for r in inside if r.offset == number * size + first), None)
            owner = place_of(unit, head, first) if head else None
            if owner:
                function, place = owner
                found[function.name].append(Entry(section, number * size, size, tuple(inside), place))
    return found


def place_of(unit: UnitObject, relocation: UnitRelocation, less: int = 0) -> tuple[UnitSymbol, int] | None:
    """The function that a relocation points into, with so many bytes less, and how far."""
    symbol = unit.symbols[relocation.symbol]
    offset = symbol.value + relocation.addend - less
    section = unit.sections.get(symbol.section)
    if section is None or not section.executable:
        return None
    owner = unit.owner(symbol.section, offset)
    if owner is None:
        # a place behind the last instruction: where the code goes on after a function that never returns
        owner = next((s for s in unit.in_section.get(symbol.section, ()) if s.value + s.size == offset), None)
    return (owner, offset - owner.value) if owner else None


def is_table(name: str) -> bool:
    """Whether a section's name is that of a table about code."""
    return name in ENTRY_SIZES or name in FEATURES or bool(_TABLE.match(name))
