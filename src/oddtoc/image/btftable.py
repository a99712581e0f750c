"""The entries of a section .BTF, as they stand there.

Layout: Documentation/bpf/btf.rst of Linux, "BTF Type and String Encoding". A header, a table of types whose entries
follow each other and are numbered from 1 (0 is void), and a table of strings.

A file is not trusted: every length is checked before it is used, and nothing is followed without an end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from typing import NamedTuple

from oddtoc.errors import ImageError

_MAGIC, _VERSION = 0xEB9F, 1
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_PARAMETER = struct.Struct("<II")
_ENUMERATOR = struct.Struct("<Ii")
_ENUMERATOR64 = struct.Struct("<III")
_ARRAY_TAIL = struct.Struct("<III")
_DEEPEST = 32


class Kind(IntEnum):
    """What an entry describes."""

    INT = 1
    POINTER = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FORWARD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


MODIFIERS = frozenset((Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG))
"""Kinds that lead to the type that they modify."""
COMPOSED = (Kind.STRUCT, Kind.UNION)
"""Kinds with members."""
_KINDS = {kind.value: kind for kind in Kind}
_LAST = max(_KINDS)
_TAIL = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12)}
_TAIL |= {17: (4, 0), 19: (0, 12)}
"""By kind: bytes behind the entry, and bytes for each of its `vlen`. Others have none."""


@dataclass(slots=True)
class Entry:
    """One type; not frozen, as a unit has thousands, and that would take four times as long.

    Attributes:
        number: in the table.
        kind: what it is.
        name: "" if it has none.
        count: of members, parameters or constants.
        size: bytes; of kinds that modify or refer, the number of the type that they lead to.
        flag: for structures, whether offsets hold the sizes of bit fields; for enumerations, whether values are signed;
            for a forward declaration, whether it is that of a union.
        place: of what follows the head, in the table (bytes).
    """

    number: int
    kind: Kind
    name: str
    count: int
    size: int
    flag: bool
    place: int


class Member(NamedTuple):
    """A member of a structure or union.

    Attributes:
        name: "" if it has none.
        bits: its offset.
        type: the number of its type.
        width: of a bit field, in bits; 0 for others.
    """

    name: str
    bits: int
    type: int
    width: int = 0


class BtfTable:
    """The types of one image, by number.

    Args:
        data: the section's contents.

    Raises:
        ImageError: it is malformed.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size:
            raise ImageError("the BTF data is shorter than its header")
        magic, version, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or not _HEADER.size <= header <= len(data):
            raise ImageError("the BTF data is of another version, or for another byte order")
        self._types = _part(data, header + types, types_size, "types")
        self._strings = _part(data, header + strings, strings_size, "names")
        self._places: list[int] = []
        self._kinds: list[Kind] = []
        self._walk()
        self._names = _Names(self._strings)
        self._known: dict[int, Entry] = {}
        self._unmodified: dict[int, Entry | None] = {}
        self._elements: dict[int, Entry | None] = {}
        self._bits: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def entries(self, *kinds: Kind) -> Iterator[Entry]:
        """All types, or those of some kinds, in the order of their numbers."""
        return (self.entry(number) for number, kind in enumerate(self._kinds, 1) if not kinds or kind in kinds)

    def entry(self, number: int) -> Entry:
        """A type.

        Raises:
            ImageError: there is none of that number.
        """
        if number in self._known:
            return self._known[number]
        if not 0 < number <= len(self._places):
            raise ImageError(f"the BTF data has no entry {number}")
        place = self._places[number - 1]
        name, info, size = _TYPE.unpack_from(self._types, place)
        kind = self._kinds[number - 1]
        found = Entry(number, kind, self._names[name], info & 0xFFFF, size, bool(info >> 31), place + _TYPE.size)
        self._known[number] = found
        return found

    def members(self, entry: Entry) -> list[Member]:
        """The members of a structure or union, those without a name among them."""
        names = self._names
        found = _MEMBER.iter_unpack(self._types[entry.place : entry.place + _MEMBER.size * entry.count])
        if entry.flag:
            # the upper byte is the size of a bit field
            return [Member(names[name], offset & 0xFFFFFF, kind, offset >> 24) for name, kind, offset in found]
        return [Member(names[name], offset, kind) for name, kind, offset in found]

    def array(self, entry: Entry) -> tuple[int, int]:
        """The number of the type that an array consists of, and how many there are."""
        element, _, count = _ARRAY_TAIL.unpack_from(self._types, entry.place)
        return int(element), int(count)

    def parameters(self, entry: Entry) -> list[tuple[str, int]]:
        """Name and type of what a function takes; ("", 0) at the end stands for the dots."""
        found = (_PARAMETER.unpack_from(self._types, entry.place + _PARAMETER.size * i) for i in range(entry.count))
        return [(self._names[name], kind) for name, kind in found]

    def constants(self, entry: Entry) -> list[tuple[str, int]]:
        """Name and value of the constants of an enumeration."""
        if entry.kind is Kind.ENUM64:
            halves = (_ENUMERATOR64.unpack_from(self._types, entry.place + 12 * index) for index in range(entry.count))
            values = ((name, low | high << 32) for name, low, high in halves)
            return [(self._names[name], value - (value >> 63 << 64) * entry.flag) for name, value in values]
        found = (_ENUMERATOR.unpack_from(self._types, entry.place + 8 * index) for index in range(entry.count))
        return [(self._names[name], value) for name, value in found]

    def unmodified(self, number: int) -> Entry | None:
        """The type behind typedefs and qualifiers; None for void.

        Raises:
            ImageError: they lead nowhere.
        """
        if number not in self._unmodified:
            self._unmodified[number] = self._followed(number)
        return self._unmodified[number]

    def _followed(self, number: int) -> Entry | None:
        for _ in range(_DEEPEST):
            if not number:
                return None
            entry = self.entry(number)
            if entry.kind not in MODIFIERS:
                return entry
            number = entry.size
        raise ImageError("types in the BTF data modify each other without end")

    def element(self, number: int) -> Entry | None:
        """The type that an array of arrays, or a modified type, is made of; None for void.

        Raises:
            ImageError: they lead nowhere.
        """
        if number in self._elements:
            return self._elements[number]
        entry = self.unmodified(number)
        for _ in range(_DEEPEST):
            if entry is None or entry.kind is not Kind.ARRAY:
                self._elements[number] = entry
                return entry
            entry = self.unmodified(self.array(entry)[0])
        raise ImageError("arrays in the BTF data have arrays in each other without end")

    def bits(self, number: int, depth: int = 0) -> int:
        """The size of a type (bits); 0 if it has none.

        Raises:
            ImageError: it is malformed.
        """
        if number not in self._bits:
            self._bits[number] = self._measured(number, depth)
        return self._bits[number]

    def _measured(self, number: int, depth: int) -> int:
        if depth > _DEEPEST:
            raise ImageError("arrays in the BTF data have arrays in each other without end")
        entry = self.unmodified(number)
        if entry is None:
            return 0
        if entry.kind is Kind.ARRAY:
            element, count = self.array(entry)
            return count * self.bits(element, depth + 1)
        return 64 if entry.kind is Kind.POINTER else entry.size * 8 if entry.kind in _SIZED else 0

    def _walk(self) -> None:
        place = 0
        while place < len(self._types):
            if place + _TYPE.size > len(self._types):
                raise ImageError("the last BTF entry is cut off")
            info = _TYPE.unpack_from(self._types, place)[1]
            kind, count = info >> 24 & 31, info & 0xFFFF
            if not 0 < kind <= _LAST:
                raise ImageError(f"the BTF data has an entry of the unknown kind {kind}")
            self._places.append(place)
            self._kinds.append(_KINDS[kind])
            fixed, each = _TAIL.get(kind, (0, 0))
            place += _TYPE.size + fixed + each * count
            if place > len(self._types):
                raise ImageError("the last BTF entry is cut off")


class _Names(dict[int, str]):
    """The names of a table, by where they stand in it: whole ones at once, and tails of them as they are asked for."""

    def __init__(self, strings: bytes) -> None:
        whole = strings.decode("ascii").split("\0")[:-1] if strings.isascii() else []
        super().__init__(zip(accumulate((len(name) + 1 for name in whole), initial=0), whole, strict=False))
        self._strings = strings

    def __missing__(self, at: int) -> str:
        end = self._strings.find(b"\0", at)
        if end < 0:
            raise ImageError(f"a name in the BTF data stands at {at}, behind its table")
        self[at] = self._strings[at:end].decode("utf-8", "replace")
        return self[at]


_SIZED = frozenset((Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FLOAT, Kind.ENUM64))


def _part(data: bytes, start: int, size: int, what: str) -> bytes:
    if start + size > len(data):
        raise ImageError(f"the BTF data ends within its {what}")
    return data[start : start + size]
