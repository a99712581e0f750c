"""What is proven: trampolines as they stand in a target, cut out of a payload that `link` has made.

A small patch is compiled and linked by each mechanism to addresses as a kernel has them. It replaces a function of
each kind of entry by one that has a TOC pointer and by one that needs none.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path

from oddtoc import isa
from oddtoc.build.compile import compile_patch
from oddtoc.errors import MechanismError, SymbolError
from oddtoc.image.entry import Entry, SiteKind, TocSetup
from oddtoc.link.layout import Area, Redirect, lay_out
from oddtoc.link.object import PatchObject
from oddtoc.link.payload import Ground, Payload, link
from oddtoc.mechanism.catalog import Mechanism

TOC = 0xC000000001148100
"""TOC pointer of the patched object: that of Debian's 6.1, like the addresses below."""
TOC_SLOT = 16
CURRENT = 2408
THREAD_STACK = 16
HELPER_BLOCK_SIZE = 1 << 16
_GLOBAL_ENTRY = 0xC0000000006154C0
_HELPERS = 0xC000000001198101
_AREAS = {Area.TEXT: 0xC000000001201000, Area.HELPERS: 0xC000000001198104, Area.DATA: 0xC000000002718000}


class EntryKind(Enum):
    """What stands at the global entry of the patched function."""

    WITH_TOC = "TOC set-up"
    WITHOUT_TOC = "no TOC set-up"


class ReplacementKind(Enum):
    """What the new function expects in r2."""

    WITH_TOC = "its TOC pointer"
    WITHOUT_TOC = "nothing"


@dataclass(frozen=True)
class Subject:
    """One trampoline as it was linked, or the bare branch of a mechanism that needs none.

    Attributes:
        mechanism: the mechanism it belongs to.
        entry: what the patched function looks like.
        replacement_kind: what the replacement looks like.
        template: the name of the template, None for a bare branch.
        start: where the site branches to.
        words: the words of the trampoline; empty for a bare branch.
        replacement: local entry point of the replacement.
        payload_toc: the TOC pointer that the replacement runs on.
        process: it is for a process and not for a kernel.
    """

    mechanism: Mechanism
    entry: EntryKind
    replacement_kind: ReplacementKind
    template: str | None
    start: int
    words: tuple[int, ...]
    replacement: int
    payload_toc: int
    process: bool = False

    toc: int = TOC
    toc_slot: int = TOC_SLOT
    current: int = CURRENT
    thread_stack: int = THREAD_STACK
    global_entry: int = _GLOBAL_ENTRY
    helper_block: int = _HELPERS

    @property
    def marked(self) -> bool:
        """Whether r2 is odd behind the global entry."""
        return self.mechanism.marks and self.entry is EntryKind.WITH_TOC

    @property
    def end(self) -> int:
        """The address behind the trampoline."""
        return self.start + 4 * len(self.words)

    def word(self, address: int) -> int | None:
        """The word of the trampoline at an address, None where none stands."""
        place = address - self.start
        return self.words[place // 4] if 0 <= place < 4 * len(self.words) and place % 4 == 0 else None

    def with_word(self, index: int, word: int) -> Subject:
        """The same trampoline with one word changed."""
        return replace(self, words=(*self.words[:index], word, *self.words[index + 1 :]))


_SOURCE = """
#include <oddtoc.h>
extern int variable_of_the_kernel;
#define PATCH(entry)                                                                                \\
    static int entry##_with(int x) { return x + variable_of_the_kernel; }                           \\
    ODDTOC_REPLACE(vmlinux, entry##_WITH_TOC, entry##_with);                                        \\
    static int entry##_without(int x) { return x + 1; }                                             \\
    ODDTOC_REPLACE(vmlinux, entry##_WITHOUT_TOC, entry##_without);
PATCH(WITH_TOC)
PATCH(WITHOUT_TOC)
"""
_ENTRIES, _REPLACEMENTS = list(EntryKind), list(ReplacementKind)
_KINDS = {f"{entry.name}_{kind.name}": (entry, kind) for entry in EntryKind for kind in ReplacementKind}


@cache
def sample_patch() -> PatchObject:
    """The patch object that the subjects are linked from, compiled once.

    Raises:
        BuildError: the cross compiler is missing.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-prove-") as folder:
        source = Path(folder, "prove.c")
        source.write_text(_SOURCE)
        # -fno-ipa-icf: functions of equal bodies stay apart
        return compile_patch(source, Path(folder, "prove.o"), flags=["-fno-ipa-icf"])


def subjects(mechanism: Mechanism, *, process: bool = False) -> list[Subject]:
    """The trampolines of a mechanism, one for each kind of entry and of replacement that it takes.

    Args:
        mechanism: one of the catalogue or another.
        process: its trampolines for processes and not those for kernels.

    Raises:
        BuildError: the cross compiler is missing.
        PatchError: the mechanism names a template that nobody wrote.
    """
    patch = sample_patch()
    redirects = [
        Redirect(replacement, _entry(replacement.function), mechanism, process=process)
        for replacement in patch.replacements
        if _refusal(mechanism, _KINDS[replacement.function][0]) is None
    ]
    layout = lay_out(patch, redirects, own_toc=mechanism.own_toc)
    ground = Ground(
        TOC, TOC_SLOT, _AREAS, mechanism.own_toc, _HELPERS, thread_stack=THREAD_STACK, current=CURRENT
    )  # fmt: skip
    payload = link(patch, redirects, layout, ground, _Names())
    found = (_cut_out(redirect, patch, payload) for redirect in redirects)
    return sorted(
        found, key=lambda subject: (_ENTRIES.index(subject.entry), _REPLACEMENTS.index(subject.replacement_kind))
    )


def refusals(mechanism: Mechanism) -> dict[EntryKind, str]:
    """The kinds of entry that a mechanism does not take, and why."""
    return {kind: reason for kind in EntryKind if (reason := _refusal(mechanism, kind)) is not None}


def _refusal(mechanism: Mechanism, kind: EntryKind) -> str | None:
    try:
        mechanism.check(_entry(f"{kind.name}_{ReplacementKind.WITH_TOC.name}"), thread_stack=True)
    except MechanismError as error:
        return error.advice or error.message
    return None


def _cut_out(redirect: Redirect, patch: PatchObject, payload: Payload) -> Subject:
    name, mechanism = redirect.entry.function, redirect.mechanism
    entry, kind = _KINDS[name]
    start, template = payload.targets[name], redirect.template
    words: tuple[int, ...] = ()
    if template is not None:
        first, memory = payload.segments[Area.HELPERS if mechanism.helper_block else Area.TEXT]
        size = len(patch.template(template).data)
        planted = memory[start - first : start - first + size]
        words = tuple(int.from_bytes(planted[i : i + 4], "little") for i in range(0, size, 4))
    return Subject(
        mechanism, entry, kind, template, start, words, payload.replacements[name], payload.toc, redirect.process
    )  # fmt: skip


def _entry(function: str) -> Entry:
    with_toc = _KINDS[function][0] is EntryKind.WITH_TOC
    local = _GLOBAL_ENTRY + 8 if with_toc else _GLOBAL_ENTRY
    return Entry(
        function=function,
        global_entry=_GLOBAL_ENTRY,
        local_entry=local,
        size=96,
        toc_setup=TocSetup.PAIR if with_toc else TocSetup.NONE,
        toc=TOC if with_toc else None,
        mark=_GLOBAL_ENTRY + 4 if with_toc else None,
        mark_word=isa.ADDI_R2_R2 if with_toc else None,
        site=local + 4,
        site_kind=SiteKind.MPROFILE,
        site_word=isa.NOP,
        behind=local + 8,
        words=(),
    )


@dataclass(frozen=True)
class _Variable:
    address: int = 0xC0000000026E6E58
    other: int = 0
    local_entry: int = 0xC0000000026E6E58


class _Names:
    def resolve(self, name: str) -> _Variable:
        if name != "variable_of_the_kernel":
            raise SymbolError(f"the sample refers to {name}, which it should not")
        return _Variable()
