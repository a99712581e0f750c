"""Memory as a log of what happened to it, with addresses as a base and a constant offset.

A read goes back through the log. Addresses with the same base are compared by their offsets; of the others, those in
different families of memory (stack, code, ...) are apart, which is an assumption that `Scene.facts` states; for the
rest a solver is asked whether they can meet, and if they can, both outcomes are kept. What stood in memory before is
unknown, cell by cell of (base, offset): two bases may turn out to be equal and their cells still be different, which
allows more states than there are, and so never proves too much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import z3

from oddtoc.prove.bits import Bits, Term, folded, join

Possible = Callable[[Term], bool]
"""Whether a z3 Boolean can be true in the states that are looked at."""

CELL = 8


@dataclass(frozen=True, eq=False)
class Range:
    """`size` bytes from `address` on."""

    address: Term
    size: int

    def surely_covers(self, address: Term, size: int) -> bool:
        """Whether `size` bytes at `address` lie inside, by their offsets alone."""
        distance = constant(address - self.address)
        return distance is not None and distance >= 0 and distance + size <= self.size

    def covers(self, address: Term, size: int) -> Term:
        """The same as a z3 Boolean, for addresses of any base."""
        if size > self.size:
            return z3.BoolVal(False)
        return z3.simplify(z3.ULE(address - self.address, self.size - size))

    def meets(self, address: Term, size: int) -> Term:
        """Whether `size` bytes at `address` share a byte with the range."""
        return z3.Or(z3.ULT(address - self.address, self.size), z3.ULT(self.address - address, size))


@dataclass(frozen=True, eq=False)
class Region:
    """Memory around a base: offsets from `low` up to, not including, `high` belong to one family of memory."""

    family: str
    base: Term
    low: int
    high: int

    def holds(self, base: Term, offset: int, size: int) -> bool:
        """Whether `size` bytes at an address lie in the region."""
        return bool(self.base.eq(base)) and self.low <= offset and offset + size <= self.high


@dataclass
class Unknown:
    """Memory that nobody has written yet: a doubleword for every base (a z3 term) and multiple of 8 from there."""

    name: str
    cells: dict[tuple[int, int], Bits] = field(default_factory=dict)
    bases: dict[int, Term] = field(default_factory=dict)

    def read(self, address: Term, size: int) -> Bits:
        """What stands at an address."""
        base, offset = split(address)
        parts = []
        while size:
            start = offset // CELL * CELL
            taken = min(start + CELL - offset, size)
            parts.append(self._cell(base, start).part(offset - start, taken))
            offset, size = offset + taken, size - taken
        return join(parts)

    def know(self, address: Term, value: Bits) -> None:
        """Say what stands in a cell; its offset from the base of `address` is a multiple of 8."""
        base, offset = split(address)
        self.bases[base.get_id()] = base
        self.cells[base.get_id(), offset] = value

    def _cell(self, base: Term, start: int) -> Bits:
        key = base.get_id(), start
        if key not in self.cells:
            self.bases[base.get_id()] = base  # keeps the term alive, and with it its id
            self.cells[key] = Bits(CELL, z3.BitVec(f"{self.name}[{base} {start:+}]", CELL * 8))
        return self.cells[key]


@dataclass(frozen=True, eq=False)
class Store:
    """Bytes that were written."""

    address: Term
    value: Bits


@dataclass(frozen=True, eq=False)
class Havoc:
    """Somebody else ran: all memory is unknown, apart from ranges that are kept, each on a condition."""

    kept: tuple[tuple[Range, Term], ...]
    contents: Unknown


@dataclass(frozen=True)
class Memory:
    """A log of what happened to memory, oldest first, what it held before, and which regions it has."""

    initial: Unknown
    regions: tuple[Region, ...] = ()
    log: tuple[Store | Havoc, ...] = ()

    def after(self, event: Store | Havoc) -> Memory:
        """The memory once something more has happened."""
        return replace(self, log=(*self.log, event))

    def read(self, address: Term, size: int, possible: Possible) -> Bits:
        """What stands at an address, little endian."""
        return self._read(z3.simplify(address), size, len(self.log), possible)

    def _read(self, address: Term, size: int, age: int, possible: Possible) -> Bits:
        for index in range(age - 1, -1, -1):
            event = self.log[index]
            if isinstance(event, Havoc):
                return self._read_through(event, address, size, index, possible)
            met = self._read_store(event, address, size, index, possible)
            if met is not None:
                return met
        return self.initial.read(address, size)

    def _read_store(self, store: Store, address: Term, size: int, index: int, possible: Possible) -> Bits | None:
        """What a read finds in a store; None where they can't meet."""
        width = store.value.size
        distance = constant(address - store.address)
        if distance is not None:
            if distance >= 0 and distance + size <= width:
                return store.value.part(distance, size)
            if distance >= width or distance + size <= 0:
                return None
        elif self._apart(store.address, width, address, size) or not possible(
            Range(store.address, width).meets(address, size)
        ):
            return None
        if size > 1:
            return join([self._read(z3.simplify(address + i), 1, index + 1, possible) for i in range(size)])
        value = self._read(address, 1, index, possible).term
        for i in range(width):
            value = z3.If(address == store.address + i, store.value.part(i, 1).term, value)
        return folded(1, value)

    def _read_through(self, havoc: Havoc, address: Term, size: int, index: int, possible: Possible) -> Bits:
        conditions = [on for range_, on in havoc.kept if range_.surely_covers(address, size)]
        kept = z3.simplify(z3.Or(*conditions))
        if z3.is_true(kept):
            return self._read(address, size, index, possible)
        lost = havoc.contents.read(address, size)
        if z3.is_false(kept):
            return lost
        return folded(size, z3.If(kept, self._read(address, size, index, possible).term, lost.term))

    def _apart(self, one: Term, one_size: int, other: Term, other_size: int) -> bool:
        here, there = self._family(one, one_size), self._family(other, other_size)
        return here is not None and there is not None and here != there

    def _family(self, address: Term, size: int) -> str | None:
        base, offset = split(address)
        return next((region.family for region in self.regions if region.holds(base, offset, size)), None)


def split(address: Term) -> tuple[Term, int]:
    """An address as a base and a constant number of bytes, signed."""
    simple = z3.simplify(address)
    if z3.is_bv_value(simple):
        return z3.BitVecVal(0, 64), int(simple.as_long())
    if z3.is_app_of(simple, z3.Z3_OP_BADD) and z3.is_bv_value(simple.arg(0)):
        return z3.simplify(simple - simple.arg(0)), int(simple.arg(0).as_signed_long())
    return simple, 0


def constant(term: Term) -> int | None:
    """A term as a signed number, None where it is none."""
    simple = z3.simplify(term)
    return int(simple.as_signed_long()) if z3.is_bv_value(simple) else None
