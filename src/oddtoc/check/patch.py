"""What there is to say about a patch object and what it is for: a kernel, a module, or an object of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from oddtoc import isa
from oddtoc.check.finding import Finding, Severity
from oddtoc.errors import NoSiteError, OddtocError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.symbols import Symbol
from oddtoc.kernel.place import branch_place
from oddtoc.kernel.threadstart import started_by
from oddtoc.link.escape import why_pinned
from oddtoc.link.fresh import fresh_name, fresh_of, needed_parts, read_fresh
from oddtoc.link.object import PatchObject, Replacement, Section
from oddtoc.link.original import original_of
from oddtoc.link.provided import is_provided
from oddtoc.link.relocations import RECIPES

_TABLES = {"__bug_table": "find_bug", "__ex_table": "search_module_extables"}
"""Table -> the function that a patch has to replace so that the kernel finds its entries."""
KERNEL = "vmlinux"
_ALWAYS_ON_A_STACK = frozenset(
    (
        "__schedule", "schedule", "schedule_idle", "schedule_timeout", "schedule_preempt_disabled", "__switch_to",
        "preempt_schedule_irq", "do_idle", "cpu_startup_entry", "start_secondary", "rest_init", "kthread",
        "worker_thread", "rcu_gp_kthread", "smpboot_thread_fn", "kthreadd", "kswapd", "kcompactd", "oom_reaper",
        "khugepaged", "multi_cpu_stop", "stop_machine_cpuslocked", "migration_cpu_stop",
    )
)  # fmt: skip
"""The scheduler, idle loops, and threads that never end: some thread sleeps in each of these at any time."""


class Checked(Protocol):
    """What a patch changes, as much of it as is looked at: a file, or something that runs (`oddtoc.live.running`)."""

    @property
    def image(self) -> Image:
        """Its code and symbols."""

    def function(self, name: str, which: str | None = None) -> Symbol:
        """The function of that name. Raises SymbolError; NoSiteError for one that callers do not come by."""

    def entries(self, symbols: Iterable[Symbol]) -> list[Entry]:
        """The entries of functions. Raises NoSiteError."""

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
        """The word that takes the branch. Raises NoSiteError."""

    def resolve(self, name: str) -> object:
        """What a name in a patch stands for. Raises OddtocError if that is nothing, or not clear."""

    def starter(self, symbol: Symbol) -> str | None:
        """Who makes threads that begin in a function."""


class FileChecked:
    """A kernel or module as its file has it.

    Args:
        image: the file.
        resolve: what names stand for there; those of the image if not given.
    """

    def __init__(self, image: Image, resolve: Callable[[str], object] | None = None) -> None:
        self.image = image
        self.resolve = resolve or image.symbols.one

    def function(self, name: str, which: str | None = None) -> Symbol:
        """As `Checked.function`."""
        return self.image.symbols.one(name, which, functions_only=True)

    def entries(self, symbols: Iterable[Symbol]) -> list[Entry]:
        """As `Checked.entries`, by the words of the file."""
        return [self.image.entry(symbol) for symbol in symbols]

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
        """As `Checked.branch_place`."""
        return branch_place(self.image, symbol, entry, compiled=compiled)

    def starter(self, symbol: Symbol) -> str | None:
        """As `Checked.starter`."""
        return started_by(self.image, symbol)


def check_patch(patch: PatchObject, checked: Checked, *, name: str = KERNEL) -> list[Finding]:
    """All findings about a patch, the worst first.

    Args:
        patch: the patch object.
        checked: what it changes.
        name: of that, as the patch has it.
    """
    found = [
        *_about_kernel(patch, checked.image),
        *(
            finding
            for r in (*patch.replacements, *patch.hooks)
            for finding in _about_replacement(patch, checked, name, r)
        ),
        *_about_tables(patch),
        *_about_names(patch, checked.resolve),
        *(finding for section in patch.loaded if section.executable for finding in _about_code(patch, section)),
        *_about_data(patch),
    ]
    return sorted(dict.fromkeys(found), key=lambda finding: list(Severity).index(finding.severity))


def _about_kernel(patch: PatchObject, image: Image) -> Iterator[Finding]:
    if patch.kernel is not None and patch.kernel != image.build_id:
        reason = f"made for the kernel with the build id {patch.kernel.hex()}"
        yield Finding("other-kernel", Severity.ERROR, image.path.name, reason)


def _about_replacement(patch: PatchObject, checked: Checked, where: str, replacement: Replacement) -> Iterator[Finding]:
    name, image = replacement.function, checked.image
    if replacement.image != where:
        reason = f"is in {replacement.image}, which this is not"
        yield Finding("unknown-function", Severity.ERROR, name, reason)
        return
    try:
        symbol = checked.function(name, replacement.which or None)
    except SymbolError as error:
        yield Finding("unknown-function", Severity.ERROR, name, error.message)
        return
    except NoSiteError as error:
        yield Finding("no-site", Severity.ERROR, name, error.message)
        return
    begin = image.symbols.find("__init_begin")
    if begin and symbol.address >= begin[0].address:
        yield Finding("init-code", Severity.ERROR, name, f"is at {symbol.address:#x}, in memory that boot gave back")
        return
    try:
        (entry,) = checked.entries([symbol])
        checked.branch_place(symbol, entry, compiled=patch.kernel is not None)
    except NoSiteError as error:
        yield Finding("no-site", Severity.ERROR, name, error.message)
    yield from _about_threads(checked, where, symbol)


def _about_threads(checked: Checked, where: str, symbol: Symbol) -> Iterator[Finding]:
    if where == KERNEL and symbol.name in _ALWAYS_ON_A_STACK:
        yield Finding("never-leaves", Severity.WARNING, symbol.name, "has some thread in it at any time")
    elif not _returns(checked.image, symbol):
        yield Finding(
            "never-leaves", Severity.WARNING, symbol.name, "has no instruction that returns or goes elsewhere"
        )
    if starter := checked.starter(symbol):
        reason = f"is where threads begin (see {starter}): guarded/slot and odd-toc/cr4 can't carry it"
        yield Finding("thread-start", Severity.NOTE, symbol.name, reason)


def _returns(image: Image, symbol: Symbol) -> bool:
    """Whether a function has a way out: a return of any kind, an indirect jump, or a branch to outside."""
    if symbol.size < 4:
        return True
    words = image.words(symbol.address, symbol.size // 4)
    # bclr and bcctr without link: XL form, opcode 19, extended opcodes 16 and 528
    leaves = (words >> 26 == 19) & ((words & 0x7FF == 16 << 1) | (words & 0x7FF == 528 << 1))
    if leaves.any():
        return True
    places, targets = isa.branch_targets(symbol.address, words)
    outside = (targets < symbol.address) | (targets >= symbol.address + symbol.size)
    return bool((outside & ~isa.is_link(words[places])).any())


def _about_tables(patch: PatchObject) -> Iterator[Finding]:
    together = [patch, *([patch.first] if patch.first else [])]
    replaced = {replacement.function for part in together for replacement in part.replacements}
    for section in patch.loaded:
        if section.name in _TABLES and _TABLES[section.name] not in replaced:
            reason = f"has entries, and nothing in the patch replaces {_TABLES[section.name]}"
            yield Finding("tables-not-found", Severity.ERROR, section.name, reason)


def _about_names(patch: PatchObject, resolve: Callable[[str], object]) -> Iterator[Finding]:
    used = {r.symbol for section in patch.loaded for r in section.relocations}
    of_parts = {fresh_name(s.name, image) for image, part in needed_parts(patch).items() for s, *_ in fresh_of(part)}
    for index in sorted(used):
        symbol = patch.symbols[index]
        if symbol.defined or symbol.weak or is_provided(symbol.name):
            continue
        if read_fresh(symbol.name) is not None:
            if symbol.name not in of_parts:
                yield Finding("unknown-symbol", Severity.ERROR, symbol.name, "is in no part of the patch")
            continue
        try:
            resolve(symbol.name)
        except OddtocError as error:
            yield Finding("unknown-symbol", Severity.ERROR, symbol.name, error.message)


def _about_code(patch: PatchObject, section: Section) -> Iterator[Finding]:
    for relocation in section.relocations:
        recipe = RECIPES.get(relocation.type)
        symbol = patch.symbols[relocation.symbol]
        if recipe is None or not recipe.is_call or symbol.section is not None:
            continue
        word = int.from_bytes(section.data[relocation.offset & ~3 : (relocation.offset & ~3) + 4], "little")
        behind = int.from_bytes(section.data[(relocation.offset & ~3) + 4 : (relocation.offset & ~3) + 8], "little")
        place = f"{section.name}+{relocation.offset & ~3:#x}"
        if original_of(symbol.name) is None and not isa.is_link(word):
            reason = f"goes to {symbol.name} without coming back: shared-toc alone carries it"
            yield Finding("sibling-call", Severity.NOTE, place, reason)
        elif symbol.defined or behind not in (isa.NOP, isa.TOC_RELOAD):
            reason = f"calls {symbol.name} with no room for a reload of r2: shared-toc alone carries it"
            yield Finding("own-toc", Severity.NOTE, place, reason)
    for offset in range(0, len(section.data) - 3, 4):
        if int.from_bytes(section.data[offset : offset + 4], "little") == isa.BCTR:
            reason = "jumps through a pointer: to a case of a switch, or out of the patch without coming back"
            yield Finding("sibling-call", Severity.NOTE, f"{section.name}+{offset:#x}", reason)


def _about_data(patch: PatchObject) -> Iterator[Finding]:
    for section in patch.loaded:
        if section.writable and section.name not in _TABLES:
            yield Finding("new-data", Severity.NOTE, section.name, f"{len(section.data)} bytes")
    if reason := why_pinned(patch):
        yield Finding("pinned", Severity.NOTE, patch.name, reason)
