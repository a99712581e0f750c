"""One object that is loaded in a process: a program or a library, at the addresses that it has there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from oddtoc.errors import AmbiguousSymbolError, MismatchError, NoSiteError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.flow import flow_of
from oddtoc.image.live import known_entries, live_entries
from oddtoc.image.notes import build_id
from oddtoc.image.symbols import Symbol, SymbolTable, default_versions
from oddtoc.places import Rooms, Span, Zone, align
from oddtoc.process.imports import bound_to
from oddtoc.process.parts import parts_of
from oddtoc.process.room import rooms_in

if TYPE_CHECKING:
    from oddtoc.process.running import RunningProcess

_IFUNC = "ifunc"
_WORD = 4
SHARED_FRAMES = "oddtoc_frames"
"""What patches call the room that they share."""


@dataclass(frozen=True)
class Implementation:
    """What is known by its address alone: the function that an IFUNC was resolved to, or room that patches share."""

    address: int
    other: int = 0

    @property
    def local_entry(self) -> int:
        """Calls go to the global entry."""
        return self.address


class LoadedObject:
    """A program or library in a process.

    Args:
        name: its file's base name.
        image: with the addresses that it has there.
        debug: the symbols of its debug file, with these addresses, too; None without one.
        process: where it is loaded.

    Raises:
        SymbolError: it has no TOC pointer.
    """

    in_process = True
    toc_is_a_number = True
    toc_slot = 0
    module = None

    def __init__(self, name: str, image: Image, debug: SymbolTable | None, process: RunningProcess) -> None:
        if image.toc is None:
            raise SymbolError(f"{name} has neither a .TOC. symbol nor a .got")
        self.name = name
        self.image = image
        self.toc = image.toc
        self._tables = [image.symbols, *([debug] if debug else [])]
        self._process = process

    @property
    def proper(self) -> Image:
        """It is a part of nothing."""
        return self.image

    @property
    def code(self) -> Span:
        """The addresses of its code."""
        texts = self.image.text()
        return Span(min(t.address for t in texts), max(t.address + 4 * len(t.words) for t in texts))

    @property
    def start(self) -> int:
        """The address of its first code, which tells it from all others."""
        return self.code.start

    @property
    def loaded_at(self) -> int:
        """The same: something else may be loaded by its name later."""
        return self.start

    @cached_property
    def rooms(self) -> Rooms:
        """Where payloads for it go."""
        arena = self._process.arena(self)
        return rooms_in(arena, self.toc, self._process.journal, self.code, self.padding)

    @property
    def padding(self) -> tuple[Span, ...]:
        """What is mapped executable behind its text, up to the end of the page: nothing in it is of any use there."""
        ends = [address + size for address, size in self.image.loaded_from_file]
        return tuple(
            Span(align(end, _WORD), mapping.span.end)
            for mapping in self._process.code_mappings(self.start)
            for end in ends
            if mapping.span.start < end < mapping.span.end
        )

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory of the process."""
        return self._process.read_many(requests)

    def check_identity(self) -> None:
        """Compare the build id in memory with the file's.

        Raises:
            MismatchError: something else is loaded there.
        """
        if self.image.notes is None:
            raise MismatchError(f"{self.name} has no build id to compare with what is loaded")
        address, notes = self.image.notes
        (loaded,) = self.read_many([(address, len(notes))])
        if loaded != notes:
            found, expected = (identity.hex() if identity else "none" for identity in map(build_id, (loaded, notes)))
            raise MismatchError(
                f"what is loaded of {self.name} has the build id {found}, its file {expected}", address=address
            )

    def function(self, name: str, which: str | None = None) -> Symbol:
        """The function of that name.

        Raises:
            SymbolError: there is none, or more than one.
            NoSiteError: it is an IFUNC: callers do not come by.
        """
        symbol = self._own(name, which, functions_only=True)
        if symbol.type == _IFUNC:
            raise NoSiteError(
                f"{name} is an IFUNC of {self.name}: its callers were sent to an implementation when they were loaded",
                address=symbol.address,
                function=name,
                advice="replace that implementation, which the debug symbols name",
            )
        return symbol

    def entries(self, symbols: Iterable[Symbol]) -> list[Entry]:
        """The entries of functions, told from the live words; the branch goes to the local entry."""
        return [_without_site(entry) for entry in live_entries(self.image, self.read_many, symbols)]

    def known_entries(self, symbols: Iterable[Symbol]) -> list[Entry | NoSiteError]:
        """`entries`, with an error for each whose words are of no known shape."""
        found = known_entries(self.image, self.read_many, symbols)
        return [one if isinstance(one, NoSiteError) else _without_site(one) for one in found]

    @property
    def tables(self) -> Sequence[SymbolTable]:
        """All symbols that are known, those of its debug file behind its own."""
        return self._tables

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = True) -> int:
        """The word that takes the branch: the first one of the local entry, compiled C or not.

        Raises:
            NoSiteError: the function is too short to have one.
        """
        del compiled
        if symbol.size and entry.local_entry + 4 > symbol.address + symbol.size:
            raise NoSiteError(f"{symbol.name} is empty", address=symbol.address, function=symbol.name)
        return entry.local_entry

    def is_jumped_to(self, entry: int, place: int) -> bool:
        """Whether the word at `place` is reached in mid-course of the function at `entry`."""
        symbol = self.at(entry)
        return symbol is None or flow_of(self.image).is_jumped_to(symbol, place)

    def resolve(self, name: str, which: str | None = None) -> Symbol | Implementation:
        """What a name in a patch stands for: something of this object, or what others export, in its default version.

        Variables that the program has a copy of are those of the program, as the dynamic linker has it.

        Raises:
            SymbolError: nothing has it, or more than one thing; or an IFUNC that nobody has called yet.
        """
        if name == SHARED_FRAMES:
            return Implementation(self.rooms.common.start)
        try:
            symbol = self._own(name, which)
        except AmbiguousSymbolError:
            raise
        except SymbolError:
            return self._of_others(name, which)
        if symbol.type == "object" and symbol.binding != "local":
            program = self._process.loaded[0]
            copies = program.image.symbols.find(name) if program is not self else []
            return copies[0] if copies else symbol
        return self._implementation(name) if symbol.type == _IFUNC else symbol

    def is_foreign(self, name: str) -> bool:
        """Whether a function runs on another TOC pointer than this object's."""
        try:
            return self._own(name).type == _IFUNC
        except AmbiguousSymbolError:
            return False
        except SymbolError:
            return True

    def far_caller(self, symbol: Symbol, entry: Entry) -> str | None:
        """Callers with this TOC pointer are near; others reload theirs."""
        del symbol, entry
        return None

    def starter(self, symbol: Symbol) -> str | None:
        """Threads of processes begin in functions that are called by C code."""
        del symbol
        return None

    def body(self, name: str, entry: int, behind: int) -> Iterator[Zone]:
        """The code of a function, with the parts that the compiler has put elsewhere.

        Its first word is none of it: an address there is a pointer to the function, and who goes there enters it.
        """
        symbol = self.at(entry)
        end = max(behind + 4, symbol.address + symbol.size) if symbol else behind + 4
        whole = Span(entry + 4, end)
        yield Zone(whole, name)
        for part in parts_of(self.image, Span(entry, end)):
            yield Zone(part, f"a part of {name}")

    def at(self, address: int) -> Symbol | None:
        """The function around an address."""
        found = (table.at(address) for table in self._tables)
        return next((symbol for symbol in found if symbol is not None), None)

    def exported(self, name: str, version: str | None = None) -> Symbol | None:
        """What other objects get by a name, with the default version unless another is asked for."""
        found = [symbol for symbol in self.image.exports.find(name) if symbol.binding != "local"]
        chosen = [symbol for symbol in found if symbol.version == version] if version else default_versions(found)
        return chosen[0] if chosen else None

    def _own(self, name: str, which: str | None = None, *, functions_only: bool = False) -> Symbol:
        exports = self.image.exports
        # .symtab has versions in its names: foo@@V2
        tables = [exports] if any(symbol.is_hidden for symbol in exports.find(name)) else []
        tables += [table for table in (*self._tables, exports) if table.find(name)]
        return (tables or self._tables[-1:])[0].one(name, which, functions_only=functions_only)

    def _of_others(self, name: str, version: str | None) -> Symbol | Implementation:
        for other in self._process.loaded:
            symbol = other.exported(name, version) if other is not self else None
            if symbol is not None:
                return self._implementation(name) if symbol.type == _IFUNC else symbol
        raise SymbolError(f"neither {self.name} nor another object of the process has {name}")

    def _implementation(self, name: str) -> Implementation:
        for other in self._process.loaded:
            address = bound_to(other.image, name, self.read_many)
            if address is not None and self._process.is_code(address, besides=other.name):
                return Implementation(address)
        raise SymbolError(
            f"{name} is an IFUNC, and which implementation was chosen can't be told: no object has called it yet",
            advice="call something else, or the implementation by its own name",
        )


def _without_site(entry: Entry) -> Entry:
    """Functions of processes have none: the branch goes to the local entry."""
    return replace(entry, site=None, site_kind=None, behind=entry.local_entry)
