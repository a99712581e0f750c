"""A running kernel: its image, and the target that it runs in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from oddtoc.errors import (
    ChangedError,
    MismatchError,
    PatchError,
    RecordError,
    SymbolError,
)
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.live import ReadMany as ReadMany
from oddtoc.image.symbols import Symbol
from oddtoc.kernel.arena import Arena, find_arenas
from oddtoc.kernel.callers import far_caller
from oddtoc.kernel.code import KernelCode
from oddtoc.kernel.module import LoadedModule
from oddtoc.kernel.modulelist import SUFFIX, LoadedAt, ModuleList
from oddtoc.kernel.pagetable import PageTables
from oddtoc.kernel.room import rooms
from oddtoc.kernel.threadstart import started_by
from oddtoc.places import TABLES_IN_COMMON, Rooms, Span
from oddtoc.target.memory import is_linear
from oddtoc.target.modules import read_module

_PACA_WORDS = 64


_SHADOW_TABLE = 0
_MAILBOX = 960
_ARENAS = 992
_SHARED = {
    "oddtoc_shadow_table": _SHADOW_TABLE,
    "oddtoc_mailbox": _MAILBOX,
    "oddtoc_arenas": _ARENAS,
    "oddtoc_tables": TABLES_IN_COMMON,
}
"""Offsets (bytes) in the common room: 960 bytes of shadow table, the mailbox, the list of arenas, 3 KiB of tables."""


@dataclass(frozen=True)
class Place:
    """Data outside of the payload."""

    address: int
    other: int = 0

    @property
    def local_entry(self) -> int:
        """Nobody calls it."""
        return self.address


class RunningKernel(KernelCode):
    """What is asked of a running kernel before anything is written to it.

    Args:
        image: the file that it was booted from.
        read_many: reads live memory; once this kernel tells where it is (`pieces`), that of modules too.
        modules: folders with the files of its modules.
    """

    def __init__(self, image: Image, read_many: ReadMany, modules: Sequence[Path] = ()) -> None:
        if image.toc is None:
            raise SymbolError(f"{image.path.name} has no .TOC. symbol", advice="oddtoc needs a vmlinux with symbols")
        self.image = image
        self.toc = image.toc
        self._read_many = read_many
        self.modules = ModuleList(image, read_many)
        self._folders = tuple(modules)
        self._tables = PageTables(image)
        self._loaded: dict[LoadedAt, LoadedModule] = {}
        self._relied_on: set[LoadedAt] = set()
        self._arenas: Sequence[Arena] = ()

    in_process = False
    toc_is_a_number = False
    module: LoadedAt | None = None
    asked_for_frames = None
    unwinder = None
    loaded_at = 0

    @cached_property
    def rooms(self) -> Rooms:
        """Where this kernel has room."""
        return rooms(self.image)

    @property
    def journal(self) -> Span:
        """The room for records."""
        return self.rooms.journal

    @property
    def payloads(self) -> tuple[Span, ...]:
        """The room for payloads."""
        return *self.code_rooms, self.rooms.data, *(arena.data for arena in self.arenas)

    @property
    def code_rooms(self) -> tuple[Span, ...]:
        """The room for code of payloads."""
        return self.rooms.text, self.rooms.helpers, *(arena.code for arena in self.arenas)

    @property
    def arena_list(self) -> int:
        """Where the address of the first arena is (see `oddtoc.kernel.arena`)."""
        return self.rooms.common.start + _ARENAS

    @property
    def arenas(self) -> Sequence[Arena]:
        """The room near modules that this kernel has given so far."""
        self._arenas = find_arenas(self.arena_list, self.read_many)
        return self._arenas

    def subject(self, names: Sequence[str]) -> RunningKernel | LoadedModule:
        """What a patch changes: the kernel proper, or one of its modules.

        Args:
            names: ``vmlinux``, or a module's with ``.ko`` behind.

        Raises:
            PatchError: there is no such thing, or there are several; NotLoadedError: the module is not loaded.
            MismatchError: the module's file is not what was loaded.
        """
        if len(set(names)) > 1:
            raise PatchError(f"the patch changes {' and '.join(sorted(set(names)))}", advice="make a patch for each")
        if names[0] == "vmlinux":
            return self
        if not names[0].endswith(SUFFIX):
            raise PatchError(
                f"the patch changes {names[0]}, which is neither vmlinux nor a module",
                advice=f"modules are named with their suffix: {names[0]}{SUFFIX}",
            )
        return self.module_at(self.modules.find(names[0]))

    def subject_at(self, address: int) -> RunningKernel | LoadedModule:
        """The kernel proper, or the module around an address."""
        modules = (self.module_at(module) for module in self._relied_on) if not is_linear(address, 4) else ()
        return next((module for module in modules if module.is_around(address)), self)

    def module_at(self, module: LoadedAt) -> LoadedModule:
        """A module that is loaded, with its file.

        Raises:
            GuestError: there is no file of it.
            MismatchError: that file is not what was loaded.
        """
        if module not in self._loaded:
            content = read_module(self._folders, module.name)
            self._loaded[module] = LoadedModule(self, module, content)
        self._relied_on.add(module)
        return self._loaded[module]

    def is_here(self, module: str, address: int) -> bool:
        """Whether what a record speaks of is still there.

        Args:
            module: its module; empty for the kernel proper.
            address: of its `struct module`.
        """
        if not module:
            return True
        found = LoadedAt(module, address)
        if self.modules.is_up(found):
            self._relied_on.add(found)
        else:
            self._relied_on.discard(found)
            self._loaded.pop(found, None)
        return found in self._relied_on

    def place(self, address: int) -> str:
        """An address in words."""
        modules = (module for module in self._loaded.values() if module.is_around(address))
        subject = next(modules, self)
        symbol = subject.image.symbols.at(address)
        where = f" [{subject.module.name}]" if subject.module else ""
        return f"{symbol.name}+{address - symbol.address:#x}{where}" if symbol else f"{address:#x}"

    def name_of(self, address: int) -> tuple[str, int] | None:
        """As `Running.name_of`; for functions of the kernel proper."""
        symbol = self.image.symbols.at(address)
        return (symbol.name, address - symbol.address) if symbol else None

    def pieces(self, spans: Sequence[tuple[int, int]], read_many: ReadMany) -> list[list[tuple[int, int]]]:
        """Where memory of modules is in the linear map. See `oddtoc.target.memory.MemoryMapping`."""
        return self._tables.pieces(spans, read_many)

    @property
    def page_size(self) -> int:
        """Bytes of a page: `empty_zero_page` is one (arch/powerpc/mm)."""
        return self.image.symbols.one("empty_zero_page").size

    def admit(self, spans: Sequence[tuple[int, int]], read_many: ReadMany) -> None:
        """Let memory of arenas be written to, and of modules if all that were looked at are still there.

        Asked inside of a stop.

        Raises:
            ChangedError: one is not.
        """
        if all(any(address in arena.span for arena in self._arenas) for address, _ in spans):
            return
        gone = [module.name for module in self._relied_on if not self.modules.is_up(module, read_many)]
        if gone or not self._relied_on:
            raise ChangedError(
                f"the module {gone[0]} was removed meanwhile" if gone else f"nothing is known at {spans[0][0]:#x}",
                address=spans[0][0],
                advice="look with oddtoc status",
            )

    def make_room(self, subject: object) -> None:
        """A kernel has its room already."""

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory, (address, size in bytes) each."""
        return self._read_many(requests)

    def check_identity(self) -> None:
        """Compare the build id, and all other ELF notes, in memory with the image's.

        Raises:
            MismatchError: another kernel runs there.
        """
        if self.image.notes is None or self.image.build_id is None:
            raise MismatchError(f"{self.image.path.name} has no build id to compare with the running kernel's")
        address, notes = self.image.notes
        live = self.read_many([(address, len(notes))])[0]
        if live != notes:
            raise MismatchError(
                f"the running kernel is not {self.image.path} (build id {self.image.build_id.hex()})",
                address=address,
                advice="give the vmlinux of the kernel that runs there with --vmlinux",
            )

    @cached_property
    def toc_slot(self) -> int:
        """Offset (bytes) in the PACA, from r13, of the doubleword that holds the kernel's TOC pointer.

        Found by value in the first PACA: `paca_ptrs` is an array of pointers (arch/powerpc/kernel/paca.c).

        Raises:
            RecordError: no doubleword there holds it, or more than one.
        """
        (array,) = struct.unpack("<Q", self.read_many([(self.image.symbols.one("paca_ptrs").address, 8)])[0])
        (paca,) = struct.unpack("<Q", self.read_many([(array, 8)])[0])
        words = struct.unpack(f"<{_PACA_WORDS}Q", self.read_many([(paca, _PACA_WORDS * 8)])[0])
        found = [index * 8 for index, word in enumerate(words) if word == self.toc]
        if len(found) != 1:
            raise RecordError(f"the PACA at {paca:#x} holds the kernel's TOC pointer {len(found)} times", address=paca)
        return found[0]

    def function(self, name: str, which: str | None = None) -> Symbol:
        """The function of that name.

        Raises:
            SymbolError: there is none; AmbiguousSymbolError: there are several.
        """
        return self.image.symbols.one(name, which, functions_only=True)

    def resolve(self, name: str, which: str | None = None) -> Symbol | Place:
        """What a name in a patch stands for.

        Raises:
            SymbolError: nothing has it, or more than one symbol of the kernel.
        """
        if name in _SHARED:
            return Place(self.rooms.common.start + _SHARED[name])
        return self.image.symbols.one(name, which)

    @property
    def mailbox(self) -> int:
        """The address of the mailbox that callbacks are asked for through (oddtoc_callbacks.h)."""
        return self.rooms.common.start + _MAILBOX

    def is_foreign(self, name: str) -> bool:
        """The kernel proper has one TOC pointer."""
        del name
        return False

    def far_caller(self, symbol: Symbol, entry: Entry) -> str | None:
        """Who calls a function from beyond 2 GiB. See `oddtoc.kernel.callers`."""
        return far_caller(self.image, self.image, self.read_many, symbol, entry)

    def starter(self, symbol: Symbol) -> str | None:
        """The function that has threads begin in this one. See `oddtoc.kernel.threadstart`."""
        return started_by(self.image, symbol)
