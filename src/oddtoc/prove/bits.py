"""Bit-vector values that fold constants: most of an instruction's p-code is arithmetic on constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import z3

Term = Any
"""A z3 bit-vector or Boolean; z3 has no types of its own."""


@dataclass(frozen=True, eq=False)
class Bits:
    """A value of `size` bytes: a number, or a z3 bit-vector."""

    size: int
    value: int | Term

    @property
    def number(self) -> int | None:
        """The value where it is a constant."""
        return self.value if isinstance(self.value, int) else None

    @property
    def term(self) -> Term:
        """The value as a z3 bit-vector."""
        return z3.BitVecVal(self.value, self.size * 8) if isinstance(self.value, int) else self.value

    def part(self, offset: int, size: int) -> Bits:
        """`size` bytes from byte `offset` on, 0 being the least significant."""
        if (offset, size) == (0, self.size):
            return self
        if isinstance(self.value, int):
            return number(self.value >> offset * 8, size)
        return Bits(size, z3.simplify(z3.Extract((offset + size) * 8 - 1, offset * 8, self.value)))


def number(value: int, size: int) -> Bits:
    """A constant of `size` bytes; excess bits are dropped."""
    return Bits(size, value & ((1 << size * 8) - 1))


def join(parts: list[Bits]) -> Bits:
    """One value from its parts, least significant first."""
    if len(parts) == 1:
        return parts[0]
    size = sum(part.size for part in parts)
    if all(isinstance(part.value, int) for part in parts):
        whole = 0
        for part in reversed(parts):
            whole = whole << part.size * 8 | part.value
        return Bits(size, whole)
    return folded(size, z3.Concat(*(part.term for part in reversed(parts))))


def folded(size: int, term: Term) -> Bits:
    """A z3 term as a value, a number if it simplifies to one."""
    simple = z3.simplify(term)
    return Bits(size, simple.as_long() if z3.is_bv_value(simple) else simple)


def unary(compute: Callable[[Term], Term]) -> Callable[[list[Bits], int], Bits]:
    """An operation on one value, with a result of the same width."""
    return lambda inputs, size: folded(size, compute(inputs[0].term))


def binary(compute: Callable[[Any, Any], Any]) -> Callable[[list[Bits], int], Bits]:
    """An operation on two values of one width that Python's integers and z3's bit-vectors spell alike."""

    def apply(inputs: list[Bits], size: int) -> Bits:
        left, right = inputs
        if isinstance(left.value, int) and isinstance(right.value, int):
            return number(compute(left.value, right.value), size)
        return Bits(size, compute(left.term, right.term))

    return apply


def shift(compute: Callable[[Term, Term], Term]) -> Callable[[list[Bits], int], Bits]:
    """A shift: the distance takes the width of what is shifted."""

    def apply(inputs: list[Bits], size: int) -> Bits:
        value, distance = inputs
        return folded(size, compute(value.term, resized(distance, value.size).term))

    return apply


def comparison(compute: Callable[[Term, Term], Term]) -> Callable[[list[Bits], int], Bits]:
    """A comparison, with the result 1 or 0."""

    def apply(inputs: list[Bits], size: int) -> Bits:
        holds = z3.simplify(compute(inputs[0].term, inputs[1].term))
        if z3.is_true(holds) or z3.is_false(holds):
            return number(int(z3.is_true(holds)), size)
        return Bits(size, z3.If(holds, z3.BitVecVal(1, size * 8), z3.BitVecVal(0, size * 8)))

    return apply


def resized(value: Bits, size: int, *, signed: bool = False) -> Bits:
    """The value widened with zeros (or its sign), or cut."""
    if size <= value.size:
        return value.part(0, size)
    extra = (size - value.size) * 8
    if isinstance(value.value, int):
        sign = signed and value.value >> (value.size * 8 - 1)
        return number(value.value - (1 << value.size * 8) if sign else value.value, size)
    return Bits(size, z3.SignExt(extra, value.value) if signed else z3.ZeroExt(extra, value.value))
