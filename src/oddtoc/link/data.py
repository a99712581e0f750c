"""Variables whose first values a patch writes in place: the records of its section `.oddtoc.data`.

Made by oddtoc.build.data, which describes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from oddtoc.errors import PatchError
from oddtoc.link.object import DATA_SECTION, PatchObject

NAME_SIZE: Final = 128
RECORD: Final = struct.Struct(f"<{NAME_SIZE}sQQ")
_POINTER, _SIZE, _ADDR64 = RECORD.size, RECORD.size + 8, 38
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class DataWrite:
    """Words of a variable.

    Attributes:
        name: of the variable.
        address: of the first word, in the one kernel that the patch is for; 0 for one of a module.
        spot: the name of its place in a module (oddtoc.kernel.spot); empty for one of the kernel proper.
        size: bytes, whole words.
        section, offset: where the new words are in the patch object.
    """

    name: str
    address: int
    size: int
    section: int
    offset: int
    spot: str = ""


def data_writes(patch: PatchObject) -> Iterator[DataWrite]:
    """What a patch writes in place.

    Raises:
        PatchError: the section is malformed, or the patch does not say which kernel it is for.
    """
    for table in (section for section in patch.sections.values() if section.name == DATA_SECTION):
        if len(table.data) % _SIZE or patch.kernel is None:
            raise PatchError(f"{patch.name}: {DATA_SECTION} is no multiple of {_SIZE} bytes, or is for any kernel")
        places = {relocation.offset: relocation for relocation in table.relocations if relocation.type == _ADDR64}
        for start in range(0, len(table.data), _SIZE):
            raw, address, size = RECORD.unpack_from(table.data, start)
            place = places.get(start + _POINTER)
            symbol = patch.symbols[place.symbol] if place else None
            section = patch.sections.get(symbol.section) if symbol and symbol.section is not None else None
            if place is None or symbol is None or section is None or not section.loaded:
                raise PatchError(f"{patch.name}: a record of {DATA_SECTION} does not point to new words")
            offset = symbol.value + place.addend
            if address % 4 or size % 4 or not 0 < size <= _MOST_BYTES or not 0 <= offset <= len(section.data) - size:
                raise PatchError(f"{patch.name}: a record of {DATA_SECTION} is not of whole words that are there")
            name = raw.split(b"\0", 1)[0].decode("ascii", "replace")
            spot = places.get(start + NAME_SIZE)
            where = patch.symbols[spot.symbol].name if spot else ""
            yield DataWrite(name, address, size, section.index, offset, where)
