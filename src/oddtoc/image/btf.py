"""The types of a kernel, from its section .BTF: where the members of structures are, and what functions take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from oddtoc.errors import ImageError, SymbolError
from oddtoc.image.btftable import COMPOSED, BtfTable, Entry, Kind, Member
from oddtoc.image.elf import Image

_DEEPEST = 32
_MOST_MEMBERS = 100_000


@dataclass(frozen=True)
class Prototype:
    """What a function takes: how many named parameters, and whether more may follow."""

    parameters: int
    is_variadic: bool


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
        self.table = BtfTable(data)

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
        return len(self.table)

    def members(self, structure: str) -> list[Member]:
        """The members of a structure or union, those without a name among them.

        Raises:
            SymbolError: there is none of that name.
            ImageError: an entry is malformed.
        """
        return self.table.members(self._find(structure, *COMPOSED))

    def offset(self, structure: str, member: str) -> int:
        """The offset (bytes) of a member, also of one in an anonymous structure or union inside.

        Raises:
            SymbolError: there is no such structure or member, or it is a bit field in the middle of a byte.
            ImageError: an entry is malformed.
        """
        bits = self._search(self._find(structure, *COMPOSED), member, 0)
        if bits is None or bits % 8:
            raise SymbolError(f"{structure} has no member {member} at a whole byte")
        return bits // 8

    def size(self, structure: str) -> int:
        """The size (bytes) of a structure or union.

        Raises:
            SymbolError: there is none of that name.
        """
        return self._find(structure, *COMPOSED).size

    def layouts(self) -> Iterator[tuple[str, Layout]]:
        """Every structure and union that has a name, with it, and every enumeration, as `enum NAME` or `enum`.

        An image may have several of one name.

        Raises:
            ImageError: an entry is malformed.
        """
        for entry in self.table.entries(Kind.ENUM, *COMPOSED):
            if entry.kind is Kind.ENUM:
                constants = {name: (value, entry.size * 8) for name, value in self.table.constants(entry)}
                yield f"enum {entry.name}".rstrip(), Layout(entry.size, constants)
            elif entry.name:
                members = dict(islice(self._flat_members(entry, "", 0, 0), _MOST_MEMBERS + 1))
                if len(members) > _MOST_MEMBERS:
                    raise ImageError(f"{entry.name} has more members in the BTF data than a structure can have")
                yield entry.name, Layout(entry.size, members)

    def prototype(self, function: str) -> Prototype:
        """What a function takes.

        Raises:
            SymbolError: there is no function of that name.
            ImageError: an entry is malformed.
        """
        parameters = self.table.parameters(self._prototype(function))
        is_variadic = parameters[-1:] == [("", 0)]
        return Prototype(len(parameters) - is_variadic, is_variadic)

    def signature(self, function: str) -> tuple[str, ...]:
        """The types of what a function returns and takes, in words, without typedefs and qualifiers.

        Raises:
            SymbolError: there is no function of that name.
            ImageError: an entry is malformed.
        """
        prototype = self._prototype(function)
        types = (kind for _, kind in self.table.parameters(prototype))
        return tuple(self._spelt(number, 0) for number in (prototype.size, *types))

    def _prototype(self, function: str) -> Entry:
        entry = self.table.entry(self._find(function, Kind.FUNC).size)
        if entry.kind is not Kind.FUNC_PROTO:
            raise ImageError(f"the BTF entry of {function} leads to no prototype")
        return entry

    def _spelt(self, number: int, depth: int) -> str:
        entry = self.table.unmodified(number)
        if entry is None or depth > _DEEPEST:
            return "void"
        if entry.kind is Kind.POINTER:
            return f"{self._spelt(entry.size, depth + 1)} *"
        if entry.kind is Kind.ARRAY:
            element, count = self.table.array(entry)
            return f"{self._spelt(element, depth + 1)} [{count}]"
        if entry.kind is Kind.FUNC_PROTO:
            takes = (self._spelt(kind, depth + 1) for _, kind in self.table.parameters(entry))
            return f"{self._spelt(entry.size, depth + 1)} ({', '.join(takes)})"
        # a forward declaration is the structure that it announces
        kind = (Kind.UNION if entry.flag else Kind.STRUCT) if entry.kind is Kind.FORWARD else entry.kind
        return f"{kind.name.lower()} {entry.name}"

    def _find(self, name: str, *kinds: Kind) -> Entry:
        for kind in kinds:
            if (name, kind) in self._by_name:
                return self.table.entry(self._by_name[name, kind])
        raise SymbolError(f"the kernel's types have no {name}")

    @cached_property
    def _by_name(self) -> dict[tuple[str, Kind], int]:
        found: dict[tuple[str, Kind], int] = {}
        for entry in self.table.entries(*COMPOSED, Kind.FUNC):
            if entry.name:
                found.setdefault((entry.name, entry.kind), entry.number)
        return found

    def _flat_members(self, entry: Entry, prefix: str, start: int, depth: int) -> Iterator[tuple[str, tuple[int, int]]]:
        """Path, and offset and size (bits), of all members, those of members whose type has no name among them."""
        if depth > _DEEPEST:
            raise ImageError("structures in the BTF data stand in each other without end")
        for member in self.table.members(entry):
            path = prefix + member.name
            if member.name:
                yield path, (start + member.bits, member.width or self.table.bits(member.type))
            inner = self.table.element(member.type)
            if inner and inner.kind in COMPOSED and not (inner.name and member.name):
                inside = f"{path}." if member.name else prefix
                yield from self._flat_members(inner, inside, start + member.bits, depth + 1)

    def _search(self, entry: Entry, member: str, depth: int) -> int | None:
        if depth > _DEEPEST:
            raise ImageError("structures in the BTF data stand in each other without end")
        for one in self.table.members(entry):
            if one.name == member:
                return one.bits
            inner = self.table.unmodified(one.type) if not one.name else None
            if inner and inner.kind in COMPOSED:
                found = self._search(inner, member, depth + 1)
                if found is not None:
                    return one.bits + found
        return None
