"""Registers as pypcode numbers them, and the machine that a trampoline runs on."""

from __future__ import annotations

from dataclasses import dataclass, field

import z3

from oddtoc.prove.bits import Bits, Term, join
from oddtoc.prove.memory import Memory, Range

_CR0, _XER = 0x900, 0x400
_SPR = 0x1000
NAMES: dict[int, str] = {
    **{8 * n: f"r{n}" for n in range(32)},
    **{_CR0 + n: f"CR{n}" for n in range(8)},
    _SPR + 0x40: "LR",
    _SPR + 0x48: "CTR",
}
"""Unit to name, for the registers that have one here."""
UNITS: dict[str, int] = {name: unit for unit, name in NAMES.items()}


def _unit(offset: int) -> tuple[int, int]:
    """Start and size of the unit that a byte of the register space belongs to."""
    if offset < 0x100 or offset >= _SPR:
        return offset & ~7, 8
    return offset, 1


@dataclass
class Registers:
    """The register space of pypcode, in units: 8 bytes for most, 1 for a field of CR and a bit of XER.

    Attributes:
        prefix: what stands before the names of values that are not known.
        units: unit to value, for units that were looked at or written.
    """

    prefix: str = ""
    units: dict[int, Bits] = field(default_factory=dict)

    def copy(self) -> Registers:
        """An independent copy."""
        return Registers(self.prefix, dict(self.units))

    def unit(self, start: int) -> Bits:
        """The value of a unit; unknown where nobody has written it."""
        if start not in self.units:
            _, size = _unit(start)
            name = self.prefix + NAMES.get(start, f"register.{start:#x}")
            self.units[start] = Bits(size, z3.BitVec(name, size * 8))
        return self.units[start]

    def named(self, name: str) -> Term:
        """The value of a register by name, as a z3 term."""
        return self.unit(UNITS[name]).term

    def read(self, offset: int, size: int) -> Bits:
        """`size` bytes of the register space."""
        parts = []
        while size:
            start, width = _unit(offset)
            taken = min(start + width - offset, size)
            parts.append(self.unit(start).part(offset - start, taken))
            offset, size = offset + taken, size - taken
        return join(parts)

    def write(self, offset: int, value: Bits) -> None:
        """Change the register space; bits of XER become unknown instead, because pypcode gets them wrong."""
        done = 0
        while done < value.size:
            start, width = _unit(offset + done)
            before = offset + done - start
            taken = min(width - before, value.size - done)
            part = value.part(done, taken)
            if _XER <= start < _XER + 0x100 or start == _SPR + 8:
                part = Bits(taken, z3.FreshConst(z3.BitVecSort(taken * 8), "XER"))
            old = self.unit(start)
            pieces = [old.part(0, before)] if before else []
            pieces.append(part)
            if before + taken < width:
                pieces.append(old.part(before + taken, width - before - taken))
            self.units[start] = join(pieces)
            done += taken


@dataclass(frozen=True)
class Access:
    """Memory that an instruction read or wrote."""

    range: Range
    written: bool


@dataclass
class Machine:
    """Registers and memory of one path, and what was read and written on it so far."""

    registers: Registers
    memory: Memory
    accesses: tuple[Access, ...] = ()

    def copy(self) -> Machine:
        """An independent copy."""
        return Machine(self.registers.copy(), self.memory, self.accesses)
