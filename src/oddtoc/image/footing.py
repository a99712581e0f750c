"""How structures have to be written in C so that a compiler lays them out as BTF says.

BTF has no attributes: neither `packed` nor `aligned` stands in it, only where members are. So a structure is packed
where a member, or its size, is not at a multiple of what its type asks for; a gap that a compiler would not leave comes
from an alignment, where one explains it and nothing that the structure is part of belies it, and is filled otherwise.
Rules of layout: ELFv2 ABI, 2.2.2 "Aggregates and Unions" and "Bit Fields".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from oddtoc.errors import ImageError
from oddtoc.image.btftable import COMPOSED, BtfTable, Entry, Kind, Member

_DEEPEST = 64
_WIDEST = 4096
"""Bytes: the greatest alignment that is thought of."""


@dataclass(frozen=True)
class Placed:
    """A member, and what has to be written so that it comes where it is.

    Attributes:
        member: as BTF has it.
        fill: bits that have to be filled before it, from `start`.
        start: where they begin (bits).
        alignment: bytes, where it is to be asked for; else 0.
    """

    member: Member
    fill: int = 0
    start: int = 0
    alignment: int = 0


@dataclass(frozen=True)
class Footing:
    """A structure or union, as it has to be written.

    Attributes:
        members: in order.
        is_packed: whether it needs the attribute.
        asked: an alignment to ask for (bytes), or 0.
        fill: bytes to fill at its end, from `start`.
        start: where they begin (bits).
        alignment: what a compiler will give it (bytes).
    """

    members: tuple[Placed, ...]
    is_packed: bool
    asked: int
    fill: int
    start: int
    alignment: int


class Footings:
    """The structures and unions of one image.

    Args:
        table: its types.
    """

    def __init__(self, table: BtfTable) -> None:
        self._table = table
        self._known: dict[int, Footing] = {}
        self._limits: dict[int, int] = {}
        self._embedded: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for entry in table.entries():
            if entry.kind in COMPOSED:
                for member in table.members(entry):
                    inner = table.element(member.type)
                    if inner and inner.kind in COMPOSED:
                        self._embedded[inner.number].append((entry.number, member.bits // 8))

    def of(self, entry: Entry, depth: int = 0) -> Footing:
        """How a structure or union has to be written.

        Raises:
            ImageError: members lie in each other, or stand in each other without end.
        """
        if entry.number not in self._known:
            if depth > _DEEPEST:
                raise ImageError("structures in the BTF data stand in each other without end")
            members = self._table.members(entry)
            aligned = [(member, self.alignment(member.type, depth + 1)) for member in members]
            is_packed = self._is_packed(entry, aligned)
            find = self._struct if entry.kind is Kind.STRUCT else self._union
            self._known[entry.number] = find(entry, aligned, is_packed)
        return self._known[entry.number]

    def alignment(self, number: int, depth: int = 0) -> int:
        """What a compiler aligns a type at that is written as `of` says (bytes)."""
        entry = self._table.element(number)
        if entry is None or entry.kind in (Kind.FORWARD, Kind.FUNC_PROTO):
            return 1
        if entry.kind in COMPOSED:
            return self.of(entry, depth).alignment
        return 8 if entry.kind is Kind.POINTER else entry.size or 1

    def _is_packed(self, entry: Entry, members: Sequence[tuple[Member, int]]) -> bool:
        for member, alignment in members:
            if member.width:
                unit = self._table.bits(member.type)
                if member.bits % unit + member.width > unit or entry.size % alignment:
                    return True
            elif member.bits % (8 * alignment) or entry.size % alignment:
                return True
        return False

    def _struct(self, entry: Entry, members: Sequence[tuple[Member, int]], is_packed: bool) -> Footing:
        end, greatest, placed = 0, 1, []
        for member, natural in members:
            alignment = 1 if is_packed else natural
            found = self._placed(entry, member, alignment, end, is_packed)
            placed.append(found)
            greatest = max(greatest, alignment, found.alignment)
            end = member.bits + (member.width or self._table.bits(member.type))
        size = 8 * entry.size
        if _up(end, greatest) == size:
            return Footing(tuple(placed), is_packed, 0, 0, end, greatest)
        if asked := self._explaining(entry, end, size, greatest):
            return Footing(tuple(placed), is_packed, asked, 0, end, asked)
        if end > size:
            raise ImageError(f"members of {entry.name or 'a structure'} end behind it in the BTF data")
        return Footing(tuple(placed), is_packed, 0, size - end, end, greatest)

    def _placed(self, entry: Entry, member: Member, alignment: int, end: int, is_packed: bool) -> Placed:
        """Where a compiler puts a member behind others, and what it takes to have it where it is."""
        if member.bits < end:
            raise ImageError(f"members of {entry.name or 'a structure'} lie in each other in the BTF data")
        if member.width:
            unit = self._table.bits(member.type)
            fits = is_packed or end % unit + member.width <= unit
            natural = end if fits else _up(end, unit // 8)
        else:
            natural = _up(end, alignment)
        if natural == member.bits:
            return Placed(member)
        asked = 0 if member.width or is_packed else self._explaining(entry, end, member.bits, alignment)
        return Placed(member, alignment=asked) if asked else Placed(member, member.bits - end, end)

    def _union(self, entry: Entry, members: Sequence[tuple[Member, int]], is_packed: bool) -> Footing:
        greatest = 1 if is_packed else max((alignment for _, alignment in members), default=1)
        end = max((member.width or self._table.bits(member.type) for member, _ in members), default=0)
        if any(member.bits for member, _ in members):
            raise ImageError(f"members of the union {entry.name} do not begin where it does in the BTF data")
        placed, size = tuple(Placed(member) for member, _ in members), 8 * entry.size
        if _up(end, greatest) == size:
            return Footing(placed, is_packed, 0, 0, 0, greatest)
        if asked := self._explaining(entry, end, size, greatest):
            return Footing(placed, is_packed, asked, 0, 0, asked)
        return Footing(placed, is_packed, 0, size, 0, greatest)

    def _explaining(self, entry: Entry, end: int, place: int, least: int) -> int:
        """The alignment (bytes) that makes something behind `end` begin at `place` (bits); 0 if there is none."""
        alignment = 2 * least
        while alignment <= _WIDEST:
            if _up(end, alignment) == place:
                return alignment if self._limit(entry, 0) % alignment == 0 else 0
            alignment *= 2
        return 0

    def _limit(self, entry: Entry, depth: int) -> int:
        """What every alignment of a structure divides (bytes): its size, and all places that it is at in others."""
        if depth > _DEEPEST:
            raise ImageError("structures in the BTF data stand in each other without end")
        if entry.number not in self._limits:
            limit = entry.size
            for number, place in self._embedded[entry.number]:
                limit = gcd(limit, place, self._limit(self._table.entry(number), depth + 1))
            self._limits[entry.number] = limit
        return self._limits[entry.number]


def _up(bits: int, alignment: int) -> int:
    return -(-bits // (8 * alignment)) * 8 * alignment
