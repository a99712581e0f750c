"""Whether the side conditions of a mechanism hold for a function of this kernel or process, now.

Which conditions a mechanism has is what the proofs leave open (`oddtoc.mechanism.needs`). Each is looked at in the
kernel's code and in its live words. What a tracer does later can't be seen: docs/limits.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from oddtoc.errors import MechanismError
from oddtoc.image.entry import Entry, TocSetup
from oddtoc.image.flow import flow_of
from oddtoc.image.symbols import Symbol
from oddtoc.isa import NOP
from oddtoc.link.object import PatchObject
from oddtoc.live.running import Subject
from oddtoc.mechanism.catalog import Mechanism
from oddtoc.mechanism.conditions import SideCondition
from oddtoc.mechanism.needs import Need, needs


@dataclass(frozen=True)
class Site:
    """A function that is to be redirected, and what surrounds it.

    Attributes:
        subject: where it runs.
        patch: what replaces it.
        symbol: the function.
        entry: its entry by the live words.
        redirected: global entry -> mechanism of every function that is redirected, or is going to be.
    """

    subject: Subject
    patch: PatchObject
    symbol: Symbol
    entry: Entry
    redirected: Mapping[int, Mechanism]

    @cached_property
    def tail_callers(self) -> list[Symbol]:
        """All functions that end in this one by sibling calls."""
        places = flow_of(self.subject.image).tail_callers(self.symbol)
        return [found for place in places if (found := self.subject.image.symbols.at(place)) is not None]

    @cached_property
    def traced(self) -> str | None:
        """This function, or one that ends in it, if a tracer is attached there."""
        symbols = [symbol for symbol in (self.symbol, *self.tail_callers) if symbol.address in self._sites]
        for symbol, word in zip(symbols, self._live_words([self._sites[s.address] for s in symbols]), strict=True):
            if word != NOP:
                return symbol.name
        return None

    @cached_property
    def _sites(self) -> dict[int, int]:
        """Global entry -> site, for this function and those that end in it."""
        entries = [self.subject.image.entry(symbol) for symbol in (self.symbol, *self.tail_callers)]
        return {entry.global_entry: entry.site for entry in entries if entry.site is not None}

    def _live_words(self, places: list[int]) -> list[int]:
        return [int.from_bytes(word, "little") for word in self.subject.read_many([(place, 4) for place in places])]


def check_conditions(mechanism: Mechanism, site: Site) -> None:
    """Refuse a mechanism for a function where a condition of its proof does not hold.

    Raises:
        MechanismError: one does not, and why.
    """
    for need in needs(mechanism, has_toc_setup=site.entry.toc_setup is not TocSetup.NONE):
        reasons = [_obstacle(site, need, alternative) for alternative in need.alternatives]
        if all(reasons):
            why = " and ".join(dict.fromkeys(filter(None, reasons)))
            raise MechanismError(
                f"{mechanism.name} can't carry {site.symbol.name}: {why}",
                address=site.symbol.address,
                function=site.symbol.name,
                advice=f"use shared-toc; oddtoc prove {mechanism.name} shows how it would go wrong",
            )


def _obstacle(site: Site, need: Need, conditions: tuple[SideCondition, ...]) -> str | None:
    """Why these conditions do not hold together; None where they do."""
    for condition in conditions:
        if reason := _REASONS[condition](site):
            return reason
        if condition is SideCondition.SAME_TOC and need.call == "traced-global":
            return "other objects may call it, and nothing at its entry tells them apart"
    return None


def _same_toc(site: Site) -> str | None:
    if not site.tail_callers:
        return None
    return f"{site.tail_callers[0].name} ends in a sibling call of it, perhaps for another object"


def _true_return_address(site: Site) -> str | None:
    return f"a tracer is attached to {site.traced} and may replace its return address" if site.traced else None


def _delta_fits(site: Site) -> str | None:
    caller = site.subject.far_caller(site.symbol, site.entry)
    return f"{caller} calls it from beyond 2 GiB" if caller else None


def _caller_reloads(site: Site) -> str | None:
    starter = site.subject.starter(site.symbol)
    return f"threads begin in it (see {starter}), called by code that does not reload r2" if starter else None


def _helper_in_block(site: Site) -> str | None:
    return _helper_of(site, lambda mechanism: mechanism.own_toc and not mechanism.helper_block)


def _no_helper_in_lr(site: Site) -> str | None:
    return _helper_of(site, lambda mechanism: mechanism.own_toc)


def _helper_of(site: Site, matters: Callable[[Mechanism], bool]) -> str | None:
    for caller in site.tail_callers:
        mechanism = site.redirected.get(caller.address)
        if mechanism is not None and matters(mechanism):
            return f"{caller.name}, which ends in it, is redirected by {mechanism.name}"
    return None


def _returns(site: Site) -> str | None:
    leaving = [symbol.name for symbol in site.patch.symbols if symbol.section is None and "longjmp" in symbol.name]
    return f"{site.patch.name} calls {leaving[0]}" if leaving else None


def _always(reason: str | None) -> Callable[[Site], str | None]:
    return lambda _: reason


_REASONS: dict[SideCondition, Callable[[Site], str | None]] = {
    SideCondition.SAME_TOC: _same_toc,
    SideCondition.TRUE_RETURN_ADDRESS: _true_return_address,
    SideCondition.DELTA_FITS: _delta_fits,
    SideCondition.CALLER_RELOADS: _caller_reloads,
    SideCondition.FRESH_R12: _always("r12 may hold its global entry in a local call too"),
    SideCondition.WITHIN_A_BRANCH: _delta_fits,
    SideCondition.BEYOND_A_BRANCH: _always("callers that reload r2 may be near"),
    SideCondition.HELPER_IN_BLOCK: _helper_in_block,
    SideCondition.NO_HELPER_IN_LR: _no_helper_in_lr,
    SideCondition.NARROW_CR_SAVE: _always(None),
    SideCondition.RETURNS: _returns,
    SideCondition.NO_MEMORY_PARAMETERS: _always("whether it has parameters in memory is not known here"),
}
"""Why a condition does not hold; None where it does, or where payloads are built so that it does."""
