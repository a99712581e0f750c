"""The mechanisms by name: detection (who restores r2) x storage (where the return state waits).

A mechanism is plain data: which trampoline template it takes for which entry, whether the payload has a TOC of its
own, and whether the global entry is marked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oddtoc.errors import MechanismError, UsageError
from oddtoc.image.entry import Entry, TocSetup
from oddtoc.mechanism.mark import odd_toc_mark

AUTO = "auto"


@dataclass(frozen=True)
class Mechanism:
    """One way to redirect a function.

    Attributes:
        name: what the user writes: ``odd-toc/cr4``, ``guarded/slot``, ``shared-toc``.
        summary: one line for help texts.
        own_toc: the payload is linked against a TOC pointer of its own.
        marks: the global entry is marked while the function is redirected.
        helper_block: its trampolines must stand in the block that the emergency exit recognises.
        rfc_guards: the mark is found by the RFC's search, with its guards.
        far_callers: it carries callers whose return address is farther than 2 GiB from the TOC pointer.
    """

    name: str
    summary: str
    own_toc: bool
    marks: bool
    helper_block: bool = False
    rfc_guards: bool = False
    far_callers: bool = True

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
        return odd_toc_mark(entry, read_word) if self.rfc_guards else entry.mark

    def check(self, entry: Entry, *, far_callers: str | None) -> None:
        """Whether the mechanism can carry calls of this function at all.

        Args:
            entry: the function to be redirected.
            far_callers: who calls the function from farther than 2 GiB away; None where nobody is known to.

        Raises:
            MechanismError: it can't, and why.
        """
        if entry.toc_setup is TocSetup.PCREL:
            raise MechanismError(
                f"{entry.function} keeps no TOC pointer (pcrel), which no mechanism carries yet",
                function=entry.function,
            )
        if far_callers and not self.far_callers:
            raise MechanismError(
                f"{self.name} can't carry {entry.function}: {far_callers} calls it from beyond 2 GiB",
                function=entry.function,
                advice="r2 - LR does not fit 32 bits there; use guarded/slot or shared-toc",
            )


MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        Mechanism(
            "shared-toc", "one branch: the payload lives on the patched object's TOC", own_toc=False, marks=False
        ),
        Mechanism("guarded/slot", "mark and word at LR; the return address waits in 24(r1)", own_toc=True, marks=True),
        Mechanism(
            "odd-toc/cr4",
            "the RFC of 2016: mark; r2 in 24(r1), r2 - LR in 12(r1)",
            own_toc=True,
            marks=True,
            helper_block=True,
            rfc_guards=True,
            far_callers=False,
        ),
    )
}
"""Cheapest first: `auto` takes the first whose conditions hold."""


def by_name(name: str) -> Mechanism:
    """The mechanism of that name.

    Raises:
        UsageError: there is none; the error names those that are known.
    """
    mechanism = MECHANISMS.get(name)
    if mechanism is None:
        raise UsageError(f"unknown mechanism {name}", advice=f"known: {AUTO}, {', '.join(MECHANISMS)}")
    return mechanism
