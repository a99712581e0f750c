"""Code that the kernel keeps or replaces at boot, as the processor's features are: entries for a patch.

An entry of `__ftr_fixup` and its like (arch/powerpc/include/asm/feature-fixups.h) has a mask, a value, and four
distances from itself: where the code begins and ends, and where its alternative does. In a patch object it becomes
mask, value, the place (an address), the number of words, and the alternative, as long as the code: with nops behind it,
as arch/powerpc/lib/feature-fixups.c writes them. Whether it is taken is told when the patch is applied
(oddtoc.live.fixups).
"""

from __future__ import annotations

import struct

from oddtoc import isa
from oddtoc.build.tables import Entry
from oddtoc.link.unitobject import UnitObject, UnitRelocation

_START, _END, _ALTERNATIVE, _ALTERNATIVE_END = 16, 24, 32, 40
PLACE = 16
"""Where in a patch object's entry the place is."""


def feature_entry(unit: UnitObject, entry: Entry) -> bytes | None:
    """What a patch object says of an entry, with nothing for its place; None where the alternative can't be copied."""
    found = {r.offset - entry.offset: (r.symbol, _offset(unit, r, entry)) for r in entry.relocations}
    if set(found) != {_START, _END, _ALTERNATIVE, _ALTERNATIVE_END}:
        return None
    size = found[_END][1] - found[_START][1]
    section = unit.sections[unit.symbols[found[_ALTERNATIVE][0]].section]
    start, end = found[_ALTERNATIVE][1], found[_ALTERNATIVE_END][1]
    words = [section.word(offset) for offset in range(start, end, 4)]
    is_bound = any(start <= relocation.offset < end for relocation in section.relocations)
    if is_bound or size <= 0 or not 0 <= end - start <= size or any(map(isa.depends_on_place, words)):
        return None
    words += [isa.NOP] * (size // 4 - len(words))
    packed = entry.data[:PLACE] + struct.pack(f"<QQ{len(words)}I", 0, len(words), *words)
    return packed + bytes(-len(packed) % 8)


def _offset(unit: UnitObject, relocation: UnitRelocation, entry: Entry) -> int:
    """What a distance leads to: it counts from the entry's begin, and its relocation from its own place."""
    return unit.symbols[relocation.symbol].value + relocation.addend - (relocation.offset - entry.offset)
