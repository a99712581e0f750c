"""A trace told: where each instruction stands, what it changes, what the values mean, and how the call ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from oddtoc.explain.assembly import NameOf, assembly
from oddtoc.explain.narrate import CALLERS_TOC, PATCHED_TOC, remark
from oddtoc.explain.trace import HEADER_NAMES, Call, Map, Moment, State, Trace

SHOWN = ("r0", "r1", "r2", "r12", "lr", "ctr", "cr0")
"""The registers that a patched call is about; changes of others are listed too."""
_COMPARED = (*(f"r{number}" for number in range(32)), "lr", "ctr", "cr")
BORROWED = (12, 24)
"""The words of the caller's frame header that a trampoline may use, as offsets."""


class Place(StrEnum):
    """Whose instruction it is."""

    CALLER = "caller"
    CHAIN = "called first"
    ENTRY = "global entry"
    SITE = "site"
    TRAMPOLINE = "trampoline"
    REPLACEMENT = "replacement"
    HELPER = "return helper"
    BACK = "caller again"


@dataclass(frozen=True)
class Change:
    """A register, or a word of the caller's frame header (`12(r1)`), with its values and what the new one means."""

    what: str
    before: int
    after: int
    meaning: str
    width: int
    """Hexadecimal digits of the values: 16, 8 of a word, 1 of CR0."""


@dataclass(frozen=True)
class Step:
    """One instruction.

    Attributes:
        number: from 1.
        address, word, assembly: of the instruction.
        place, offset: whose it is, and how far behind the start of that, in bytes.
        remark: why it is there, where there is something to say.
        changes: what it changed.
        before, after: the registers of `SHOWN` (`cr0` as a number below 16) and the frame header.
        borrowed: offsets of the header words that hold the trampoline's values behind the instruction.
        odd: whether r2 is the patched object's TOC pointer made odd behind it.
        skipped: it called something that ran unseen.
        inferred: nobody saw it run.
    """

    number: int
    address: int
    word: int
    assembly: str
    place: Place
    offset: int
    remark: str
    changes: tuple[Change, ...]
    before: State
    after: State
    borrowed: tuple[int, ...]
    odd: bool
    skipped: bool
    inferred: bool


@dataclass(frozen=True)
class Verdict:
    """How the call ended: whether caller's r1 and r2 are as an unpatched call leaves them, and that in words."""

    right: bool
    text: str


@dataclass(frozen=True)
class Story:
    """A patched call, told.

    Attributes:
        function, mechanism, call, where: what was called, and how, and where that ran.
        caller: name of the function that called, where it has one.
        frame: address of the caller's frame.
        toc: TOC pointer of the patched object.
        steps: the instructions.
        meanings: value to what it is.
        verdict: how it ended.
    """

    function: str
    mechanism: str
    call: Call
    where: str
    caller: str
    frame: int
    toc: int
    steps: tuple[Step, ...]
    meanings: Mapping[int, str]
    verdict: Verdict

    @property
    def cost(self) -> tuple[int, int]:
        """Instructions above those of an unpatched call, on the way in and on the way back: the branch, and trampoline
        and return helper."""
        places = [step.place for step in self.steps]
        return (Place.REPLACEMENT in places) + places.count(Place.TRAMPOLINE), places.count(Place.HELPER)


def tell(trace: Trace, name_of: NameOf = lambda _: None) -> Story:
    """Tell a trace.

    Args:
        trace: of one call.
        name_of: gives the function that an address is in, and how far behind its start, in bytes.
    """
    states = [moment.state for moment in trace.moments] + [trace.end]
    places = _places(trace)
    meanings = _meanings(trace, places)
    starts: dict[Place, int] = {}
    first = trace.moments[0].state
    caller, offset = name_of(first.pc) or ("", 0)
    if caller:
        starts |= {Place.CALLER: first.pc - offset, Place.BACK: first.pc - offset}
    steps: list[Step] = []
    borrowed: tuple[int, ...] = ()
    for number, (moment, place) in enumerate(zip(trace.moments, places, strict=True)):
        before, after = states[number], states[number + 1]
        changes = _changes(before, after, meanings)
        written = [offset for offset in BORROWED if before.header[offset] != after.header[offset]]
        if place is Place.BACK:
            borrowed = ()
        elif place is Place.TRAMPOLINE:
            borrowed = tuple(sorted({*borrowed, *written}))
        start = _start(trace.map, place, starts.setdefault(place, moment.state.pc))
        steps.append(
            Step(
                number + 1,
                moment.state.pc,
                moment.word,
                assembly(moment.word, moment.state.pc, meanings, name_of),
                place,
                moment.state.pc - start,
                remark(place, moment, after, trace.map, meanings),
                changes,
                before,
                after,
                borrowed,
                after.registers["r2"] == trace.map.toc + 1,
                moment.skipped,
                moment.inferred,
            )
        )
    verdict = _verdict(trace, places, meanings)
    return Story(
        trace.map.function,
        trace.mechanism,
        trace.call,
        trace.where,
        caller,
        first.registers["r1"],
        trace.map.toc,
        tuple(steps),
        meanings,
        verdict,
    )


def register(state: State, name: str) -> int:
    """A register of `SHOWN`."""
    return state.registers["cr"] >> 28 if name == "cr0" else state.registers[name]


def _places(trace: Trace) -> list[Place]:
    """Told from the address and from what ran before: trampoline and return helper are one piece of code."""
    places: list[Place] = []
    for moment in trace.moments:
        places.append(_place(trace.map, moment, places, trace.back))
    return places


def _place(found: Map, moment: Moment, before: Sequence[Place], back: int) -> Place:
    pc = moment.state.pc
    if found.global_entry <= pc < found.local_entry:
        return Place.ENTRY
    if found.local_entry <= pc <= found.behind:
        return Place.SITE
    inside = found.trampoline[0] <= pc < found.trampoline[1]
    if Place.REPLACEMENT in before:
        if inside:
            return Place.HELPER
        if pc == back or before[-1] is Place.BACK:
            return Place.BACK
        return Place.REPLACEMENT
    if inside:
        return Place.TRAMPOLINE
    if Place.SITE in before:
        return Place.REPLACEMENT
    return Place.CHAIN if before and (before[-1] is Place.CHAIN or _called(before, moment, back)) else Place.CALLER


def _called(before: Sequence[Place], moment: Moment, back: int) -> bool:
    return moment.state.registers["lr"] == back and before[-1] is Place.CALLER


def _start(found: Map, place: Place, first: int) -> int:
    """What offsets of a place are counted from."""
    if place in (Place.ENTRY, Place.SITE):
        return found.global_entry
    if place in (Place.TRAMPOLINE, Place.HELPER):
        return found.trampoline[0]
    return first


def _meanings(trace: Trace, places: Sequence[Place]) -> dict[int, str]:
    """What values are: TOC pointers, and places in the code, by the first instruction of each."""
    found = trace.map
    start = trace.moments[0].state.registers
    firsts: dict[Place, State] = {}
    for moment, place in zip(trace.moments, places, strict=True):
        firsts.setdefault(place, moment.state)
    meanings = {start["r1"]: "caller's frame", start["r2"]: CALLERS_TOC}
    if Place.REPLACEMENT in firsts:
        meanings[firsts[Place.REPLACEMENT].registers["r2"]] = "payload's TOC"
    meanings |= {found.toc: PATCHED_TOC, found.toc + 1: "odd TOC: marked"}
    meanings |= {found.local_entry: f"{found.function}'s site", found.global_entry: found.function}
    meanings |= {firsts[place].pc: name for place, name in _FIRSTS.items() if place in firsts}
    meanings[trace.back] = "back to the caller"
    return meanings


_FIRSTS = {
    Place.CHAIN: "function that jumps on",
    Place.TRAMPOLINE: "trampoline",
    Place.REPLACEMENT: "replacement",
    Place.HELPER: "return helper",
}


def _changes(before: State, after: State, meanings: Mapping[int, str]) -> tuple[Change, ...]:
    changes = []
    for name in _COMPARED:
        old, new = before.registers[name], after.registers[name]
        if old == new:
            continue
        if name == "cr":
            if old >> 28 != new >> 28:
                changes.append(Change("cr0", old >> 28, new >> 28, _CR0.get(new >> 29, ""), 1))
            continue
        changes.append(Change(name, old, new, meanings.get(new, ""), 16))
    for offset in HEADER_NAMES:
        old, new = before.header[offset], after.header[offset]
        if old != new:
            width = 8 if offset in (8, 12) else 16
            changes.append(Change(f"{offset}(r1)", old, new, _header_meaning(offset, new, meanings), width))
    return tuple(changes)


_CR0 = {4: "less", 2: "greater", 1: "equal"}


def _header_meaning(offset: int, value: int, meanings: Mapping[int, str]) -> str:
    if offset == 12:
        return "r2 - LR, 32 bits"
    return meanings.get(value, "")


def _verdict(trace: Trace, places: Sequence[Place], meanings: Mapping[int, str]) -> Verdict:
    if trace.stopped is not None:
        return Verdict(False, trace.stopped)
    first, end = trace.moments[0].state.registers, trace.end.registers
    if Place.REPLACEMENT not in places:
        return Verdict(False, "the call never reached a replacement")
    if end["r1"] != first["r1"]:
        return Verdict(False, f"the caller goes on with another stack pointer: {end['r1']:#x}")
    if end["r2"] != first["r2"]:
        whose = meanings.get(end["r2"], "nobody's")
        return Verdict(False, f"the caller goes on with a wrong TOC pointer: {end['r2']:#x}, {whose}")
    return Verdict(True, "the caller goes on with its own stack and TOC pointer")
