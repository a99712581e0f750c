"""C declarations of all types of an image, made from its BTF: what is called a vmlinux.h.

A name may stand for several types in different files of a kernel. The first of them keeps it, others are called
`NAME___2`, `NAME___3`; structures, unions and enumerations share names, and so do typedefs and constants.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from oddtoc.errors import ImageError
from oddtoc.image.btf import Btf
from oddtoc.image.btftable import COMPOSED, MODIFIERS, BtfTable, Entry, Kind
from oddtoc.image.elf import Image
from oddtoc.image.footing import Footings, Placed

_DEEPEST = 200
_QUALIFIERS = {Kind.CONST: "const ", Kind.VOLATILE: "volatile ", Kind.RESTRICT: "restrict "}
_DECLARED_AROUND = frozenset((*_QUALIFIERS, Kind.TYPE_TAG, Kind.POINTER, Kind.ARRAY, Kind.FUNC_PROTO))
"""Kinds that have no name, and are written around what is declared."""
_WORDS = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}
_ENUMS = (Kind.ENUM, Kind.ENUM64)
_MODES = {1: "QI", 2: "HI", 8: "DI"}
"""Size of an enumeration (bytes) -> its machine mode, where it is not that of an int (GCC, "Machine Modes")."""
_UNITS = {64: "unsigned long", 32: "unsigned int", 16: "unsigned short", 8: "unsigned char"}
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_BUILT_IN = "__builtin_"
"""Typedefs that begin so are the compiler's own."""


def header_text(image: Image) -> str:
    """A header with all types of a kernel.

    Raises:
        ImageError: the kernel has no type information, or it makes no sense.
    """
    build_id = image.build_id.hex() if image.build_id else "none"
    head = f"/* All types of the kernel with the build id {build_id}, of its BTF. No macros, no functions. */"
    lines = declarations(Btf.of(image).table)
    return "\n".join([head, "#ifndef VMLINUX_H", "#define VMLINUX_H", "", *lines, "", "#endif", ""])


def declarations(table: BtfTable) -> Iterator[str]:
    """The lines of a C file that declares every type of an image, each before it is used.

    Args:
        table: its types.

    Raises:
        ImageError: they make no sense, or can't be written in C.
    """
    yield from _Writer(table).lines()


class _Writer:
    def __init__(self, table: BtfTable) -> None:
        self._table = table
        self._footings = Footings(table)
        self._names: dict[int, str] = {}
        self._constants: dict[int, list[tuple[str, int]]] = {}
        self._done: set[int] = set()
        self._open: set[int] = set()

    def lines(self) -> Iterator[str]:
        yield from self._name_all()
        for entry in self._table.entries():
            if entry.kind in _ENUMS:
                yield from self._enumeration(entry)
        for entry in self._table.entries():
            if entry.kind is Kind.TYPEDEF or (entry.kind in COMPOSED and entry.name):
                yield from self._declare(entry, 0)

    def _name_all(self) -> Iterator[str]:
        """Give every type a name of its own, and declare those of structures and unions."""
        tags: dict[str, Kind] = {}
        used: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        forward = []
        for entry in self._table.entries():
            if entry.kind in _ENUMS or (entry.kind in COMPOSED and entry.name):
                name = self._names[entry.number] = _fresh(entry.name or "__enum", used[0])
                tags.setdefault(name, entry.kind)
                if entry.kind in COMPOSED:
                    yield f"{_WORDS[entry.kind]} {name};"
            if entry.kind is Kind.TYPEDEF:
                self._names[entry.number] = _fresh(entry.name, used[1])
            if entry.kind in _ENUMS:
                constants = self._table.constants(entry)
                self._constants[entry.number] = [(_fresh(name, used[1]), value) for name, value in constants]
            if entry.kind is Kind.FORWARD:
                forward.append(entry)
        for entry in forward:
            kind = Kind.UNION if entry.flag else Kind.STRUCT
            is_known = tags.get(entry.name) is kind
            self._names[entry.number] = entry.name if is_known else _fresh(entry.name, used[0])
            tags.setdefault(self._names[entry.number], kind)
            yield f"{_WORDS[kind]} {self._names[entry.number]};"

    def _enumeration(self, entry: Entry) -> Iterator[str]:
        constants = self._constants[entry.number]
        if not constants:
            yield f"enum {self._names[entry.number]};"
            return
        yield f"enum {self._names[entry.number]} {{"
        yield from (f"\t{name} = {_number(value)}," for name, value in constants)
        mode = _MODES.get(entry.size)
        yield f"}} __attribute__((mode({mode})));" if mode else "};"

    def _declare(self, entry: Entry, depth: int) -> Iterator[str]:
        """A structure, union or typedef, behind everything that it needs."""
        if entry.number in self._done:
            return
        if entry.number in self._open or depth > _DEEPEST:
            raise ImageError(f"{entry.name} in the BTF data is made of itself")
        self._open.add(entry.number)
        if entry.kind is Kind.TYPEDEF:
            yield from self._need(entry.size, False, depth + 1)
        else:
            yield from self._need_members(entry, depth + 1)
        self._open.remove(entry.number)
        self._done.add(entry.number)
        if entry.kind is not Kind.TYPEDEF:
            yield f"{self._body(entry, '', self._names[entry.number])};"
        elif not entry.name.startswith(_BUILT_IN):
            yield f"typedef {self._declarator(entry.size, self._names[entry.number], '')};"

    def _need(self, number: int, is_whole: bool, depth: int) -> Iterator[str]:
        """What has to stand before a type is named; if it is needed whole, also what it consists of."""
        if depth > _DEEPEST:
            raise ImageError("types in the BTF data are made of each other without end")
        entry = self._table.entry(number) if number else None
        if entry is None:
            return
        if entry.kind is Kind.TYPEDEF:
            yield from self._declare(entry, depth)
        if entry.kind in MODIFIERS:
            if is_whole or entry.kind is not Kind.TYPEDEF:
                yield from self._need(entry.size, is_whole, depth + 1)
        elif entry.kind in COMPOSED:
            if not entry.name:
                yield from self._need_members(entry, depth + 1)
            elif is_whole:
                yield from self._declare(entry, depth)
        else:
            is_array = entry.kind is Kind.ARRAY
            for part in self._parts(entry):
                yield from self._need(part, is_array, depth + 1)

    def _parts(self, entry: Entry) -> list[int]:
        """What a type without a name is made of: array, pointer or function."""
        if entry.kind is Kind.ARRAY:
            return [self._table.array(entry)[0]]
        if entry.kind is Kind.FUNC_PROTO:
            return [entry.size, *(number for _, number in self._table.parameters(entry))]
        return [entry.size] if entry.kind is Kind.POINTER else []

    def _need_members(self, entry: Entry, depth: int) -> Iterator[str]:
        for member in self._table.members(entry):
            yield from self._need(member.type, True, depth)

    def _body(self, entry: Entry, indent: str, name: str = "") -> str:
        """A structure or union with its members."""
        footing = self._footings.of(entry)
        lines = [f"{_WORDS[entry.kind]} {name}".rstrip() + " {"]
        for placed in footing.members:
            lines += [*_filled(placed.start, placed.fill, indent), self._member(placed, indent)]
        rest = list(_filled(footing.start, footing.fill, indent))
        # in a union each of them would be at its start
        lines += [f"{indent}\tstruct {{", *rest, f"{indent}\t}};"] if rest and entry.kind is Kind.UNION else rest
        asked = ["packed"] * footing.is_packed + [f"aligned({footing.asked})"] * bool(footing.asked)
        lines.append(f"{indent}}}" + (f" __attribute__(({', '.join(asked)}))" if asked else ""))
        return "\n".join(lines)

    def _member(self, placed: Placed, indent: str) -> str:
        member, inside = placed.member, f"{indent}\t"
        aligned = f" __attribute__((aligned({placed.alignment})))" if placed.alignment else ""
        type_of = self._table.unmodified(member.type) if not member.name else None
        if type_of and type_of.kind in COMPOSED:
            # one with a tag could stand there only with -fms-extensions
            return f"{inside}{self._body(type_of, inside)}{aligned};"
        width = f" : {member.width}" if member.width else ""
        return (
            f"{inside}{self._declarator(member.type, member.name and _checked(member.name), inside)}{width}{aligned};"
        )

    def _declarator(self, number: int, declared: str, indent: str) -> str:
        """A declaration of something as being of a type (C11, 6.7.6)."""
        qualifiers = ""
        for _ in range(_DEEPEST):
            entry = self._table.entry(number) if number else None
            if entry is None or entry.kind not in _DECLARED_AROUND:
                return f"{qualifiers}{self._base(entry, indent)} {declared}".rstrip()
            number = entry.size
            if entry.kind in _QUALIFIERS and _QUALIFIERS[entry.kind] not in qualifiers:
                qualifiers += _QUALIFIERS[entry.kind]
            elif entry.kind is Kind.POINTER:
                declared, qualifiers = f"*{qualifiers}{declared}", ""
            elif entry.kind is Kind.ARRAY:
                number, count = self._table.array(entry)
                declared = f"{_grouped(declared)}[{count}]"
            elif entry.kind is Kind.FUNC_PROTO:
                # a qualified function is one that never returns, or has no effects (GCC, "Function Attributes")
                declared, qualifiers = f"{_grouped(declared)}({self._parameters(entry, indent)})", ""
        raise ImageError("types in the BTF data lead to each other without end")

    def _parameters(self, entry: Entry, indent: str) -> str:
        found = self._table.parameters(entry)
        shown = [self._declarator(number, "", indent) if number or name else "..." for name, number in found]
        return ", ".join(shown) if shown and shown != ["..."] else "" if shown else "void"

    def _base(self, entry: Entry | None, indent: str) -> str:
        if entry is None:
            return "void"
        if entry.kind in COMPOSED and not entry.name:
            return self._body(entry, indent)
        if entry.kind is Kind.FORWARD:
            return f"{'union' if entry.flag else 'struct'} {self._names[entry.number]}"
        if entry.kind in (*COMPOSED, *_ENUMS):
            return f"{_WORDS[entry.kind]} {self._names[entry.number]}"
        if entry.kind is Kind.TYPEDEF:
            return entry.name if entry.name.startswith(_BUILT_IN) else self._names[entry.number]
        if entry.kind in (Kind.INT, Kind.FLOAT):
            return " ".join(map(_checked, entry.name.split(" ")))
        raise ImageError(f"the BTF data makes a type of {entry.name or entry.kind.name}")


def _filled(start: int, bits: int, indent: str) -> Iterator[str]:
    """Members without a name that fill bits, each within a unit of its type: no other placement is possible."""
    end = start + bits
    while start < end:
        unit = next((u for u in _UNITS if start % u == 0 and start + u <= end), 0)
        width = unit or min(end - start, 8 - start % 8)
        yield f"{indent}\t{_UNITS[unit or 8]} : {width};"
        start += width


def _grouped(declared: str) -> str:
    """What is declared, in parentheses where a pointer would otherwise bind less than what follows."""
    return f"({declared})" if declared.startswith("*") else declared


def _checked(name: str) -> str:
    if not _IDENTIFIER.match(name):
        raise ImageError(f"the BTF data has {name!r}, which is no name in C")
    return name


def _number(value: int) -> str:
    """A constant in C, which has no negative ones: the least one of a size can't be written as one."""
    if value in (-(1 << 31), -(1 << 63)):
        return f"({_number(value + 1)} - 1)"
    return f"{value}{'' if -(1 << 31) < value < 1 << 32 else 'LL' if value < 1 << 63 else 'ULL'}"


def _fresh(name: str, used: Counter[str]) -> str:
    used[_checked(name)] += 1
    return name if used[name] == 1 else f"{name}___{used[name]}"
