"""The changed functions of one unit, moved into a patch object with everything that they need.

What they refer to is, in this order: a part of the patch itself (another changed function, a new variable, a string),
or the running kernel's own: by name where a name stands once in it, else at the address that the code which runs there
tells (oddtoc.link.fidelity).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from oddtoc import isa
from oddtoc.build.canonical import Meanings, is_nameless
from oddtoc.build.compare import Comparison, is_fresh, parts
from oddtoc.build.entries import take_entry
from oddtoc.build.names import Found, KernelNames
from oddtoc.build.objectfile import ALLOC, EXECUTE, WRITE, NewSection, NewSymbol, ObjectFile
from oddtoc.build.refusal import Refusal
from oddtoc.link.decode import ADDR64, ENTRY, REL16_HA, REL16_LO, REL24, TOC16_HA, TOC16_LO, TOC16_LO_DS
from oddtoc.link.provided import is_provided
from oddtoc.link.unitobject import SECTION, WEAK, UnitObject, UnitRelocation, UnitSection, UnitSymbol

_CALLS = (REL24, 11)
_LD, _ADDI, _REGISTERS = 58, 14, 0x03FF0000
_PER_CPU = ".data..percpu"
_SWITCHES = "__dyndbg"
"""What the calls of pr_debug say of themselves, each with its switch."""


@dataclass
class Extracted:
    """What one unit gives a patch.

    Attributes:
        functions: changed function -> its symbol in the patch.
        written: variables whose first values are written in place.
        refusals: what is in the way.
        asked_keys: how many static keys are asked at run time.
    """

    functions: dict[str, NewSymbol] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    asked_keys: int = 0


class Extractor:
    """Moves functions of a unit into an object.

    Args:
        file: the unit's name, for refusals.
        unit: the new unit.
        comparison: what has changed in it.
        names: what names stand for in the running kernel.
        whole: the object that everything goes into.

    Attributes:
        target: what of that comes from this unit.
    """

    def __init__(
        self, file: str, unit: UnitObject, comparison: Comparison, names: KernelNames, whole: ObjectFile
    ) -> None:
        self.file = file
        self.unit = unit
        self.comparison = comparison
        self.names = names
        self.whole = whole
        self.target = ObjectFile(whole)
        self.meanings = Meanings(unit)
        self.by_name = {symbol.name: symbol for symbol in unit.functions}
        self.moved: dict[str, NewSymbol] = {}
        self.variables: dict[str, NewSymbol] = {}
        self.nameless: dict[int, NewSymbol] = {}
        self.toc: dict[tuple[NewSymbol, int] | bytes, int] = {}
        self.strings: dict[bytes, int] = {}
        self.others: list[Extractor] = []
        self.elsewhere: Callable[[str], NewSymbol | str | None] = lambda _name: None
        self.pending: list[Callable[[], None]] = []
        self.found = Extracted()

    def start(self) -> None:
        """Move all changed functions."""
        for name in parts(self.comparison.changed, self.unit):
            self.move(name)
        for name in self.comparison.changed:
            if name in self.moved:
                self.found.functions[name] = self.moved[name]
            else:
                self.refuse("no-site", name, "is a clone that is made where all lines are one, and does not run")

    def go_on(self) -> bool:
        """Move what they need, and what that needs; tell whether there was anything to do."""
        busy = bool(self.pending)
        while self.pending:
            self.pending.pop()()
        return busy

    def has_global(self, name: str) -> bool:
        """Whether this unit has a function or variable of that name that other files can name."""
        return any(symbol.name == name and symbol.binding for symbol in (*self.unit.functions, *self.unit.objects))

    def bring(self, name: str) -> NewSymbol | None:
        """A new function or variable of this unit, for another unit that the same fix changes."""
        function = self.by_name.get(name)
        if function is not None and function.binding:
            return self.move(name)
        variable = next((s for s in self.unit.objects if s.name == name and s.binding), None)
        return self.variable(variable, variable) if variable else None

    def refuse(self, kind: str, subject: str, reason: str) -> None:
        """Note something that is in the way."""
        refusal = Refusal(kind, self.file, subject, reason)
        if refusal not in self.found.refusals:
            self.found.refusals.append(refusal)

    def move(self, name: str) -> NewSymbol:
        """The function in the patch; moved there when it is first asked for, filled in later."""
        if name not in self.moved:
            symbol = self.by_name[name]
            source = self.unit.sections[symbol.section]
            section = self.target.section(f".text.{name}", ALLOC | EXECUTE, max(4, source.alignment))
            section.append(self.unit.bytes_of(symbol))
            self.moved[name] = self.target.function(name, section, 0, symbol.size, symbol.other)
            self.pending.append(lambda: self.fill(symbol, section))
            for part in parts([name], self.unit):
                self.move(part)
        return self.moved[name]

    def fill(self, symbol: UnitSymbol, section: NewSection) -> None:
        """Give a function its relocations and the entries of tables about it."""
        for relocation in self.unit.relocations_of(symbol):
            offset = relocation.offset - symbol.value
            target = self.unit.symbols[relocation.symbol]
            if target.name == "_mcount":
                # a patch has no ftrace sites
                section.data[offset : offset + 4] = isa.NOP.to_bytes(4, "little")
            elif relocation.type == ENTRY:
                self.set_up_toc(section, offset)
            elif relocation.type and not self.add_up(relocation, symbol, section):
                new = self.refer(relocation, symbol)
                if new:
                    section.relocations.append((offset, relocation.type, *new))
        for entry in self.meanings.entries.get(symbol.name, ()):
            take_entry(self, entry, symbol, section)

    def set_up_toc(self, section: NewSection, offset: int) -> None:
        """Compute r2 from r12 alone: what stands before the function, its distance from .TOC., does not come along."""
        section.data[offset : offset + 8] = struct.pack("<II", isa.ADDIS_R2_R12, isa.ADDI_R2_R2)
        toc = self.target.outside(".TOC.")
        section.relocations += [(offset, REL16_HA, toc, 0), (offset + 4, REL16_LO, toc, 4)]

    def add_up(self, relocation: UnitRelocation, user: UnitSymbol, code: NewSection) -> bool:
        """Make the load of an address from .toc a sum where the patch has what is there; tell whether it was one.

        An address that stands in a table could be anywhere afterwards: the patch would never be given back.
        """
        section = self.unit.sections.get(self.unit.symbols[relocation.symbol].section)
        if section is None or section.name != ".toc" or relocation.type not in (TOC16_HA, TOC16_LO_DS):
            return False
        entry = self.entry_at(section, self.unit.symbols[relocation.symbol].value + relocation.addend)
        referred = self.refer(entry, user) if entry else None
        offset = relocation.offset - user.value
        word = int.from_bytes(code.data[offset : offset + 4], "little")
        if referred is None or referred[0].section is None:
            return False
        if relocation.type == TOC16_HA:
            code.relocations.append((offset, TOC16_HA, *referred))
        elif isa.opcode(word) == _LD:
            code.data[offset : offset + 4] = (_ADDI << 26 | word & _REGISTERS).to_bytes(4, "little")
            code.relocations.append((offset, TOC16_LO, *referred))
        else:
            self.refuse("section", ".toc", f"is used by {user.name} for something else than a load")
        return True

    def refer(self, relocation: UnitRelocation, user: UnitSymbol) -> tuple[NewSymbol, int] | None:
        """What a relocation refers to in the patch; None if that was refused."""
        target = self.unit.symbols[relocation.symbol]
        if target.section == 0:
            return self.outside(target, relocation.addend)
        section = self.unit.sections.get(target.section)
        if section is None:
            return self.target.absolute(target.name, target.value), relocation.addend
        offset = target.value + relocation.addend
        if section.strings:
            return self.string(relocation)
        if section.name == ".toc":
            return self.toc_entry(section, offset, user)
        owner = self.unit.owner(target.section, offset)
        if section.executable:
            return self.code(relocation, target, owner, offset, user)
        if owner is None:
            return self.nameless_section(section, offset, user)
        symbol = self.variable(owner, user)
        return (symbol, offset - owner.value) if symbol else None

    def outside(self, symbol: UnitSymbol, addend: int) -> tuple[NewSymbol, int] | None:
        """A name of another file."""
        name = symbol.name
        if is_provided(name):
            return self.target.outside(name), addend
        found = self.names.outside(name)
        if found is None:
            brought = next((new for other in self.others if (new := other.bring(name)) is not None), None)
            fresh = brought or self.elsewhere(name)
            if isinstance(fresh, NewSymbol):
                return fresh, addend
            if symbol.binding == WEAK:
                return self.target.outside(name, WEAK), addend
            if fresh is None:
                self.refuse("symbol", name, "is not in the running kernel")
            else:
                self.refuse("elsewhere", name, fresh)
            return None
        if found.unique:
            return self.target.outside(name), addend
        return self.names.placed(self.target, name, found), addend

    def code(
        self, relocation: UnitRelocation, target: UnitSymbol, owner: UnitSymbol | None, offset: int, user: UnitSymbol
    ) -> tuple[NewSymbol, int] | None:
        """A place in code of this unit."""
        owner = owner or next((s for s in self.unit.functions if s.section == target.section), None)
        if owner is None:
            self.refuse("section", self.unit.sections[target.section].name, f"has code without a name, for {user.name}")
            return None
        inside = offset - owner.value
        running = self.names.function(owner.name)
        is_call = relocation.type in _CALLS
        taken = not is_call and inside == 0 and running is not None
        if owner.name in self.moved and not taken:
            new = self.moved[owner.name]
            addend = relocation.addend if target.type != SECTION else inside
            return (new, addend) if target.type != SECTION else (self.mark_of(new), addend)
        if running is None:
            if owner.name in self.comparison.new or self.is_new(owner.name):
                return self.new_function(relocation, target, owner, inside)
            self.refuse("symbol", owner.name, "is not where it can be found in the running kernel")
            return None
        if target.type == SECTION and inside:
            place = Found(owner.name, running.address + inside)
            return self.names.placed(self.target, f"{owner.name}+{inside}", place), 0
        addend = 0 if target.type == SECTION else relocation.addend
        return self.names.placed(self.target, owner.name, replace(running, other=owner.other)), addend

    def is_new(self, name: str) -> bool:
        """Whether the old unit has no such function."""
        return name not in self.names.old_functions

    def new_function(
        self, relocation: UnitRelocation, target: UnitSymbol, owner: UnitSymbol, inside: int
    ) -> tuple[NewSymbol, int]:
        """A function that the old unit has not: it comes along."""
        new = self.move(owner.name)
        return (self.mark_of(new), inside) if target.type == SECTION else (new, relocation.addend)

    def mark_of(self, symbol: NewSymbol) -> NewSymbol:
        """The start of the section that a symbol of the patch is in."""
        assert symbol.section is not None
        return self.target.mark(symbol.section)

    def string(self, relocation: UnitRelocation) -> tuple[NewSymbol, int]:
        """A copy of a string, or a place before or behind it."""
        strings = self.target.shared(".rodata.str1.8", ALLOC, 8)
        start, distance = self.unit.merged_place(relocation)
        content = self.unit.string_at(self.unit.symbols[relocation.symbol].section, start) + b"\0"
        if content not in self.strings:
            self.strings[content] = strings.append(content, 8)
        return self.target.mark(strings), self.strings[content] + distance

    def entry_at(self, toc: UnitSection, offset: int) -> UnitRelocation | None:
        """What an entry of .toc holds, if it is an address."""
        return next((r for r in toc.relocations if r.offset == offset and r.type == ADDR64), None)

    def toc_entry(self, section: UnitSection, offset: int, user: UnitSymbol) -> tuple[NewSymbol, int] | None:
        """An entry of .toc that holds an address, or a number."""
        entry = self.entry_at(section, offset)
        held = self.refer(entry, user) if entry else section.data[offset : offset + 8]
        if held is None:
            return None
        toc = self.target.shared(".toc", ALLOC | WRITE, 8)
        if held not in self.toc:
            self.toc[held] = toc.append(held if isinstance(held, bytes) else bytes(8), 8)
            if not isinstance(held, bytes):
                toc.relocations.append((self.toc[held], ADDR64, *held))
        return self.target.mark(toc), self.toc[held]

    def nameless_section(self, section: UnitSection, offset: int, user: UnitSymbol) -> tuple[NewSymbol, int] | None:
        """Jump tables and numbers: a copy."""
        if section.writable or section.index in self.unit.in_section:
            self.refuse("section", section.name, f"holds data without a name that {user.name} uses")
            return None
        if section.index not in self.nameless:
            new = self.target.section(section.name, ALLOC, section.alignment)
            new.append(section.data)
            self.nameless[section.index] = self.target.mark(new)
            self.pending.append(lambda: self.fill_data(section, 0, section.size, new, user))
        return self.nameless[section.index], offset

    def variable(self, symbol: UnitSymbol, user: UnitSymbol) -> NewSymbol | None:
        """A variable of the unit: the running kernel's, or a new one in the patch."""
        if symbol.name in self.variables:
            return self.variables[symbol.name]
        section = self.unit.sections[symbol.section]
        copied = is_nameless(symbol) or is_fresh(symbol.name) or section.name == _SWITCHES
        if not copied:
            running = self.names.variable(symbol, self.meanings)
            if running is not None:
                return self.names.placed(self.target, running.name, running)
            if self.names.is_known_variable(symbol):
                self.refuse("static-local", symbol.name, f"of {user.name} is more than one variable, or can't be found")
                return None
            if section.name.startswith(_PER_CPU):
                self.refuse("section", section.name, f"would need a new per-CPU variable {symbol.name}")
                return None
        flags = ALLOC | (WRITE if section.writable else 0)
        new = self.target.section(f"{'.data' if section.writable else '.rodata'}.{symbol.name}", flags)
        # a structure may have no members in this configuration, and still an address
        new.append(self.unit.bytes_of(symbol) or bytes(1), section.alignment)
        self.variables[symbol.name] = self.target.variable(symbol.name, new, 0, symbol.size)
        self.pending.append(lambda: self.fill_data(section, symbol.value, symbol.size, new, user))
        return self.variables[symbol.name]

    def fill_data(self, source: UnitSection, start: int, size: int, new: NewSection, user: UnitSymbol) -> None:
        """Give data its relocations."""
        for relocation in source.relocations:
            if start <= relocation.offset < start + size:
                referred = self.refer(relocation, user)
                if referred:
                    new.relocations.append((relocation.offset - start, relocation.type, *referred))
