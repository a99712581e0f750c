"""The mechanisms by name: detection (who restores r2) x storage (where the return state waits), and shared-toc.

A mechanism is plain data: which trampoline template it takes for which entry, whether the payload has a TOC of its
own, and whether the global entry is marked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oddtoc.errors import MechanismError, UsageError
from oddtoc.image.entry import Entry, TocSetup
from oddtoc.mechanism.mark import odd_toc_mark
from oddtoc.mechanism.parts import ALWAYS, DETECTIONS, STORAGES, Detection, Storage

AUTO = "auto"


@dataclass(frozen=True)
class Mechanism:
    """One way to redirect a function.

    Attributes:
        name: what the user writes: ``odd-toc/cr4``, ``guarded/slot``, ``shared-toc``.
        summary: one line for help texts.
        detection: who restores r2; None for shared-toc, where nobody has to.
        storage: where the return state waits; None for shared-toc, which has none.
    """

    name: str
    summary: str
    detection: Detection | None = None
    storage: Storage | None = None

    @property
    def own_toc(self) -> bool:
        """Whether the payload is linked against a TOC pointer of its own."""
        return self.storage is not None

    @property
    def marks(self) -> bool:
        """Whether the global entry is marked while the function is redirected."""
        return self.detection is not None and self.detection.marks

    @property
    def rfc_guards(self) -> bool:
        """Whether the mark is found by the RFC's search, with its guards."""
        return self.detection is not None and self.detection.rfc_guards

    @property
    def helper_block(self) -> bool:
        """Whether its trampolines must stand in the block that the emergency exit recognises."""
        return self.storage is not None and self.storage.helper_block

    def template(self, entry: Entry, *, replacement_uses_toc: bool) -> str | None:
        """The name of the trampoline template for a function; None where the site branches to the replacement.

        Args:
            entry: the function to be redirected.
            replacement_uses_toc: whether the replacement expects its TOC pointer in r2.
        """
        unmarkable = entry.toc_setup is TocSetup.NONE
        if self.own_toc:
            return f"{self.name}.unmarked" if unmarkable else self.name
        return f"{self.name}.unmarked" if unmarkable and replacement_uses_toc else None

    def mark(self, entry: Entry, read_word: Callable[[int], int]) -> int | None:
        """The address of the word to make odd; None where nothing is marked.

        Args:
            entry: the function to be redirected.
            read_word: gives the live word at an address.

        Raises:
            MechanismError: the mark can't be trusted for this function.
        """
        if not self.marks:
            return None
        # the RFC searches from the ftrace site, and functions of processes have none
        searched = self.rfc_guards and entry.site is not None
        return odd_toc_mark(entry, read_word) if searched else entry.mark

    def check(self, entry: Entry, *, thread_stack: bool = False) -> None:
        """Whether the mechanism can carry calls of this function at all.

        Args:
            entry: the function to be redirected.
            thread_stack: whether the target has a stack of return states for each thread.

        Raises:
            MechanismError: it can't, and why.
        """
        if entry.toc_setup is TocSetup.PCREL:
            raise MechanismError(
                f"{entry.function} keeps no TOC pointer (pcrel), which no mechanism carries yet",
                function=entry.function,
            )
        if self.detection is None or self.storage is None:
            return
        if self.storage.thread_stack and not thread_stack:
            raise MechanismError(
                f"{self.name} needs a stack of return states for each thread, and this target has no room for one",
                function=entry.function,
                advice="a kernel reserves it with CONFIG_LIVEPATCH; use guarded/slot or shared-toc",
            )
        blind = self.detection.needs_mark and entry.toc_setup is TocSetup.NONE
        if blind and self.storage.overwrites_toc_save:
            raise MechanismError(
                f"{self.name} can't carry {entry.function}: without TOC set-up there is nothing to mark",
                function=entry.function,
                advice="a caller in another object would reload a wrong r2; use guarded/slot or shared-toc",
            )


def _combinations() -> list[Mechanism]:
    return [
        Mechanism(f"{detection.name}/{storage.name}", f"{detection.summary}; {storage.summary}", detection, storage)
        for detection in DETECTIONS
        for storage in STORAGES
        if _obstacle(detection, storage) is None
    ]


def _obstacle(detection: Detection, storage: Storage) -> str | None:
    """Why two halves do not go together, for any function; None where they do."""
    if detection is not ALWAYS:
        return None
    if storage.overwrites_toc_save:
        return "the return address would overwrite the r2 of every caller in another object"
    if storage.helper_block:
        return "it stores r2 in 24(r1), over the r2 of every caller in another object"
    return None


_IN_USE = ("shared-toc", "guarded/slot", "odd-toc/cr4")

_ALL = {
    mechanism.name: mechanism
    for mechanism in (
        Mechanism("shared-toc", "one branch: the payload lives on the patched object's TOC"),
        *_combinations(),
    )
}

MECHANISMS: dict[str, Mechanism] = {name: _ALL[name] for name in dict.fromkeys((*_IN_USE, *_ALL))}
"""All that can be asked for by name; the three in general use first."""

PASS_THROUGH = Mechanism("pass-through", "calls are counted and go on as if nothing had been there")
"""What a trace uses (trace/passage.h). It redirects nothing, so nobody asks for it by name."""

AUTOMATIC: tuple[Mechanism, ...] = (MECHANISMS["shared-toc"], MECHANISMS["guarded/slot"])
"""Cheapest first: `auto` takes the first whose conditions hold."""


def by_name(name: str) -> Mechanism:
    """The mechanism of that name.

    Raises:
        MechanismError: its halves exist, but do not go together.
        UsageError: there is none; the error names those that are known.
    """
    mechanism = MECHANISMS.get(name)
    if mechanism is not None:
        return mechanism
    for detection in DETECTIONS:
        for storage in STORAGES:
            if name == f"{detection.name}/{storage.name}":
                raise MechanismError(f"there is no {name}: {_obstacle(detection, storage)}")
    raise UsageError(f"unknown mechanism {name}", advice=f"known: {AUTO}, {', '.join(MECHANISMS)}")
