"""What a transaction asks of the thing that runs: a kernel or a process. Both sides of the seam are plain protocols.

A target is stopped, looked at and written to (`Target`). What runs in it has a journal and consists of images, each
with a TOC pointer (`Running`); a patch changes one of these (`Subject`). Its threads are looked at by `Threads`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from oddtoc.errors import BusyError, NoSiteError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.symbols import Symbol, SymbolTable
from oddtoc.kernel.modulelist import LoadedAt
from oddtoc.link.payload import Outside
from oddtoc.places import Rooms, Span, Zone, Zones
from oddtoc.target.pause import Pause
from oddtoc.target.stepping import Stepping


class Stander(Protocol):
    """A stopped vCPU or thread."""

    @property
    def label(self) -> str:
        """What it is called in messages."""

    @property
    def positions(self) -> tuple[int, ...]:
        """Where it stands."""

    @property
    def is_known(self) -> bool:
        """Whether `positions` is all there is."""

    @property
    def registers(self) -> Mapping[str, int]:
        """By name."""


class Held(Protocol):
    """A target while it stands still."""

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes)."""

    def look(self, requests: Sequence[tuple[int, int]]) -> tuple[Sequence[Stander], list[bytes]]:
        """All vCPUs or threads, and `read_many`, in as few round trips as they take."""

    def unshare(self, words: Sequence[tuple[int, bytes]]) -> None:
        """Write words over themselves, where that spares the stop something."""

    def write_many(self, writes: Sequence[tuple[int, bytes]], *, verify: bool = True) -> None:
        """Several (address, bytes), in order, read back."""


class Target(Protocol):
    """A connection to something that runs, and can be stopped."""

    pauses: list[Pause]

    @property
    def name(self) -> str:
        """Where it is."""

    def close(self) -> None:
        """Let go of it: it runs on."""

    def stopped(self) -> AbstractContextManager[Any]:
        """Stop it for the length of a block, which gets a `Held`."""

    def exclusively(self) -> AbstractContextManager[Any]:
        """For a block, which gets a `Held`, in which nobody else writes to it: it may run or not."""

    def stepper(self) -> AbstractContextManager[Stepping]:
        """For a block that follows one vCPU or thread, instruction by instruction."""

    def undoable(self, cpus: Any, writes: Sequence[tuple[int, bytes]]) -> AbstractContextManager[None]:
        """Have the writes of a block undone by whoever looks after the target, if this process dies in it."""

    def read(self, address: int, size: int) -> bytes:
        """Memory, while it runs."""

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Memory, while it runs."""

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write while it runs."""


class Threads(Protocol):
    """The threads of a target, to be looked at in a stop."""

    def prepare(self) -> None:
        """Find out beforehand what would take long inside of the stop."""

    def standing_in(self, spans: Iterable[Span]) -> BusyError | None:
        """Who stands in some memory or will return into it, in a stop of its own."""

    def release(self) -> None:
        """Put return addresses that traces keep back where they were taken from."""

    def requests(self) -> list[tuple[int, int]]:
        """What `obstacle` wants to have read."""

    def obstacle(self, zones: Zones, stopped: Any, cpus: Any, memory: Sequence[bytes]) -> BusyError | None:
        """Who is in the way of a change of code; None when nobody is."""


class Subject(Protocol):
    """One image of what runs, where it is loaded."""

    @property
    def image(self) -> Image:
        """With the addresses that it has there."""

    @property
    def proper(self) -> Image:
        """The image that it is a part of: of a module the kernel proper, otherwise itself."""

    @property
    def toc(self) -> int:
        """Its TOC pointer."""

    @property
    def toc_slot(self) -> int:
        """Offset from r13 where it can be loaded from; 0 in a process, where that is nowhere."""

    @property
    def rooms(self) -> Rooms:
        """Where payloads for it go."""

    @property
    def in_process(self) -> bool:
        """Whether it runs in a process."""

    @property
    def toc_is_a_number(self) -> bool:
        """Whether its TOC pointer can be loaded from nowhere, and functions of others run on another one."""

    @property
    def module(self) -> LoadedAt | None:
        """The module of a kernel that it is, which may be removed; None for everything else."""

    @property
    def loaded_at(self) -> int:
        """An address that tells one loading of it from the next; 0 for what stays for ever."""

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory."""

    def function(self, name: str, which: str | None = None) -> Symbol:
        """The function of that name; SymbolError if there is none, or more than one."""

    def entries(self, symbols: Iterable[Symbol]) -> list[Entry]:
        """The entries of functions, told from the live words."""

    def known_entries(self, symbols: Iterable[Symbol]) -> list[Entry | NoSiteError]:
        """`entries`, with an error for each whose words are of no known shape."""

    @property
    def tables(self) -> Sequence[SymbolTable]:
        """All symbols that are known."""

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
        """The word that takes the branch; NoSiteError where there is none.

        Args:
            symbol: the function.
            entry: its entry.
            compiled: it is known to be compiled C, so that a function of a kernel needs no site.
        """

    def is_jumped_to(self, entry: int, place: int) -> bool:
        """Whether the word at `place` is reached in mid-course of the function at `entry`."""

    def resolve(self, name: str, which: str | None = None) -> Outside:
        """What a name in a patch stands for; SymbolError if nothing, or more than one thing."""

    def is_foreign(self, name: str) -> bool:
        """Whether a function of that name runs on another TOC pointer than this image's."""

    def far_caller(self, symbol: Symbol, entry: Entry) -> str | None:
        """Who calls a function from beyond 2 GiB, in words."""

    def starter(self, symbol: Symbol) -> str | None:
        """The function that has threads begin in this one, called by code that does not reload r2."""

    def body(self, name: str, entry: int, behind: int) -> Iterator[Zone]:
        """The code of a function, with the parts that the compiler has put elsewhere."""


class Running(Protocol):
    """Something that runs, and that patches are applied to."""

    @property
    def journal(self) -> Span:
        """The room for its records."""

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory; zeros where room is promised and not made yet."""

    @property
    def payloads(self) -> tuple[Span, ...]:
        """All room for payloads that there is."""

    @property
    def asked_for_frames(self) -> Subject | None:
        """What unwinders of a process ask for unwind information; None for a kernel, and where it can't be told."""

    @property
    def unwinder(self) -> str | None:
        """A library of a process that unwinds stacks; None without one, and for a kernel."""

    def name_of(self, address: int) -> tuple[str, int] | None:
        """The function that an address is in, and how far behind its start, in bytes; None where it has no name."""

    def subject(self, names: Sequence[str]) -> Subject:
        """The one image that a patch changes.

        Args:
            names: of the images that it names.

        Raises:
            PatchError: there is no such image here, or there are several.
        """

    def subject_at(self, address: int) -> Subject:
        """The image around an address."""

    def is_here(self, module: str, address: int) -> bool:
        """Whether what a record speaks of is still there; true for records that speak of nothing that goes.

        Args:
            module: name of a kernel's module; empty for none.
            address: where it was loaded (`Subject.loaded_at`).
        """

    def make_room(self, subject: Subject) -> None:
        """Make real what `journal` and the subject's `rooms` have promised, before anything is written there."""
