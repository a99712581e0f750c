"""What the dynamic linker has bound names to: the doublewords that its relocations of an object fill.

ELFv2 ABI, 3.5.4: R_PPC64_GLOB_DAT, R_PPC64_JMP_SLOT and R_PPC64_ADDR64 put the address of a symbol there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.image.layout import RELOCATION, SYMBOL, SectionType, string_at

_TYPES = (20, 21, 38)

ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]


def bound_to(image: Image, name: str, read_many: ReadMany) -> int | None:
    """What a name is bound to in an object: the address that is there now; None where the object does not use it.

    A function that was not called yet may be bound to the object's own code for lazy binding.

    Args:
        image: of the object, where it is loaded.
        name: a function's.
        read_many: reads live memory.
    """
    for section in image.sections:
        if section.type != SectionType.RELA or section.link >= len(image.sections):
            continue
        table = image.sections[section.link]
        if table.type != SectionType.DYNSYM or table.link >= len(image.sections):
            continue
        entries = image.records(section, RELOCATION)
        entries = entries[np.isin(entries["type"], _TYPES)]
        symbols = image.records(table, SYMBOL)
        strings = image.records(image.sections[table.link], "u1").tobytes()
        for entry in entries[entries["symbol"] < len(symbols)]:
            if string_at(strings, int(symbols["name"][entry["symbol"]])) == name and not entry["addend"]:
                (memory,) = read_many([(int(entry["offset"]) + image.shift, 8)])
                return int.from_bytes(memory, "little")
    return None
