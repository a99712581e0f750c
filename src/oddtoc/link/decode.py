"""What the relocated fields of running code refer to: the linker's work, read backwards.

A function is compared with the words that run. Fields that a relocation fills are left out of the comparison, and
each of them gives the address that it leads to. What ld does to them on the way is known: the high half of a TOC
distance that is zero becomes a nop and its low half counts from r2 (ELFv2 ABI, 3.6.3), and a load from a TOC entry
becomes the address itself where it is near.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from oddtoc import isa
from oddtoc.link.unitobject import UnitObject, UnitRelocation, UnitSymbol

REL24: Final = 10
REL14: Final = 11
ADDR64: Final = 38
TOC16_LO: Final = 48
TOC16_HA: Final = 50
TOC16_LO_DS: Final = 64
ENTRY: Final = 118
REL16_LO: Final = 250
REL16_HA: Final = 252

_LOW_PARTS = (TOC16_LO, TOC16_LO_DS)
_HIGH_FIELD = 0xFFFF0000
_BASE_REGISTER = 31 << 16
_R2 = 2 << 16
_LD, _ADDI = 58, 14


@dataclass(frozen=True, slots=True)
class Reference:
    """One relocated place of a function and where it leads in the running code.

    Attributes:
        relocation: the place and what the source says it refers to.
        address: where it leads.
        relaxed: it was a load from a TOC entry and has become the address that stood there.
    """

    relocation: UnitRelocation
    address: int
    relaxed: bool = False


class DifferentCode(Exception):
    """The running words are not those of the object; the text says where and how."""


def decode(unit: UnitObject, symbol: UnitSymbol, words: Sequence[int], address: int, toc: int) -> list[Reference]:
    """Compare a function with running words, and read where its relocated fields lead.

    Args:
        unit: the compiled file.
        symbol: the function in it.
        words: those that run, as many as the function has.
        address: where they are.
        toc: the running code's TOC pointer.

    Raises:
        DifferentCode: they differ in more than relocated fields.
    """
    return list(_Decoder(unit, symbol, words, address, toc).references())


class _Decoder:
    def __init__(self, unit: UnitObject, symbol: UnitSymbol, words: Sequence[int], address: int, toc: int) -> None:
        self.section = unit.sections[symbol.section]
        self.symbol = symbol
        self.words = words
        self.address = address
        self.toc = toc
        # ENTRY only lets a linker choose another way to set up r2; `ld -r` does not
        self.relocations = [r for r in unit.relocations_of(symbol) if r.type not in (0, ENTRY)]
        self.highs: dict[tuple[int, int], set[int]] = defaultdict(set)

    def references(self) -> Iterator[Reference]:
        self.compare_unrelocated()
        for relocation in self.relocations:
            if relocation.type == TOC16_HA:
                self.high(relocation)
        for relocation in self.relocations:
            if relocation.type in (REL24, REL14):
                yield Reference(relocation, self.branch(relocation))
            elif relocation.type in _LOW_PARTS:
                yield self.low(relocation)
            elif relocation.type in (REL16_HA, REL16_LO):
                self.toc_setup(relocation)
            elif relocation.type != TOC16_HA:
                raise DifferentCode(f"relocation type {relocation.type} at +{self.offset(relocation):#x} is not known")

    def offset(self, relocation: UnitRelocation) -> int:
        return (relocation.offset & ~3) - self.symbol.value

    def pair(self, relocation: UnitRelocation) -> tuple[int, int]:
        """The words of the object and of the running code at a relocated place."""
        return self.section.word(relocation.offset), int(self.words[self.offset(relocation) // 4])

    def differ(self, offset: int) -> DifferentCode:
        own = self.section.word(self.symbol.value + offset)
        return DifferentCode(f"at +{offset:#x} runs {int(self.words[offset // 4]):08x}, compiled here {own:08x}")

    def compare_unrelocated(self) -> None:
        fields = {self.offset(relocation) for relocation in self.relocations}
        for index in range(self.symbol.size // 4):
            offset = index * 4
            if offset not in fields and self.section.word(self.symbol.value + offset) != int(self.words[index]):
                raise self.differ(offset)

    def branch(self, relocation: UnitRelocation) -> int:
        own, running = self.pair(relocation)
        field = 0x03FFFFFC if relocation.type == REL24 else 0xFFFC
        target = isa.branch_target(self.address + self.offset(relocation), running)
        if (own ^ running) & ~field or target is None:
            raise self.differ(self.offset(relocation))
        return target

    def high(self, relocation: UnitRelocation) -> None:
        own, running = self.pair(relocation)
        key = relocation.symbol, relocation.addend
        if running == isa.NOP:
            self.highs[key].add(0)
        elif (own ^ running) & _HIGH_FIELD:
            raise self.differ(self.offset(relocation))
        else:
            self.highs[key].add(isa.sign_extend(running, 16) << 16)

    def low(self, relocation: UnitRelocation) -> Reference:
        own, running = self.pair(relocation)
        mask = 0xFFFC if relocation.type == TOC16_LO_DS else 0xFFFF
        relaxed = isa.opcode(own) == _LD and isa.opcode(running) == _ADDI
        if relaxed:
            own, mask = _ADDI << 26 | own & 0x03FF0000, 0xFFFF
        highs = self.highs.get((relocation.symbol, relocation.addend), set())
        if len(highs) != 1:
            raise DifferentCode(f"the address at +{self.offset(relocation):#x} has no one upper half")
        high = next(iter(highs))
        if not high and running & _BASE_REGISTER == _R2:
            own = own & ~_BASE_REGISTER | _R2
        if (own ^ running) & ~mask:
            raise self.differ(self.offset(relocation))
        return Reference(relocation, self.toc + high + isa.sign_extend(running & mask, 16), relaxed)

    def toc_setup(self, relocation: UnitRelocation) -> None:
        """The entry's addis and addi; the distance is that of .TOC. from the global entry."""
        own, running = self.pair(relocation)
        distance = self.toc - self.address
        half = isa.high_adjusted(distance) if relocation.type == REL16_HA else isa.low(distance)
        if (own ^ running) & _HIGH_FIELD or running & 0xFFFF != half:
            raise self.differ(self.offset(relocation))
