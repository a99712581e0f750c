"""What a relocation means, in terms that stay the same from one compilation to the next.

Compilers number static variables and constants, and merge strings; two objects of nearly the same source agree in none
of these numbers. A meaning is a tuple: a function or variable by name, a string by its bytes, a nameless constant by
its contents.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from typing import Any

from oddtoc.build.tables import Entry, entries_by_function, without_line
from oddtoc.link.unitobject import UnitObject, UnitRelocation, UnitSection, UnitSymbol

Meaning = tuple[Any, ...]

_NUMBER = re.compile(r"\.\d+\Z")
_UNIQUE = re.compile(r"(__UNIQUE_ID_\w*?)\d+\Z")
_NAMELESS = re.compile(r"(CSWTCH|__func__|__FUNCTION__|__PRETTY_FUNCTION__|__msg|C\.\d+)(\.\d+)*\Z")
"""Constants that compilers name, or NL_SET_ERR_MSG of include/linux/netlink.h; nothing depends on their identity."""
_DEEPEST = 8


def plain_name(name: str) -> str:
    """The name of a variable as the source has it: without the number that tells static ones apart."""
    return _UNIQUE.sub(r"\1", _NUMBER.sub("", name))


def is_nameless(symbol: UnitSymbol) -> bool:
    """Whether a symbol is a constant that only the compiler has named."""
    return bool(_NAMELESS.match(symbol.name))


class Meanings:
    """The meanings of one unit's relocations."""

    def __init__(self, unit: UnitObject) -> None:
        self.unit = unit

    @cached_property
    def entries(self) -> dict[str, list[Entry]]:
        """Function -> entries of tables about it."""
        return entries_by_function(self.unit)

    def of_function(self, symbol: UnitSymbol) -> Meaning:
        """All that a function is: its bytes, what they refer to, and what tables say about it."""
        relocations = self.unit.relocations_of(symbol)
        return (
            self.unit.bytes_of(symbol),
            tuple((r.offset - symbol.value, r.type, self.of(r)) for r in relocations),
            tuple(sorted(map(self.of_entry, self.entries.get(symbol.name, ())), key=repr)),
        )

    def of_entry(self, entry: Entry) -> Meaning:
        """A table's entry, wherever it stands there, and of whatever line."""
        inside = tuple((r.offset - entry.offset, r.type, self.of(r)) for r in entry.relocations)
        return entry.section.name, without_line(entry), inside

    def of_object(self, symbol: UnitSymbol, depth: int = 0) -> Meaning:
        """The contents of a variable."""
        inside = self.unit.relocations_of(symbol)
        relocations = tuple((r.offset - symbol.value, r.type, self.of(r, depth + 1)) for r in inside)
        section = self.unit.sections[symbol.section]
        return section.writable, self.unit.bytes_of(symbol), relocations

    def of(self, relocation: UnitRelocation, depth: int = 0) -> Meaning:
        """What a relocation refers to."""
        symbol = self.unit.symbols[relocation.symbol]
        if symbol.section not in self.unit.sections or not symbol.section:
            return "outside", symbol.name, relocation.addend
        if self.unit.sections[symbol.section].strings:
            start, distance = self.unit.merged_place(relocation)
            return "string", self.unit.string_at(symbol.section, start), distance
        return self.at(symbol.section, symbol.value + relocation.addend, depth)

    def at(self, index: int, offset: int, depth: int = 0) -> Meaning:
        """What stands at an offset of a section."""
        section = self.unit.sections[index]
        if section.name == ".toc":
            entry = next((r for r in section.relocations if r.offset == offset), None)
            return ("toc", self.of(entry, depth + 1)) if entry else ("number", section.data[offset : offset + 8])
        owner = self.unit.owner(index, offset)
        if owner is None:
            return self.of_nameless(section, offset, depth)
        if is_nameless(owner) and depth < _DEEPEST:
            return "constant", self.of_object(owner, depth), offset - owner.value
        return "named", plain_name(owner.name) if not section.executable else owner.name, offset - owner.value

    def of_nameless(self, section: UnitSection, offset: int, depth: int) -> Meaning:
        """Contents of a section without names: jump tables, numbers."""
        if depth >= _DEEPEST or section.writable:
            return "nameless", section.name, offset
        inside = tuple((r.offset, r.type, self.of(r, depth + 1)) for r in section.relocations)
        return "constant", (section.data, inside), offset

    @cached_property
    def users(self) -> dict[str, set[str]]:
        """Variable, by its own name -> functions and variables that refer to it."""
        found: dict[str, set[str]] = defaultdict(set)
        for user in (*self.unit.functions, *self.unit.objects):
            for relocation in self.unit.relocations_of(user):
                for target in self.targets(relocation):
                    found[target.name].add(plain_name(user.name))
        return found

    def targets(self, relocation: UnitRelocation) -> list[UnitSymbol]:
        """The variable or function of this unit that a relocation leads to, through .toc where it does."""
        symbol = self.unit.symbols[relocation.symbol]
        if not symbol.section or symbol.section not in self.unit.sections:
            return []
        offset = symbol.value + relocation.addend
        if self.unit.sections[symbol.section].name == ".toc":
            entries = [r for r in self.unit.sections[symbol.section].relocations if r.offset == offset]
            return [target for entry in entries for target in self.targets(entry)]
        owner = self.unit.owner(symbol.section, offset)
        return [owner] if owner else []
