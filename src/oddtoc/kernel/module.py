"""One module that is loaded in a running kernel, as what a patch changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from oddtoc.errors import AmbiguousSymbolError, NoSiteError, RoomError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.functions import LOCAL_OFFSETS
from oddtoc.image.relocated import relocated_distances
from oddtoc.image.symbols import Symbol
from oddtoc.kernel.arena import Arena
from oddtoc.kernel.callers import far_caller
from oddtoc.kernel.code import KernelCode
from oddtoc.kernel.modulefile import JUMP_ENTRY, place_module
from oddtoc.kernel.modulelist import LoadedAt, plain_name
from oddtoc.kernel.spot import KERNEL_PROPER, Spot, read_spot
from oddtoc.places import Rooms, Span
from oddtoc.target.memory import LINEAR_MAP
from oddtoc.target.modules import depends_on

if TYPE_CHECKING:
    from oddtoc.kernel.running import RunningKernel


@dataclass(frozen=True)
class Imported:
    """A function or variable of the kernel proper or of another module, to be reached by its address alone."""

    address: int
    other: int = 0

    @property
    def local_entry(self) -> int:
        """Calls from elsewhere go to the global entry; this is the other one."""
        return self.address + (*LOCAL_OFFSETS, 0)[self.other >> 5]


class LoadedModule(KernelCode):
    """A module in a running kernel.

    Args:
        kernel: where it is loaded.
        module: where in its list.
        content: of its .ko.

    Attributes:
        module: as given.
        image: with the addresses that it has there.
        toc: its TOC pointer.

    Raises:
        MismatchError: the file is not what was loaded.
    """

    in_process = False
    toc_is_a_number = True
    toc_slot = 0

    def __init__(self, kernel: RunningKernel, module: LoadedAt, content: bytes) -> None:
        file = Image.of_bytes(f"{module.name}.ko", content)
        own = file.section(".gnu.linkonce.this_module")
        symbols = kernel.modules.symbols(module, own.size if own else 0)
        self.module = module
        self.loaded_at = module.address
        self.image = place_module(file, module.address, symbols, kernel.read_many)
        self.toc = self.image.toc or 0
        self._needed = frozenset(map(plain_name, depends_on(content)))
        self._kernel = kernel
        self._size = own.size if own else 0

    @property
    def proper(self) -> Image:
        """The image of the kernel proper."""
        return self._kernel.image

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory."""
        return self._kernel.read_many(requests)

    @cached_property
    def _code(self) -> Span:
        """From its first section of code to the end of the last."""
        texts = [text for text in self.image.text() if len(text.words) and text.address >= LINEAR_MAP]
        return Span(min(t.address for t in texts), max(t.address + 4 * len(t.words) for t in texts))

    def is_around(self, address: int) -> bool:
        """Whether an address is in its code."""
        return address in self._code

    @property
    def has_room(self) -> bool:
        """Whether there is room for payloads within a branch of its code."""
        return self._arena is not None

    @property
    def _arena(self) -> Arena | None:
        return next((arena for arena in self._kernel.arenas if arena.reaches(self._code)), None)

    @property
    def rooms(self) -> Rooms:
        """Where payloads for it go.

        Raises:
            RoomError: the kernel has not given any room near it yet.
        """
        if self._arena is None:
            crowded = "the kernel's mapped memory is crowded: load the module anew, perhaps it comes to another place"
            raise RoomError(
                f"there is no room for payloads within a branch of the module {self.module.name}",
                address=self._code.start,
                advice=crowded if self._kernel.arenas else "oddtoc apply without --dry-run has the kernel give some",
            )
        return self._arena.rooms(self.toc, self._kernel.rooms.journal, self._kernel.rooms.common)

    def function(self, name: str, which: str | None = None) -> Symbol:
        """The function of that name.

        Raises:
            SymbolError: there is none; AmbiguousSymbolError: there are several.
        """
        if which is not None and (spot := read_spot(which)) is not None:
            which = f"{self._at(spot).address:#x}"
        return self._placed(self.image.symbols.one(name, which, functions_only=True))

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
        """The word that takes the branch. See `oddtoc.kernel.place`."""
        place = super().branch_place(symbol, entry, compiled=compiled)
        if place in relocated_distances(self.image, "__jump_table", JUMP_ENTRY):
            raise NoSiteError(
                f"{symbol.name} can't be redirected: the word for the branch is a jump label",
                address=place,
                function=symbol.name,
                advice="replace its callers instead",
            )
        return place

    def resolve(self, name: str, which: str | None = None) -> Symbol | Imported:
        """What a name in a patch stands for: something of this module, of the kernel, or of a module that it needs.

        Raises:
            SymbolError: nothing has it, or more than one thing.
        """
        if (spot := read_spot(name)) is not None:
            return Imported(spot.offset) if spot.section == KERNEL_PROPER else self._at(spot)
        if self._has(name):
            return self._placed(self.image.symbols.one(name, which))
        try:
            found = self._kernel.resolve(name, which)
            return Imported(found.address, found.other)
        except AmbiguousSymbolError:
            raise
        except SymbolError:
            return self._of_needed(name)

    def exports(self, name: str) -> bool:
        """Whether other modules may reach something of this one by a name."""
        return any(symbol.binding != "local" for symbol in self.image.symbols.find(name))

    def is_foreign(self, name: str) -> bool:
        """Whether a function runs on another TOC pointer than this module's."""
        spot = read_spot(name)
        return spot.section == KERNEL_PROPER if spot else not self._has(name)

    def far_caller(self, symbol: Symbol, entry: Entry) -> str | None:
        """Who calls a function from beyond 2 GiB. See `oddtoc.kernel.callers`."""
        return far_caller(self.image, self._kernel.image, self.read_many, symbol, entry)

    def starter(self, symbol: Symbol) -> str | None:
        """Threads of modules begin in functions that are called by C code (kthread in kernel/kthread.c)."""
        del symbol
        return None

    def _placed(self, symbol: Symbol) -> Symbol:
        """A symbol whose place in memory is known."""
        if symbol.address < LINEAR_MAP:
            raise SymbolError(f"{symbol.name} is in a part of {self.module.name} whose place in memory is not known")
        return symbol

    def _at(self, spot: Spot) -> Symbol | Imported:
        """What is at a place of one of its sections."""
        section = self.image.section(spot.section)
        if section is None or section.address < LINEAR_MAP:
            raise SymbolError(f"{spot.name} is in {spot.section} of {self.module.name}, whose place is not known")
        address = section.address + spot.offset
        functions = (s for s in self.image.symbols.find(spot.name) if s.is_function and s.address == address)
        return next(functions, None) or Imported(address)

    def _has(self, name: str) -> bool:
        return bool(self.image.symbols.find(name))

    def _of_needed(self, name: str) -> Imported:
        """What another module exports that this one keeps loaded: told by its symbols in memory, or by its file.

        In memory are those of its data only where the kernel has CONFIG_KALLSYMS_ALL.
        """
        loaded = self._kernel.modules.all()
        needed = [module for other, (module, _) in loaded.items() if other in self._needed]
        for module in needed:
            found = self._kernel.modules.symbols(module, self._size).exported(name)
            if found is not None:
                return Imported(*found)
        for module in needed:
            other = self._kernel.module_at(module)
            if other.exports(name):
                symbol = other.resolve(name)
                return Imported(symbol.address, symbol.other)
        raise SymbolError(
            f"neither {self.module.name} nor the kernel has {name}, nor a module that {self.module.name} needs"
        )
