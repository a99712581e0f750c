"""A relocatable ELF file put together section by section. Layouts: oddtoc.image.layout; ELFv2 ABI, 4.1 (e_flags)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from oddtoc.image.layout import FILE_HEADER, RELOCATION, SECTION_HEADER, SYMBOL, FileType, SectionType
from oddtoc.link.unitobject import FUNC, GLOBAL, LOCAL, OBJECT, SECTION, SHN_ABS

_PROGBITS, _EM_PPC64, _ELF_V2 = 1, 21, 2
_INFO_LINK = 0x40
_NOTYPE: Final = 0
WRITE, ALLOC, EXECUTE = 1, 2, 4
"""sh_flags of the gABI."""


@dataclass(eq=False)
class NewSymbol:
    """A symbol. `section` is None for an undefined one; `absolute` ones have an address as their value."""

    name: str
    section: NewSection | None = None
    value: int = 0
    size: int = 0
    other: int = 0
    type: int = _NOTYPE
    binding: int = LOCAL
    absolute: bool = False


@dataclass(eq=False)
class NewSection:
    """A section; `relocations` are (offset, type, symbol, addend)."""

    name: str
    flags: int
    alignment: int = 1
    data: bytearray = field(default_factory=bytearray)
    relocations: list[tuple[int, int, NewSymbol, int]] = field(default_factory=list)
    type: int = _PROGBITS
    zeros: int = 0

    @property
    def size(self) -> int:
        """Bytes; those of a section without contents are `zeros`."""
        return self.zeros or len(self.data)

    def append(self, data: bytes, alignment: int = 1) -> int:
        """Put bytes behind what is there and return their offset."""
        self.data += bytes(-len(self.data) % alignment)
        self.alignment = max(self.alignment, alignment)
        start = len(self.data)
        self.data += data
        return start


class ObjectFile:
    """An object in the making.

    Args:
        whole: the object that this is a share of: what is put into a share is in the whole.

    Attributes:
        sections: in the order in which they were made.
    """

    def __init__(self, whole: ObjectFile | None = None) -> None:
        self.sections: list[NewSection] = []
        self._symbols: dict[NewSymbol, None] = {}
        self._whole = whole
        self._marks: dict[NewSection, NewSymbol] = whole._marks if whole else {}
        self._outside: dict[str, NewSymbol] = whole._outside if whole else {}
        self._absolute: dict[tuple[str, int, int], NewSymbol] = whole._absolute if whole else {}

    @property
    def symbols(self) -> list[NewSymbol]:
        """The symbols that are defined here, or that something was referred to by."""
        return list(self._symbols)

    def section(self, name: str, flags: int, alignment: int = 1) -> NewSection:
        """A new section."""
        new = NewSection(name, flags, alignment)
        for one in filter(None, (self, self._whole)):
            one.sections.append(new)
        return new

    def shared(self, name: str, flags: int, alignment: int = 1) -> NewSection:
        """The section of that name, made if need be."""
        found = next((section for section in self.sections if section.name == name), None)
        return found or self.section(name, flags, alignment)

    def function(self, name: str, section: NewSection, value: int, size: int, other: int) -> NewSymbol:
        """A function of this object, local: names of the kernel are not taken."""
        return self._add(NewSymbol(name, section, value, size, other, FUNC))

    def variable(self, name: str, section: NewSection, value: int, size: int) -> NewSymbol:
        """A variable of this object."""
        return self._add(NewSymbol(name, section, value, size, 0, OBJECT))

    def mark(self, section: NewSection) -> NewSymbol:
        """A nameless symbol at the start of a section."""
        return self._add(self._marks.setdefault(section, NewSymbol("", section, type=SECTION)))

    def outside(self, name: str, binding: int = GLOBAL) -> NewSymbol:
        """A symbol that the kernel defines, looked up by its name when the patch is applied; a weak one may be zero."""
        symbol = self._add(self._outside.setdefault(name, NewSymbol(name, binding=GLOBAL)))
        if binding != GLOBAL:
            symbol.binding = binding
        return symbol

    def absolute(self, name: str, address: int, other: int = 0) -> NewSymbol:
        """A symbol that is at this address of the one kernel that the patch is for."""
        symbol = NewSymbol(name, value=address, other=other, absolute=True)
        return self._add(self._absolute.setdefault((name, address, other), symbol))

    def _add(self, symbol: NewSymbol) -> NewSymbol:
        for one in filter(None, (self, self._whole)):
            one._symbols[symbol] = None
        return symbol

    def write(self, path: Path) -> None:
        """Write the file."""
        names, strings = bytearray(b"\0"), bytearray(b"\0")
        symbols = sorted(self.symbols, key=lambda symbol: symbol.binding != LOCAL)
        numbers = {symbol: number for number, symbol in enumerate(symbols, 1)}
        places = {section: number for number, section in enumerate(self.sections, 1)}
        rows = [(0,) * 6, *(self._row(symbol, strings, places) for symbol in symbols)]
        table = len(self.sections) + 1
        parts: list[tuple[str, int, int, bytes, int, int, int, int]] = [
            (s.name, s.type, s.flags, bytes(s.data) or bytes(s.zeros), 0, 0, s.alignment, 0) for s in self.sections
        ]
        first_global = 1 + sum(symbol.binding == LOCAL for symbol in symbols)
        content = np.array(rows, SYMBOL).tobytes()
        parts.append((".symtab", SectionType.SYMTAB, 0, content, table + 1, first_global, 8, SYMBOL.itemsize))
        parts.append((".strtab", SectionType.STRTAB, 0, bytes(strings), 0, 0, 1, 0))
        for section, number in places.items():
            if section.relocations:
                entries = [(offset, kind, numbers[s], addend) for offset, kind, s, addend in section.relocations]
                content = np.array(sorted(entries), RELOCATION).tobytes()
                name = f".rela{section.name}"
                parts.append((name, SectionType.RELA, _INFO_LINK, content, table, number, 8, RELOCATION.itemsize))
        path.write_bytes(_file(parts, names))

    @staticmethod
    def _row(symbol: NewSymbol, strings: bytearray, places: dict[NewSection, int]) -> tuple[int, ...]:
        name = len(strings) if symbol.name else 0
        if symbol.name:
            strings += symbol.name.encode() + b"\0"
        section = SHN_ABS if symbol.absolute else places[symbol.section] if symbol.section else 0
        return name, symbol.binding << 4 | symbol.type, symbol.other, section, symbol.value, symbol.size


def _file(parts: list[tuple[str, int, int, bytes, int, int, int, int]], names: bytearray) -> bytes:
    header = np.zeros(1, FILE_HEADER)
    body = bytearray(header.nbytes)
    headers = [(0,) * 10]
    for name, kind, flags, content, link, info, alignment, entry_size in [
        *parts,
        (".shstrtab", SectionType.STRTAB, 0, b"", 0, 0, 1, 0),
    ]:
        at = len(names)
        names += name.encode() + b"\0"
        content = content if name != ".shstrtab" else bytes(names)
        body += bytes(-len(body) % alignment)
        headers.append((at, kind, flags, 0, len(body), len(content), link, info, alignment, entry_size))
        body += content
    body += bytes(-len(body) % 8)
    # numpy's S16 drops trailing zeros and fills them up again
    ident = b"\x7fELF\x02\x01\x01"
    row = (ident, FileType.REL, _EM_PPC64, 1, 0, 0, len(body), _ELF_V2, 64, 0, 0, 64, len(headers), len(headers) - 1)
    header[0] = row
    body[: header.nbytes] = header.tobytes()
    return bytes(body) + np.array(headers, SECTION_HEADER).tobytes()
