"""The types of a kernel, from its section .BTF: where the members of structures are, and what functions take.

Layout: Documentation/bpf/btf.rst of Linux, "BTF Type and String Encoding". A header, a table of types whose entries
follow each other and are numbered from 1 (0 is void), and a table of strings.

A file is not trusted: every length is checked before it is used, and nothing is followed without an end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from oddtoc.errors import ImageError, SymbolError
from oddtoc.image.elf import Image

_MAGIC, _VERSION = 0xEB9F, 1
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_PARAMETER = struct.Struct("<II")
_ENUMERATOR = struct.Struct("<Ii")
_ARRAY_TAIL = struct.Struct("<III")
_POINTER, _ARRAY, _STRUCT, _UNION, _ENUM, _FUNC, _FUNC_PROTO = 2, 3, 4, 5, 6, 12, 13
_SIZED = (1, _STRUCT, _UNION, _ENUM, 16, 19)
"""Kinds whose entry holds a size (bytes): also integers, floating point numbers and enumerations of 64 bits."""
_MODIFIERS = frozenset((8, 9, 10, 11, 18))
"""typedef, volatile, const, restrict, type tag: they lead to the type that they modify."""
_TAIL = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12)}
_TAIL |= {17: (4, 0), 19: (0, 12)}
"""By kind: bytes behind the entry, and bytes for each of its `vlen`. Others have none."""
_LAST_KIND = 19
_DEEPEST = 32
_MOST_MEMBERS = 100_000


@dataclass(frozen=True)
class Prototype:
    """What a function takes: how many named parameters, and whether more may follow."""

    parameters: int
    is_variadic: bool


@dataclass(frozen=True)
class Member:
    """A member of a structure: its name ("" if it has none), offset (bits) and the number of its type."""

    name: str
    bits: int
    type: int


@dataclass(frozen=True)
class Layout:
    """How a type is laid out.

    Attributes:
        size: bytes.
        members: path of a member -> offset and size, in bits; constant of an enumeration -> value and size.
    """

    size: int
    members: dict[str, tuple[int, int]]


class Btf:
    """The types of one image.

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
        self._places = list(self._walk())
        self._by_name: dict[tuple[str, int], int] | None = None

    @classmethod
    def of(cls, image: Image) -> Btf:
        """Those of an image.

        Raises:
            ImageError: it has no section .BTF, or a malformed one.
        """
        section = image.section(".BTF")
        if section is None:
            raise ImageError(f"{image.path.name} has no BTF", advice="only kernels with CONFIG_DEBUG_INFO_BTF have")
        return cls(image.contents(section))

    def __len__(self) -> int:
        return len(self._places)

    def members(self, structure: str) -> list[Member]:
        """The members of a structure or union, those without a name among them.

        Raises:
            SymbolError: there is none of that name.
            ImageError: an entry is malformed.
        """
        return self._members(self._find(structure, _STRUCT, _UNION))

    def offset(self, structure: str, member: str) -> int:
        """The offset (bytes) of a member, also of one in an anonymous structure or union inside.

        Raises:
            SymbolError: there is no such structure or member, or it is a bit field in the middle of a byte.
            ImageError: an entry is malformed.
        """
        bits = self._search(self._find(structure, _STRUCT, _UNION), member, 0)
        if bits is None or bits % 8:
            raise SymbolError(f"{structure} has no member {member} at a whole byte")
        return bits // 8

    def size(self, structure: str) -> int:
        """The size (bytes) of a structure or union.

        Raises:
            SymbolError: there is none of that name.
        """
        return self._entry(self._find(structure, _STRUCT, _UNION))[3]

    def layouts(self) -> Iterator[tuple[str, Layout]]:
        """Every structure and union that has a name, with it, and every enumeration, as `enum NAME` or `enum`.

        An image may have several of one name.

        Raises:
            ImageError: an entry is malformed.
        """
        for number in range(1, len(self._places) + 1):
            at, kind, _, size, _ = self._entry(number)
            name = self._name(at)
            if kind == _ENUM:
                constants = {constant: (value, size * 8) for constant, value in self._constants(number).items()}
                yield f"enum {name}".rstrip(), Layout(size, constants)
            elif name and kind in (_STRUCT, _UNION):
                members = dict(islice(self._flat_members(number, "", 0, 0), _MOST_MEMBERS + 1))
                if len(members) > _MOST_MEMBERS:
                    raise ImageError(f"{name} has more members in the BTF data than a structure can have")
                yield name, Layout(size, members)

    def prototype(self, function: str) -> Prototype:
        """What a function takes.

        Raises:
            SymbolError: there is no function of that name.
            ImageError: an entry is malformed.
        """
        number = self._entry(self._find(function, _FUNC))[3]
        _, kind, count, _, place = self._entry(number)
        if kind != _FUNC_PROTO:
            raise ImageError(f"the BTF entry of {function} leads to no prototype")
        parameters = [_PARAMETER.unpack_from(self._types, place + _PARAMETER.size * index) for index in range(count)]
        # (void type, no name) at the end stands for the dots
        is_variadic = bool(parameters) and parameters[-1] == (0, 0)
        return Prototype(count - is_variadic, is_variadic)

    def _walk(self) -> Iterator[int]:
        place = 0
        while place < len(self._types):
            if place + _TYPE.size > len(self._types):
                raise ImageError("the last BTF entry is cut off")
            info = _TYPE.unpack_from(self._types, place)[1]
            kind, count = info >> 24 & 31, info & 0xFFFF
            if not 0 < kind <= _LAST_KIND:
                raise ImageError(f"the BTF data has an entry of the unknown kind {kind}")
            yield place
            fixed, each = _TAIL.get(kind, (0, 0))
            place += _TYPE.size + fixed + each * count
            if place > len(self._types):
                raise ImageError("the last BTF entry is cut off")

    def _entry(self, number: int) -> tuple[int, int, int, int, int]:
        """Name, kind, count, size or type, and the place behind the entry's head."""
        if not 0 < number <= len(self._places):
            raise ImageError(f"the BTF data has no entry {number}")
        place = self._places[number - 1]
        name, info, size_or_type = _TYPE.unpack_from(self._types, place)
        return name, info >> 24 & 31, info & 0xFFFF, size_or_type, place + _TYPE.size

    def _find(self, name: str, *kinds: int) -> int:
        if self._by_name is None:
            self._by_name = {}
            for index, place in enumerate(self._places):
                at, info, _ = _TYPE.unpack_from(self._types, place)
                kind = info >> 24 & 31
                if kind in (_STRUCT, _UNION, _FUNC) and at:
                    self._by_name.setdefault((self._name(at), kind), index + 1)
        for kind in kinds:
            if (name, kind) in self._by_name:
                return self._by_name[name, kind]
        raise SymbolError(f"the kernel's types have no {name}")

    def _members(self, number: int) -> list[Member]:
        place, count = self._entry(number)[4], self._entry(number)[2]
        is_packed = _TYPE.unpack_from(self._types, self._places[number - 1])[1] >> 31
        found = []
        for index in range(count):
            name, kind, offset = _MEMBER.unpack_from(self._types, place + _MEMBER.size * index)
            # with kind_flag set the upper byte is the size of a bit field
            found.append(Member(self._name(name), offset & 0xFFFFFF if is_packed else offset, kind))
        return found

    def _flat_members(self, number: int, prefix: str, start: int, depth: int) -> Iterator[tuple[str, tuple[int, int]]]:
        """Path, and offset and size (bits), of all members, those of members whose type has no name among them."""
        if depth > _DEEPEST:
            raise ImageError("structures in the BTF data stand in each other without end")
        for member, width in zip(self._members(number), self._widths(number), strict=True):
            path = prefix + member.name
            if member.name:
                yield path, (start + member.bits, width or self._bits(member.type))
            inner = self._element(member.type)
            at, kind, *_ = self._entry(inner) if inner else (0, 0)
            if kind in (_STRUCT, _UNION) and not self._name(at):
                inside = f"{path}." if member.name else prefix
                yield from self._flat_members(inner, inside, start + member.bits, depth + 1)

    def _widths(self, number: int) -> list[int]:
        """The sizes (bits) of bit fields among the members; 0 for others."""
        place, count = self._entry(number)[4], self._entry(number)[2]
        is_packed = _TYPE.unpack_from(self._types, self._places[number - 1])[1] >> 31
        entries = (_MEMBER.unpack_from(self._types, place + _MEMBER.size * index) for index in range(count))
        return [offset >> 24 if is_packed else 0 for _, _, offset in entries]

    def _element(self, number: int) -> int:
        """The type that an array of arrays, or a modified type, is made of."""
        number = self._unmodified(number)
        for _ in range(_DEEPEST):
            if not number or self._entry(number)[1] != _ARRAY:
                return number
            element: int = _ARRAY_TAIL.unpack_from(self._types, self._entry(number)[4])[0]
            number = self._unmodified(element)
        raise ImageError("arrays in the BTF data have arrays in each other without end")

    def _bits(self, number: int, depth: int = 0) -> int:
        """The size of a type (bits); 0 if it has none."""
        if depth > _DEEPEST:
            raise ImageError("arrays in the BTF data have arrays in each other without end")
        number = self._unmodified(number)
        if not number:
            return 0
        _, kind, _, size, place = self._entry(number)
        if kind == _ARRAY:
            element, _, count = _ARRAY_TAIL.unpack_from(self._types, place)
            return int(count) * self._bits(element, depth + 1)
        return 64 if kind == _POINTER else int(size) * 8 if kind in _SIZED else 0

    def _constants(self, number: int) -> dict[str, int]:
        count, place = self._entry(number)[2], self._entry(number)[4]
        pairs = (_ENUMERATOR.unpack_from(self._types, place + _ENUMERATOR.size * index) for index in range(count))
        return {self._name(name): value for name, value in pairs}

    def _search(self, number: int, member: str, depth: int) -> int | None:
        if depth > _DEEPEST:
            raise ImageError("structures in the BTF data stand in each other without end")
        for one in self._members(number):
            if one.name == member:
                return one.bits
            inner = self._unmodified(one.type) if not one.name else 0
            if inner and self._entry(inner)[1] in (_STRUCT, _UNION):
                found = self._search(inner, member, depth + 1)
                if found is not None:
                    return one.bits + found
        return None

    def _unmodified(self, number: int) -> int:
        for _ in range(_DEEPEST):
            if not number or self._entry(number)[1] not in _MODIFIERS:
                return number
            number = self._entry(number)[3]
        raise ImageError("types in the BTF data modify each other without end")

    def _name(self, at: int) -> str:
        end = self._strings.find(b"\0", at)
        if end < 0:
            raise ImageError(f"a name in the BTF data stands at {at}, behind its table")
        return self._strings[at:end].decode("utf-8", "replace")


def _part(data: bytes, start: int, size: int, what: str) -> bytes:
    if start + size > len(data):
        raise ImageError(f"the BTF data ends within its {what}")
    return data[start : start + size]
