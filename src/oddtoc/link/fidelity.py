"""Whether the functions of a compiled file are those that run, and what its local names stand for there.

A name is not enough: hundreds of static functions and variables share theirs. A function whose code is the one that
runs tells by its references where the sections of its file went, and so every static variable of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from oddtoc import isa
from oddtoc.errors import FaultError
from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.link.decode import ADDR64, REL24, DifferentCode, Reference, decode
from oddtoc.link.unitobject import SECTION, WEAK, UnitObject, UnitRelocation, UnitSymbol

_MERGED = 0x10


@dataclass
class Fidelity:
    """What was found.

    Attributes:
        unit: the file as it was compiled.
        addresses: function -> its global entry in the running image.
        different: function -> how it differs from what runs.
        absent: functions that the image has not.
        overridden: weak functions that another file defines too.
        sections: section index -> where it went.
    """

    unit: UnitObject
    addresses: dict[str, int] = field(default_factory=dict)
    different: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    overridden: list[str] = field(default_factory=list)
    sections: dict[int, int] = field(default_factory=dict)

    def address_of(self, name: str) -> int | None:
        """Where a function or variable of the file is in the running image; None where that is not known."""
        if name in self.addresses:
            return self.addresses[name]
        symbol = self._named.get(name)
        if symbol is None or symbol.section not in self.sections:
            return None
        return self.sections[symbol.section] + symbol.value

    @cached_property
    def _named(self) -> dict[str, UnitSymbol]:
        return {symbol.name: symbol for symbol in self.unit.objects}


def compare(unit: UnitObject, image: Image) -> Fidelity:
    """Compare every function of a compiled file with the running image."""
    return _Comparison(unit, image).run()


class _Comparison:
    def __init__(self, unit: UnitObject, image: Image) -> None:
        self.unit = unit
        self.image = image
        self.toc = image.toc or 0
        self.found = Fidelity(unit)
        self.names: dict[str, list[Symbol]] = {}

    def run(self) -> Fidelity:
        several = []
        for symbol in self.unit.functions:
            candidates = {s.address: s for s in self.candidates(symbol.name)}
            if not candidates:
                self.found.absent.append(symbol.name)
            elif len(candidates) > 1:
                several.append((symbol, sorted(candidates)))
            else:
                self.take(symbol, next(iter(candidates)))
        for symbol, addresses in several:
            self.choose(symbol, addresses)
        for symbol in self.unit.functions:
            if symbol.binding == WEAK and symbol.name in self.found.different:
                del self.found.different[symbol.name]
                self.found.overridden.append(symbol.name)
        return self.found

    def candidates(self, name: str) -> list[Symbol]:
        return [symbol for symbol in self.known(name) if symbol.is_function]

    def known(self, name: str) -> list[Symbol]:
        """All symbols of the image that have this name."""
        if name not in self.names:
            self.names[name] = self.image.symbols.find(name)
        return self.names[name]

    def take(self, symbol: UnitSymbol, address: int) -> None:
        """The function is at this address, or differs from what is there."""
        try:
            bases = self.matched(symbol, address)
        except DifferentCode as error:
            self.found.different[symbol.name] = str(error)
            return
        self.found.addresses[symbol.name] = address
        self.found.sections.update(bases)

    def choose(self, symbol: UnitSymbol, addresses: list[int]) -> None:
        """Of several functions of that name, the one that this code is; the nearest to its file's if they are twins."""
        fitting = []
        for address in addresses:
            try:
                fitting.append((address, self.matched(symbol, address)))
            except DifferentCode as error:
                reason = str(error)
        if not fitting:
            self.found.different[symbol.name] = f"{len(addresses)} functions have this name; {reason}"
            return
        known = [*self.found.addresses.values()] or [addresses[0]]
        middle = sorted(known)[len(known) // 2]
        address, bases = min(fitting, key=lambda found: abs(found[0] - middle))
        self.found.addresses[symbol.name] = address
        self.found.sections.update(bases)

    def matched(self, symbol: UnitSymbol, address: int) -> dict[int, int]:
        """Where sections went, if the function runs at this address.

        Raises:
            DifferentCode: another one does.
        """
        try:
            words = self.image.words(address, symbol.size // 4).tolist()
        except FaultError as error:
            raise DifferentCode("it ends beyond the image") from error
        sizes = {s.size for s in self.candidates(symbol.name) if s.address == address}
        if symbol.size not in sizes:
            raise DifferentCode(f"it runs with {sizes.pop()} bytes, compiled here it has {symbol.size}")
        bases: dict[int, int] = {}
        for reference in decode(self.unit, symbol, words, address, self.toc):
            for section, base in self.judge(reference):
                if bases.setdefault(section, base) != base or self.found.sections.get(section, base) != base:
                    name = self.unit.sections[section].name
                    raise DifferentCode(f"it refers to {name} in two places, {base:#x} and {bases[section]:#x}")
        return bases

    def judge(self, reference: Reference) -> Iterator[tuple[int, int]]:
        """The section that a reference leads to and where it went, if it leads to what the source says."""
        relocation = reference.relocation
        symbol, address = self.unit.symbols[relocation.symbol], reference.address
        if symbol.section in self.unit.sections and self.unit.sections[symbol.section].name == ".toc":
            place = symbol.value + relocation.addend
            entry = self.toc_entry(symbol.section, place)
            if entry is None:
                self.check_bytes(self.unit.sections[symbol.section].data[place : place + 8], address)
            else:
                yield from self.named(entry, address if reference.relaxed else self.pointer(address))
            return
        yield from self.named(relocation, address, call=relocation.type == REL24)

    def toc_entry(self, section: int, offset: int) -> UnitRelocation | None:
        entries = self.unit.sections[section].relocations
        return next((r for r in entries if r.offset == offset and r.type == ADDR64), None)

    def named(self, relocation: UnitRelocation, address: int, *, call: bool = False) -> Iterator[tuple[int, int]]:
        symbol = self.unit.symbols[relocation.symbol]
        if symbol.section == 0 or symbol.binding == WEAK:
            # where a weak one is overridden, the other file's definition is what runs
            self.check_name(symbol.name, address - relocation.addend, call=call)
        elif symbol.section in self.unit.sections:
            section = self.unit.sections[symbol.section]
            place = symbol.value + relocation.addend
            if section.flags & _MERGED:
                start, distance = self.unit.merged_place(relocation)
                self.check_constant(symbol.section, start, address - distance)
            elif call and section.executable:
                callee = self.callee(symbol, place)
                if callee is not None and not self.is_entry(callee.name, address):
                    raise DifferentCode(f"it calls {address:#x}, compiled here {callee.name}")
            else:
                yield symbol.section, address - place

    def callee(self, symbol: UnitSymbol, place: int) -> UnitSymbol | None:
        return self.unit.owner(symbol.section, place) if symbol.type == SECTION else symbol

    def check_name(self, name: str, address: int, *, call: bool) -> None:
        known = self.known(name)
        if not known or (call and (self.is_entry(name, address) or self.is_entry(name, self.behind_stub(address)))):
            return
        if address not in {s.address for s in known}:
            raise DifferentCode(f"it refers to {address:#x}, compiled here to {name}")

    def behind_stub(self, address: int) -> int:
        """Where a call through a long branch stub of ld's ends: a single branch to a far part of the text."""
        try:
            word = self.image.word(address)
        except FaultError:
            return address
        target = isa.branch_target(address, word) if isa.opcode(word) == 18 and not isa.is_link(word) else None
        return address if target is None else target

    def is_entry(self, name: str, address: int) -> bool:
        known = self.known(name)
        return not known or any(address in (s.address, s.local_entry) for s in known)

    def check_constant(self, section: int, offset: int, address: int) -> None:
        data = self.unit.sections[section]
        whole = self.unit.string_at(section, offset) + b"\0" if data.strings else data.data[offset : offset + 8]
        self.check_bytes(whole, address)

    def check_bytes(self, wanted: bytes, address: int) -> None:
        try:
            running = self.image.read(address, len(wanted))
        except FaultError:
            running = b""
        if running != wanted:
            raise DifferentCode(f"its constant at {address:#x} is {running[:40]!r}, compiled here {wanted[:40]!r}")

    def pointer(self, place: int) -> int:
        """What the doubleword at an address holds when the kernel runs."""
        places, values = self.sorted_pointers
        index = int(np.searchsorted(places, place))
        if index < len(places) and int(places[index]) == place:
            return int(values[index])
        return int.from_bytes(self.image.read(place, 8), "little")

    @cached_property
    def sorted_pointers(self) -> tuple[np.ndarray, np.ndarray]:
        places, values = self.image.pointers
        order = np.argsort(places)
        return places[order], values[order]
