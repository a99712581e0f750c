"""The symbols of an image, kept as numpy columns: a kernel has 130,000 of them, a patch asks for a dozen.

Layouts: System V gABI, "Symbol Table"; bits 5 to 7 of st_other: ELFv2 ABI, 3.4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from oddtoc.errors import AmbiguousSymbolError, ImageError, SymbolError
from oddtoc.image.functions import LOCAL_OFFSETS, Functions, function_extents, read_functions
from oddtoc.image.layout import SHN_LORESERVE, Section, string_at
from oddtoc.image.suggest import close_names
from oddtoc.image.versions import Versions
from oddtoc.isa import Addresses

_TYPES: Final = {0: "notype", 1: "object", 2: "func", 3: "section", 4: "file", 5: "common", 6: "tls", 10: "ifunc"}
_BINDINGS: Final = {0: "local", 1: "global", 2: "weak", 10: "unique"}
_OBJECT, _FUNC, _SECTION, _FILE, _IFUNC = 1, 2, 3, 4, 10
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1

_MOST_LISTED: Final = 8
"""How many of several symbols an error shows; its `candidates` has them all."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One defined symbol.

    Args:
        name: its name.
        address: its virtual address; a function's global entry. In a relocatable object: offset in the file.
        size: in bytes; 0 when the assembler was not told.
        type: "func", "ifunc", "object", "notype", "tls", "common".
        binding: "local", "global", "weak", "unique".
        section: the name of its section, "*ABS*" for an absolute one.
        section_index: st_shndx.
        other: st_other, the raw byte.
        file: the base name of the source file for a local symbol where the image tells it, otherwise None.
        version: under which a library exports it, otherwise None.
        is_hidden: whether only those get it who ask for that version.
    """

    name: str
    address: int
    size: int
    type: str
    binding: str
    section: str
    section_index: int
    other: int
    file: str | None
    version: str | None = None
    is_hidden: bool = False

    @property
    def is_function(self) -> bool:
        """Whether its type is that of a function."""
        return self.type in ("func", "ifunc")

    @property
    def local_entry_code(self) -> int:
        """Bits 5 to 7 of st_other: 0 and 1 one entry (1: r2 may be clobbered), 2 to 6 two entries."""
        return self.other >> 5

    @property
    def local_entry(self) -> int:
        """The address of the local entry.

        Raises:
            ImageError: st_other holds the reserved value 7.
        """
        if self.local_entry_code >= len(LOCAL_OFFSETS):
            raise ImageError(
                f"{self.name} at {self.address:#x} has the reserved local entry code 7 in st_other",
                advice="the symbol table is damaged, or newer than the ELFv2 ABI 1.5",
            )
        return self.address + LOCAL_OFFSETS[self.local_entry_code]


class SymbolTable:
    """The defined symbols of one image.

    Args:
        records: entries of .symtab or .dynsym, in `layout.SYMBOL`.
        strings: the string table that they name.
        sections: the sections of the image.
        relocatable: st_value counts from the start of the symbol's section.
        versions: of its symbols, if they have any.
    """

    def __init__(
        self,
        records: npt.NDArray[Any],
        strings: bytes,
        sections: Sequence[Section],
        *,
        relocatable: bool = False,
        versions: Versions | None = None,
    ) -> None:
        self._records = records
        self._found: dict[str, list[Symbol]] = {}
        self._versions = versions
        self._strings = strings
        self._sections = sections
        self._name_offsets = np.ascontiguousarray(records["name"])
        self._types = records["info"] & 15
        self._addresses = np.ascontiguousarray(records["value"])
        index = records["shndx"]
        if relocatable:
            bases = np.array([section.address for section in sections], np.uint64)
            known = index < len(sections)
            self._addresses[known] += bases[index[known]]
        self._defined = is_definition(records)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._defined))

    def __iter__(self) -> Iterator[Symbol]:
        return (self.symbol(int(index)) for index in np.flatnonzero(self._defined))

    @property
    def record_count(self) -> int:
        """How many entries the table in the file has, undefined ones and files included."""
        return len(self._records)

    @property
    def records(self) -> npt.NDArray[Any]:
        """All entries of the table, in `layout.SYMBOL`, read-only."""
        return self._records

    def names(self, indices: npt.NDArray[np.intp]) -> list[str]:
        """The names of the symbols at the given table positions, in one go."""
        offsets: list[int] = self._name_offsets[indices].tolist()
        if not self._strings.isascii():
            return [string_at(self._strings, offset) for offset in offsets]
        text = self._strings.decode("ascii") + "\0"
        return [text[offset : text.index("\0", offset)] if offset < len(text) else "" for offset in offsets]

    def symbol(self, index: int) -> Symbol:
        """The symbol at a position of the table (as readelf numbers them)."""
        record = self._records[index]
        info, section = int(record["info"]), int(record["shndx"])
        return Symbol(
            name=string_at(self._strings, int(record["name"])),
            address=int(self._addresses[index]),
            size=int(record["size"]),
            type=_TYPES.get(info & 15, f"type {info & 15}"),
            binding=_BINDINGS.get(info >> 4, f"binding {info >> 4}"),
            section=self._section_name(section),
            section_index=section,
            other=int(record["other"]),
            file=self._file_of(index) if info >> 4 == 0 else None,
            version=self._versions.name(index) if self._versions else None,
            is_hidden=self._versions.is_hidden(index) if self._versions else False,
        )

    def find(self, name: str) -> list[Symbol]:
        """All symbols called `name`, in table order; empty when there is none."""
        # A name may be the tail of a longer one: linkers share them.
        if name not in self._found:
            self._found[name] = self._named(self._occurrences(name.encode() + b"\0")) if name else []
        return list(self._found[name])

    def one(self, name: str, which: str | None = None, *, functions_only: bool = False) -> Symbol:
        """The one symbol called `name`; of several versions the one that is not hidden.

        Args:
            name: its exact name.
            which: picks one of several: an address ("0x..."), a source file ("seq_file.c", "seq_file") or a version.
            functions_only: leave other types out of account.

        Raises:
            SymbolError: there is none, or none that `which` describes; the advice has similar names.
            AmbiguousSymbolError: there are several; `candidates` lists them.
        """
        found = [symbol for symbol in self.find(name) if symbol.is_function or not functions_only]
        if not found:
            raise self._unknown(name, functions_only)
        chosen = [symbol for symbol in found if _is_meant(symbol, which)] if which else default_versions(found)
        if not chosen:
            raise SymbolError(f"no {name} is at or in {which}", advice=f"there is {self._listed(found)}")
        if len({symbol.address for symbol in chosen}) > 1:
            raise AmbiguousSymbolError(
                f"{name} stands {len(chosen)} times in the image",
                candidates=[self.describe(symbol) for symbol in chosen],
                advice=f"say which, by address, file or version: {self._listed(chosen)}",
            )
        return chosen[0]

    def functions(self) -> Functions:
        """All functions, as sorted columns; computed once."""
        return self._functions

    @cached_property
    def _functions(self) -> Functions:
        chosen = self._defined & np.isin(self._types, (_FUNC, _IFUNC)) & (self._records["shndx"] < SHN_LORESERVE)
        return read_functions(np.flatnonzero(chosen), self._records, self._addresses, self._sections)

    def starting_with(self, prefix: str) -> list[Symbol]:
        """All symbols whose name starts with `prefix`, in table order; empty for an empty prefix."""
        return self._named(self._occurrences(prefix.encode())) if prefix else []

    def at(self, address: int, *, functions_only: bool = True) -> Symbol | None:
        """What contains `address`: the innermost function, or also an object if not `functions_only`; or None."""
        index = int(self.owners(np.array([address], np.uint64))[0])
        if index < 0 and not functions_only:
            index = self._object_at(address)
        return None if index < 0 else self.symbol(index)

    def owners(self, addresses: Addresses) -> npt.NDArray[np.intp]:
        """For each address, shape (n,), the table position of the function that contains it, or -1."""
        edges, owners = self.extents
        found: npt.NDArray[np.intp] = owners[np.searchsorted(edges, addresses, side="right") - 1]
        return found

    def start_of(self, indices: npt.NDArray[np.intp]) -> Addresses:
        """The addresses of the symbols at the given table positions, shape (n,)."""
        return self._addresses[indices]

    @cached_property
    def extents(self) -> tuple[Addresses, npt.NDArray[np.intp]]:
        """Address 0 and the edges of all functions, sorted, and whose bytes begin at each: a table position, or -1."""
        return function_extents(self._functions, self._records)

    def describe(self, symbol: Symbol) -> str:
        """Where a symbol is, in one line, to choose by: its address and file, or the global function before it.

        Debian's kernels keep no file names; functions of a file stay together, so a neighbour tells it as well.
        """
        if symbol.version:
            return f"{symbol.address:#x} ({symbol.version}{'' if symbol.is_hidden else ', the default'})"
        if symbol.file or symbol.binding != "local":
            return f"{symbol.address:#x} ({symbol.file or symbol.binding})"
        functions = self._functions
        is_global = self._records["info"][functions.indices] >> 4 != 0
        before = np.flatnonzero(is_global & (functions.starts < symbol.address))
        if not len(before):
            return f"{symbol.address:#x} ({symbol.section})"
        return f"{symbol.address:#x} (behind {self.symbol(int(functions.indices[before[-1]])).name})"

    def _listed(self, symbols: Sequence[Symbol]) -> str:
        shown = "; ".join(self.describe(symbol) for symbol in symbols[:_MOST_LISTED])
        return f"{shown}; and {len(symbols) - _MOST_LISTED} more" if len(symbols) > _MOST_LISTED else shown

    def _named(self, name_offsets: Iterable[int]) -> list[Symbol]:
        wanted = np.fromiter(name_offsets, np.uint32)
        return [
            self.symbol(int(index)) for index in np.flatnonzero(np.isin(self._name_offsets, wanted) & self._defined)
        ]

    def _occurrences(self, wanted: bytes) -> Iterator[int]:
        place = self._strings.find(wanted)
        while place >= 0:
            yield place
            place = self._strings.find(wanted, place + 1)

    def _object_at(self, address: int) -> int:
        """The table position of the innermost object with a size that contains `address`, or -1."""
        starts, sizes = self._addresses, self._records["size"]
        inside = self._defined & (starts <= address) & (np.uint64(address) - starts < sizes)
        hits = np.flatnonzero(inside & (self._types == _OBJECT))
        return int(hits[np.argmax(starts[hits])]) if len(hits) else -1

    @cached_property
    def _files(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self._types == _FILE)

    def _file_of(self, index: int) -> str | None:
        """gABI: a FILE symbol precedes the local symbols of its file."""
        place = int(np.searchsorted(self._files, index)) - 1
        if place < 0:
            return None
        name = string_at(self._strings, int(self._name_offsets[self._files[place]]))
        return PurePosixPath(name).name or None

    def _section_name(self, index: int) -> str:
        if index < len(self._sections):
            return self._sections[index].name
        return "*ABS*" if index == _ABSOLUTE else f"section {index}"

    def _unknown(self, name: str, functions_only: bool) -> SymbolError:
        kind = "function" if functions_only else "symbol"
        chosen = self._functions.indices if functions_only else np.flatnonzero(self._defined)
        names = {string_at(self._strings, offset) for offset in np.unique(self._name_offsets[chosen]).tolist()}
        similar = close_names(name, names)
        advice = "did you mean " + " or ".join(similar) + "?" if similar else "it may be inlined, or in a module"
        return SymbolError(f"the image has no {kind} {name}", advice=advice)


def default_versions(symbols: Sequence[Symbol]) -> list[Symbol]:
    """Those of one name that are meant by the name alone: not the hidden ones, unless there are no others."""
    return [symbol for symbol in symbols if not symbol.is_hidden] or list(symbols)


def is_definition(records: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which entries of a symbol table, shape (n,), define something by name: no undefined ones, sections or files."""
    types = records["info"] & 15
    defined: npt.NDArray[np.bool_] = (records["shndx"] != _UNDEFINED) & (types != _FILE) & (types != _SECTION)
    return defined


def _is_meant(symbol: Symbol, which: str) -> bool:
    if which.startswith("0x"):
        try:
            return symbol.address == int(which, 16)
        except ValueError:
            return False
    if which == symbol.version:
        return True
    return symbol.file is not None and which in (symbol.file, PurePosixPath(symbol.file).stem)
