"""A compiled unit, taken apart: sections, symbols and relocations as plain values that can be compared and moved."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from oddtoc.image.layout import (
    FILE_HEADER,
    RELOCATION,
    SECTION_HEADER,
    SYMBOL,
    SectionType,
    read_headers,
    string_at,
    table,
)

FUNC: Final = 2
OBJECT: Final = 1
SECTION: Final = 3
LOCAL: Final = 0
GLOBAL: Final = 1
WEAK: Final = 2
SHN_UNDEF: Final = 0
SHN_ABS: Final = 0xFFF1

_WRITE, _ALLOC, _EXECUTE, _MERGE, _STRINGS = 1, 2, 4, 0x10, 0x20


@dataclass(frozen=True, slots=True)
class UnitSymbol:
    """A symbol: its type, binding and section are the raw numbers of the gABI; `section` 0 is undefined."""

    index: int
    name: str
    type: int
    binding: int
    section: int
    value: int
    size: int
    other: int

    @property
    def local_offset(self) -> int:
        """Bytes from the global to the local entry (ELFv2 ABI 3.4.1)."""
        code = self.other >> 5
        return 0 if code < 2 else 1 << code


class UnitRelocation(NamedTuple):
    """A relocation: bytes into the section, type, symbol (index) and addend."""

    offset: int
    type: int
    symbol: int
    addend: int


@dataclass(eq=False)
class UnitSection:
    """A section with its relocations, sorted by offset."""

    index: int
    name: str
    type: int
    flags: int
    alignment: int
    size: int
    data: bytes
    relocations: list[UnitRelocation] = field(default_factory=list)

    @property
    def allocated(self) -> bool:
        """Whether it is part of a kernel."""
        return bool(self.flags & _ALLOC)

    @property
    def executable(self) -> bool:
        """Whether it holds instructions."""
        return bool(self.flags & _EXECUTE)

    @property
    def writable(self) -> bool:
        """Whether it can be written to."""
        return bool(self.flags & _WRITE)

    @property
    def strings(self) -> bool:
        """Whether it holds strings that linkers merge."""
        return self.flags & (_MERGE | _STRINGS) == (_MERGE | _STRINGS)

    def word(self, offset: int) -> int:
        """The instruction word there."""
        return int.from_bytes(self.data[offset & ~3 : (offset & ~3) + 4], "little")


class UnitObject:
    """A compiled unit.

    Args:
        path: the object file.

    Raises:
        ImageError: it is no ppc64le object, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = memoryview(path.read_bytes())
        headers = read_headers(path, data)
        self.sections: dict[int, UnitSection] = {}
        alignments = _alignments(data, len(headers.sections))
        for section in headers.sections:
            empty = section.type in (0, SectionType.NOBITS)
            content = b"" if empty else bytes(data[section.offset : section.offset + section.size])
            self.sections[section.index] = UnitSection(
                section.index,
                section.name,
                section.type,
                section.flags,
                alignments[section.index],
                section.size,
                content if not empty else bytes(section.size),
            )
        symbols = next(section for section in headers.sections if section.type == SectionType.SYMTAB)
        strings = self.sections[symbols.link].data
        rows = table(data, symbols.offset, symbols.size, SYMBOL, str(path)).tolist()
        self.symbols = [
            UnitSymbol(index, string_at(strings, name), info & 15, info >> 4, section, value, size, other)
            for index, (name, info, other, section, value, size) in enumerate(rows)
        ]
        for section in headers.sections:
            if section.type == SectionType.RELA:
                entries = table(data, section.offset, section.size, RELOCATION, str(path)).tolist()
                found = list(map(UnitRelocation._make, entries))
                self.sections[section.info].relocations = sorted(found, key=lambda entry: entry.offset)

    @cached_property
    def functions(self) -> list[UnitSymbol]:
        """All functions, in table order."""
        return [s for s in self.symbols if s.type == FUNC and s.section in self.sections and s.section]

    @cached_property
    def objects(self) -> list[UnitSymbol]:
        """All named data, in table order."""
        return [s for s in self.symbols if s.type == OBJECT and s.section in self.sections and s.section]

    @cached_property
    def in_section(self) -> dict[int, list[UnitSymbol]]:
        """Section index to its functions and objects, by offset."""
        found: dict[int, list[UnitSymbol]] = defaultdict(list)
        for symbol in (*self.functions, *self.objects):
            found[symbol.section].append(symbol)
        return {index: sorted(symbols, key=lambda s: s.value) for index, symbols in found.items()}

    def owner(self, section: int, offset: int) -> UnitSymbol | None:
        """The function or object that contains an offset of a section.

        An array's elements may be counted from before its start, so where a section holds one object alone, every
        offset belongs to that.
        """
        there = self.in_section.get(section, [])
        inside = [s for s in there if s.value <= offset < s.value + max(s.size, 1)]
        if not inside and len(there) == 1 and there[0].type == OBJECT:
            return there[0]
        return inside[-1] if inside else None

    def merged_place(self, relocation: UnitRelocation) -> tuple[int, int]:
        """Where the entry of a mergeable section begins that a relocation refers to, and how far from there it leads.

        What a named symbol stands for moves as a whole when linkers merge, and the addend may lead out of it: a loop
        with `*++p` begins before the string. With the section's own symbol the addend tells the entry.
        """
        symbol = self.symbols[relocation.symbol]
        if symbol.type == SECTION:
            return symbol.value + relocation.addend, 0
        return symbol.value, relocation.addend

    def relocations_of(self, symbol: UnitSymbol) -> list[UnitRelocation]:
        """The relocations within a function or an object."""
        end = symbol.value + symbol.size
        return [r for r in self.sections[symbol.section].relocations if symbol.value <= r.offset < end]

    def bytes_of(self, symbol: UnitSymbol) -> bytes:
        """The bytes of a function or an object, before relocation."""
        return self.sections[symbol.section].data[symbol.value : symbol.value + symbol.size]

    def string_at(self, section: int, offset: int) -> bytes:
        """The string that begins at an offset of a section, without its end."""
        data = self.sections[section].data
        end = data.find(b"\0", offset)
        return data[offset : end if end >= 0 else len(data)]


def _alignments(data: memoryview, count: int) -> list[int]:
    """sh_addralign of each section."""
    header = table(data, 0, FILE_HEADER.itemsize, FILE_HEADER, "object")[0]
    rows = table(data, int(header["shoff"]), count * SECTION_HEADER.itemsize, SECTION_HEADER, "object")
    return [max(1, int(row["addralign"])) for row in rows]
