"""A running kernel: its image, and the target that it runs in."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from oddtoc.errors import MismatchError, NoSiteError, PatchError, RecordError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.flow import flow_of
from oddtoc.image.live import ReadMany as ReadMany
from oddtoc.image.live import known_entries, live_entries
from oddtoc.image.symbols import Symbol, SymbolTable
from oddtoc.isa import NOP
from oddtoc.kernel.ftrace import FtraceRecords
from oddtoc.kernel.place import branch_place
from oddtoc.kernel.room import rooms
from oddtoc.kernel.threadstart import started_by
from oddtoc.places import TABLES_IN_COMMON, Rooms, Span, Zone

_PACA_WORDS = 64


_SHADOW_TABLE = 0
_MAILBOX = 960
_SHARED = {"oddtoc_shadow_table": _SHADOW_TABLE, "oddtoc_mailbox": _MAILBOX, "oddtoc_tables": TABLES_IN_COMMON}
"""Offsets (bytes) in the common room: 960 bytes of shadow table, then the mailbox, then 3 KiB of tables."""
_DIRECT_CALL = 1 << 24 | 1 << 23
"""FTRACE_FL_DIRECT and FTRACE_FL_DIRECT_EN (include/linux/ftrace.h): a BPF trampoline calls the function."""


@dataclass(frozen=True)
class Place:
    """Data outside of the payload."""

    address: int
    other: int = 0

    @property
    def local_entry(self) -> int:
        """Nobody calls it."""
        return self.address


class RunningKernel:
    """What is asked of a running kernel before anything is written to it.

    Args:
        image: the file that it was booted from.
        read_many: reads live memory.
    """

    def __init__(self, image: Image, read_many: ReadMany) -> None:
        if image.toc is None:
            raise SymbolError(f"{image.path.name} has no .TOC. symbol", advice="oddtoc needs a vmlinux with symbols")
        self.image = image
        self.toc = image.toc
        self.read_many = read_many

    in_process = False

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
        return self.rooms.text, self.rooms.helpers, self.rooms.data

    def subject(self, names: Sequence[str]) -> RunningKernel:
        """What a patch changes: the kernel proper.

        Raises:
            PatchError: it names something else.
        """
        for name in names:
            if name != "vmlinux":
                raise PatchError(
                    f"the patch changes {name}, which is not vmlinux", advice="modules can't be patched yet"
                )
        return self

    def subject_at(self, address: int) -> RunningKernel:
        """The kernel is all one."""
        del address
        return self

    def make_room(self, subject: object) -> None:
        """A kernel has its room already."""

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

    def entries(self, symbols: Iterable[Symbol]) -> list[Entry]:
        """The entries of functions, told from the live words, all read at once.

        Raises:
            NoSiteError: the words at an entry are those of no known shape.
        """
        return live_entries(self.image, self.read_many, symbols)

    def known_entries(self, symbols: Iterable[Symbol]) -> list[Entry | NoSiteError]:
        """The entries of functions, with an error for each whose words are of no known shape."""
        return known_entries(self.image, self.read_many, symbols)

    @property
    def tables(self) -> Sequence[SymbolTable]:
        """All symbols that are known."""
        return [self.image.symbols]

    def bpf_users(self, symbol: Symbol) -> str | None:
        """How BPF programs may call a function, in words; None where no way is known.

        Helpers stand in a `struct bpf_func_proto` (include/linux/bpf.h), whose objects are named `*_proto` and begin
        with the function's address; kernel functions open to BPF are listed in .BTF_ids under
        `__BTF_ID__func__NAME__N` (include/linux/btf_ids.h).
        """
        for place in self.image.references(symbol.address):
            holder = self.image.symbols.at(place, functions_only=False)
            if holder is not None and holder.name.endswith("_proto") and holder.address == place:
                return f"BPF (helper, {holder.name})"
        if self.image.symbols.starting_with(f"__BTF_ID__func__{symbol.name}__"):
            return "BPF (kernel function)"
        return None

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
        """The word that takes the branch. See `oddtoc.kernel.place`."""
        return branch_place(self.image, symbol, entry, compiled=compiled)

    def is_jumped_to(self, entry: int, place: int) -> bool:
        """Whether a word is reached in mid-course of a function."""
        del entry
        return flow_of(self.image).is_branch_target(place)

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
        """Who calls a function from beyond 2 GiB: BPF programs and BPF trampolines."""
        if users := self.bpf_users(symbol):
            return users
        if entry.site is None or self.read_many([(entry.site, 4)]) == [NOP.to_bytes(4, "little")]:
            return None
        record = FtraceRecords(self.image, self.read_many).find(entry.site)
        return "a BPF trampoline" if record is not None and record.flags & _DIRECT_CALL else None

    def starter(self, symbol: Symbol) -> str | None:
        """The function that has threads begin in this one. See `oddtoc.kernel.threadstart`."""
        return started_by(self.image, symbol)

    def body(self, name: str, entry: int, behind: int) -> Iterator[Zone]:
        """The code of a function, with the parts that the compiler has put elsewhere.

        Its first word is none of it: an address there is a pointer to the function, and who goes there enters it.
        """
        symbols = self.image.symbols
        functions = symbols.functions()
        ends = functions.ends[functions.starts == entry]
        yield Zone(Span(entry + 4, max((int(end) for end in ends), default=behind + 4)), name)
        for kind in (".cold", ".part."):
            for part in symbols.starting_with(name + kind):
                yield Zone(Span(part.address, part.address + max(part.size, 4)), part.name)
