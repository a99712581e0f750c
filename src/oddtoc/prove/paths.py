"""Every way through a trampoline: into the replacement, and from its return to the caller.

A subject is explored once, from a state about which nothing is assumed but the facts of its scene; the kinds of call
are conditions on the paths found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import z3

from oddtoc.prove.bits import Term
from oddtoc.prove.lift import UnfollowableError, disassembled, step
from oddtoc.prove.machine import Access, Machine
from oddtoc.prove.replacement import run_replacement
from oddtoc.prove.scene import Scene

_LONGEST = 200
_MOST_PATHS = 64
_PATIENCE = 20_000
"""Milliseconds for one question to the solver; then it counts as open. Half a second is the longest seen."""


@dataclass(frozen=True)
class Executed:
    """One instruction that a path ran: where, what, and whether the replacement had run before it."""

    address: int
    text: str
    returning: bool


@dataclass
class Path:
    """One way through a trampoline.

    Attributes:
        machine: the state at its end.
        conditions: z3 Booleans that lead here.
        entered: the state at the replacement's first instruction; None where it is never reached.
        returned: the state when the replacement returned.
        executed: the trampoline's instructions in order.
        target: where the path leaves for, once the replacement has returned.
        fault: why the path could not be followed to its end; None where it could.
    """

    machine: Machine
    conditions: tuple[Term, ...] = ()
    entered: Machine | None = None
    returned: Machine | None = None
    executed: tuple[Executed, ...] = ()
    target: Term | None = None
    fault: str | None = None

    @property
    def accesses(self) -> tuple[Access, ...]:
        """What the trampoline read and wrote."""
        return self.machine.accesses

    @property
    def instructions(self) -> tuple[int, int]:
        """Executed instructions on the way in and out; the branch at the site is the first on the way in."""
        out = sum(one.returning for one in self.executed)
        return 1 + len(self.executed) - out, out


@dataclass
class Exploration:
    """All paths of a subject.

    Attributes:
        scene: the unknowns.
        solver: holds the scene's facts; `possible` pushes and pops on it.
        paths: every way through.
    """

    scene: Scene
    solver: z3.Solver
    paths: list[Path] = field(default_factory=list)

    def possible(self, *conditions: Term) -> bool:
        """Whether conditions can hold together in this scene. A solver that gives up counts as yes."""
        return bool(self.solver.check(*conditions) != z3.unsat)

    @property
    def helpers(self) -> list[int]:
        """First words of the return helpers: what stands where LR points when the replacement is entered."""
        found = []
        for path in self.paths:
            if path.entered is None:
                continue
            back = z3.simplify(path.entered.registers.named("LR"))
            word = self.scene.subject.word(back.as_long()) if z3.is_bv_value(back) else None
            if word is not None and word not in found:
                found.append(word)
        return found


def explore(scene: Scene) -> Exploration:
    """Follow every path of a scene's subject."""
    solver = z3.Solver()
    solver.set("timeout", _PATIENCE)
    for fact in scene.facts():
        solver.add(fact.holds)  # what is built in adds True
    exploration = Exploration(scene, solver)
    start = Path(Machine(scene.registers.copy(), scene.memory))
    pending = [(start, z3.BitVecVal(scene.subject.start, 64))]
    while pending:
        path, place = pending.pop()
        if len(exploration.paths) + len(pending) > _MOST_PATHS:
            path.fault = f"more than {_MOST_PATHS} paths"
            exploration.paths.append(path)
            break
        ways = list(_follow(exploration, path, place))
        if ways:
            pending += reversed(ways)
        else:
            exploration.paths.append(path)
    return exploration


def _follow(exploration: Exploration, path: Path, place: Term) -> Iterator[tuple[Path, Term]]:
    """One step on; nothing where the path ends."""
    subject = exploration.scene.subject

    def possible(condition: Term) -> bool:
        return exploration.possible(*path.conditions, condition)

    if path.fault:
        return
    address = place.as_long() if z3.is_bv_value(place) else None
    if address == subject.replacement and path.entered is None:
        path.entered = path.machine.copy()
        back = z3.simplify(path.entered.registers.named("LR") & ~3)
        path.machine = run_replacement(path.machine, exploration.scene, possible)
        path.returned = path.machine.copy()
        yield path, back
        return
    word = subject.word(address) if address is not None else None
    if address is None or word is None:
        path.target = place
        return
    if len(path.executed) >= _LONGEST:
        path.fault = f"more than {_LONGEST} instructions"
        return
    try:
        outcomes = step(path.machine, word, address, possible)
    except UnfollowableError as error:
        path.fault = str(error)
        return
    executed = (*path.executed, Executed(address, disassembled(word, address), path.entered is not None))
    for outcome in outcomes:
        if outcome.condition is not None and not possible(outcome.condition):
            continue
        conditions = path.conditions if outcome.condition is None else (*path.conditions, outcome.condition)
        way = Path(outcome.machine, conditions, path.entered, path.returned, executed, fault=outcome.fault)
        yield way, z3.simplify(outcome.target.term)
