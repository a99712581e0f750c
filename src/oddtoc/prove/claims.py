"""What has to hold when a patched call comes back, as z3 Booleans over one path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import z3

from oddtoc.prove.bits import Term
from oddtoc.prove.machine import NAMES, UNITS, Access, Machine
from oddtoc.prove.memory import Possible, Range
from oddtoc.prove.paths import Exploration, Path
from oddtoc.prove.scene import BELOW, CR_SAVE, HEADER_SIZE, LR_SAVE, RESERVED_WORD, TOC_SAVE, Scene
from oddtoc.prove.subject import ReplacementKind


class Claim(Enum):
    """One thing that has to hold; the value says it."""

    REACHED = "the replacement is entered once and returns, through instructions that can be followed"
    ARGUMENTS = "r3 to r11 and every other register that can carry an argument reach the replacement unchanged"
    MEMORY_PARAMETERS = "r1 is the caller's at the replacement's entry, and so are parameters from 32(r1) on"
    PAYLOAD_TOC = "r2 at the replacement's local entry is the payload's TOC pointer"
    RETURN_ADDRESS = "the return goes to the address that LR held"
    STACK_POINTER = "r1 is the caller's when it goes on"
    CALLER_TOC = "r2 is what an unpatched call leaves, once the caller goes on"
    SAVED_TOC = "the caller's TOC pointer, where it is saved at 24(r1), is still there"
    HELPER_WORDS = "12(r1) and 24(r1), which a helper in LR waits for, are as they were"
    KEPT_REGISTERS = "r13 to r31 and CR2 to CR4 are the caller's when it goes on"
    RESULTS = "registers that can carry a result are as the replacement left them"
    OWN_STACK = "the thread's stack of return states is as high as before"
    WRITES = "nothing is written but 8(r1) to 24(r1), below r1, and the thread's stack of return states"
    READS = "nothing is read but that, the caller's frame header, the word at LR and the TOC pointer's place"


_ALWAYS_FREE = {*range(0x400, 0x500), 0x1008, *range(0x988, 0x990)}
"""XER, which is volatile (twice in pypcode), and a note of pypcode's own."""
_FREE_IN = {UNITS[name] for name in ("r0", "r2", "r12", "LR", "CTR", "CR0")} | _ALWAYS_FREE
_FREE_OUT = {
    UNITS[name] for name in ("r0", "r2", "r11", "r12", "LR", "CTR", "CR0", "CR1", "CR5", "CR6", "CR7")
} | _ALWAYS_FREE
_KEPT = {UNITS[name] for name in (*(f"r{n}" for n in range(13, 32)), "CR2", "CR3", "CR4")}
_STACK_POINTER = UNITS["r1"]


@dataclass(frozen=True, eq=False)
class Header:
    """The two words of the caller's frame header that a mechanism may borrow, at one moment."""

    reserved: Term
    saved: Term


@dataclass(frozen=True, eq=False)
class PathClaims:
    """A path with all its claims, and the borrowed words at the replacement's entry and at the end."""

    path: Path
    claims: tuple[tuple[Claim, Term], ...]
    entered: Header | None
    final: Header

    @property
    def all_hold(self) -> Term:
        """All claims as one z3 Boolean."""
        return z3.And(*(term for _, term in self.claims))


def claims_of(exploration: Exploration, path: Path) -> PathClaims:
    """Every claim on a path; what depends on the kind of call is in the scene's unknowns."""
    scene = exploration.scene

    def possible(condition: Term) -> bool:
        return exploration.possible(*path.conditions, condition)

    final = _header(path.machine, scene, possible)
    if path.entered is None or path.returned is None or path.fault or path.target is None:
        return PathClaims(path, ((Claim.REACHED, z3.BoolVal(False)),), None, final)
    entered = _header(path.entered, scene, possible)
    found = [
        *_at_entry(path.entered, scene),
        *_at_end(path, path.returned, scene),
        *_header_claims(path, scene, entered, final),
        *_own_stack(path, scene, possible),
        *_accesses(path, scene),
    ]
    return PathClaims(path, tuple(found), entered, final)


def _header(machine: Machine, scene: Scene, possible: Possible) -> Header:
    reserved, saved = (
        machine.memory.read(scene.r1 + offset, size, possible).term
        for offset, size in ((RESERVED_WORD, 4), (TOC_SAVE, 8))
    )
    return Header(reserved, saved)


def _at_entry(entered: Machine, scene: Scene) -> Iterator[tuple[Claim, Term]]:
    changed = [
        value.term == scene.registers.unit(unit).term
        for unit, value in entered.registers.units.items()
        if unit not in _FREE_IN and unit != _STACK_POINTER
    ]
    yield Claim.ARGUMENTS, z3.And(*changed)
    same_frame = entered.registers.named("r1") == scene.r1
    yield Claim.MEMORY_PARAMETERS, z3.Or(z3.Not(scene.memory_parameters), same_frame)
    if scene.subject.replacement_kind is ReplacementKind.WITH_TOC:
        yield Claim.PAYLOAD_TOC, entered.registers.named("r2") == scene.subject.payload_toc


def _at_end(path: Path, returned: Machine, scene: Scene) -> Iterator[tuple[Claim, Term]]:
    yield Claim.RETURN_ADDRESS, path.target == scene.lr & ~3
    yield Claim.STACK_POINTER, path.machine.registers.named("r1") == scene.r1
    kept, results = [], []
    for unit, value in path.machine.registers.units.items():
        if unit in _KEPT:
            expected = scene.r13_after if NAMES[unit] == "r13" else scene.registers.unit(unit).term
            kept.append(value.term == expected)
        elif unit not in _FREE_OUT and unit != _STACK_POINTER:
            results.append(value.term == returned.registers.unit(unit).term)
    yield Claim.KEPT_REGISTERS, z3.And(*kept)
    yield Claim.RESULTS, z3.And(*results)


def _header_claims(path: Path, scene: Scene, entered: Header, final: Header) -> Iterator[tuple[Claim, Term]]:
    r2 = path.machine.registers.named("r2")
    seen = z3.If(scene.reloads(scene.home), final.saved == scene.saved, r2 == scene.unpatched_r2)
    yield Claim.CALLER_TOC, z3.Or(scene.helper_in_lr, seen)
    relied = z3.And(scene.saved == scene.caller_toc, z3.Not(scene.helper_in_lr))
    left = z3.Implies(scene.leaves, entered.saved == scene.caller_toc)
    yield Claim.SAVED_TOC, z3.Implies(relied, z3.And(final.saved == scene.caller_toc, left))
    kept = z3.And(final.saved == scene.saved, final.reserved == scene.reserved)
    yield Claim.HELPER_WORDS, z3.Implies(scene.helper_in_lr, kept)


def _own_stack(path: Path, scene: Scene, possible: Possible) -> Iterator[tuple[Claim, Term]]:
    stack = scene.thread_stack
    if stack and path.entered:
        left = z3.Implies(scene.leaves, stack.height(path.entered.memory, possible) == stack.top)
        yield Claim.OWN_STACK, z3.And(stack.height(path.machine.memory, possible) == stack.top, left)


def _accesses(path: Path, scene: Scene) -> Iterator[tuple[Claim, Term]]:
    stack = scene.thread_stack
    below = Range(scene.r1 - BELOW, BELOW)
    words = ((CR_SAVE, 4), (RESERVED_WORD, 4), (LR_SAVE, 8), (TOC_SAVE, 8))
    writable = [below, *(Range(scene.r1 + offset, size) for offset, size in words)]
    readable = [below, Range(scene.r1, HEADER_SIZE), Range(scene.lr, 4), *scene.toc_slots]
    if stack:
        writable += stack.writable
        readable += stack.readable
    written = [access for access in path.accesses if access.written]
    read = [access for access in path.accesses if not access.written]
    yield Claim.WRITES, z3.And(*(_allowed(access, writable) for access in written))
    yield Claim.READS, z3.And(*(_allowed(access, readable) for access in read))


def _allowed(access: Access, ranges: list[Range]) -> Term:
    address, size = access.range.address, access.range.size
    if any(range_.surely_covers(address, size) for range_ in ranges):
        return z3.BoolVal(True)
    return z3.Or(*(range_.covers(address, size) for range_ in ranges))
