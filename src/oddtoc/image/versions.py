"""The versions of the symbols that a library exports: `foo@@V2`, which new programs get, beside `foo@V1` for old ones.

Sections .gnu.version and .gnu.version_d: Linux Standard Base, Core, "Symbol Versioning".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.layout import Section, SectionType, string_at

_HIDDEN: Final = 0x8000
_FIRST_NAMED: Final = 2
"""Index 0 is a local symbol, 1 one without version."""
_DEFINITION: Final = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u2"),
        ("index", "<u2"),
        ("count", "<u2"),
        ("hash", "<u4"),
        ("aux", "<u4"),
        ("next", "<u4"),
    ]
)


@dataclass(frozen=True)
class Versions:
    """Of all symbols of a table.

    Args:
        indices: of each symbol, in the order of the table: a version's number, with the highest bit where it is hidden.
        names: of the versions by number.
    """

    indices: npt.NDArray[np.uint16]
    names: dict[int, str]

    def name(self, position: int) -> str | None:
        """The version of the symbol at a position of the table; None where it has none."""
        index = int(self.indices[position]) & ~_HIDDEN if position < len(self.indices) else 0
        return self.names.get(index) if index >= _FIRST_NAMED else None

    def is_hidden(self, position: int) -> bool:
        """Whether the dynamic linker gives the symbol at a position only to those who ask for its version."""
        return position < len(self.indices) and bool(self.indices[position] & _HIDDEN)


def read_versions(sections: Sequence[Section], contents: Callable[[Section], bytes]) -> Versions | None:
    """Those of the symbols in .dynsym; None where it has none. What makes no sense is left out.

    Args:
        sections: of the image.
        contents: gives the bytes of one.
    """
    found = {section.type: section for section in sections}
    numbers, definitions = found.get(SectionType.VERSIONS), found.get(SectionType.VERSION_DEFINITIONS)
    if numbers is None or definitions is None or definitions.link >= len(sections):
        return None
    indices = np.frombuffer(contents(numbers)[: numbers.size // 2 * 2], "<u2")
    return Versions(indices, _names(contents(definitions), contents(sections[definitions.link])))


def _names(definitions: bytes, strings: bytes) -> dict[int, str]:
    names: dict[int, str] = {}
    place = 0
    while place + _DEFINITION.itemsize <= len(definitions):
        entry = np.frombuffer(definitions, _DEFINITION, 1, place)[0]
        name = definitions[place + int(entry["aux"]) :][:4]
        if entry["count"] and len(name) == 4:
            names[int(entry["index"]) & ~_HIDDEN] = string_at(strings, int.from_bytes(name, "little"))
        if not entry["next"]:
            break
        place += int(entry["next"])
    return names
