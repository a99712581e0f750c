"""The proof of one mechanism: every trampoline, every kind of call, and what repairs those that can go wrong."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from itertools import combinations
from types import MappingProxyType

import z3

from oddtoc import isa
from oddtoc.mechanism.catalog import MECHANISMS, Mechanism
from oddtoc.mechanism.conditions import SideCondition
from oddtoc.prove.bits import Term
from oddtoc.prove.calls import CALLS, Call, Helpers
from oddtoc.prove.claims import Claim, PathClaims, claims_of
from oddtoc.prove.counterexample import Borrowed, Counterexample, borrowed_words, describe
from oddtoc.prove.paths import Exploration, explore
from oddtoc.prove.predicates import PREDICATES
from oddtoc.prove.repair import Repair
from oddtoc.prove.scene import Scene
from oddtoc.prove.subject import Subject, sample_patch, subjects


class Verdict(Enum):
    """What became of a proof."""

    PROVEN = "proven"
    CONDITIONAL = "proven under a condition"
    REFUTED = "refuted"
    UNDECIDED = "the solver gave up"


@dataclass(frozen=True)
class Way:
    """One path that a kind of call can take: executed instructions in and out, and what it borrows."""

    instructions: tuple[int, int]
    borrowed: Borrowed | None


@dataclass(frozen=True)
class Proof:
    """What is known about one trampoline and one kind of call.

    Attributes:
        subject: the trampoline.
        call: the kind of call.
        verdict: what became of it.
        failed: the claims that do not hold in the counterexample.
        counterexample: a call that comes back wrong; None where there is none.
        repairs: conditions under which it is proven, each enough by itself.
        ways: the paths that such calls take.
        seconds: how long it took.
    """

    subject: Subject
    call: Call
    verdict: Verdict
    failed: tuple[Claim, ...]
    counterexample: Counterexample | None
    repairs: tuple[Repair, ...]
    ways: tuple[Way, ...]
    seconds: float

    @property
    def by_construction(self) -> bool:
        """Whether it is proven with nothing left to be looked at."""
        return self.verdict is Verdict.PROVEN or any(repair.by_construction for repair in self.repairs)


def prove(mechanism: Mechanism, *, process: bool = False) -> list[Proof]:
    """Prove or refute everything about a mechanism.

    Args:
        mechanism: one of the catalogue or another.
        process: its trampolines for processes and not those for kernels.

    Returns:
        One proof for each trampoline of the mechanism and each kind of call that applies to it.

    Raises:
        BuildError: the cross compiler is missing.
        PatchError: the mechanism names a template that nobody wrote.
    """
    others = known_helpers()
    found: list[Proof] = []
    for subject in subjects(mechanism, process=process):
        hints = {proof.call: proof.repairs for proof in found if proof.subject.entry is subject.entry}
        found += prove_subject(subject, others, hints=hints)
    return found


def prove_all(mechanisms: Sequence[Mechanism], *, process: bool = False) -> Iterator[tuple[Mechanism, list[Proof]]]:
    """Prove or refute everything about several mechanisms, one processor each.

    Yields:
        Each mechanism with its proofs, in the order given.

    Raises:
        BuildError: the cross compiler is missing.
    """
    sample_patch()
    workers = min(len(mechanisms), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from zip(mechanisms, pool.map(partial(prove, process=process), mechanisms), strict=True)


@cache
def known_helpers() -> tuple[int, ...]:
    """First words of the return helpers of every mechanism in the catalogue: what stands behind the call in each."""
    words = (word for m in MECHANISMS.values() for subject in subjects(m) for word in _words_behind_calls(subject))
    return tuple(dict.fromkeys(words))


def _words_behind_calls(subject: Subject) -> Iterator[int]:
    for index, word in enumerate(subject.words[:-1]):
        place = subject.start + 4 * index
        if isa.is_link(word) and isa.branch_target(place, word) == subject.replacement:
            yield subject.words[index + 1]


def prove_subject(
    subject: Subject,
    other_helpers: Sequence[int] = (),
    calls: Iterable[Call] = CALLS,
    *,
    repair: bool = True,
    hints: Mapping[Call, Sequence[Repair]] = MappingProxyType({}),
) -> list[Proof]:
    """Prove or refute one trampoline.

    Args:
        subject: the trampoline.
        other_helpers: first words of return helpers that other mechanisms leave in LR.
        calls: the kinds of call.
        repair: look for the conditions that repair what can go wrong.
        hints: repairs to try first, by kind of call: those of a similar trampoline.
    """
    prover = _Prover(explore(Scene(subject)), tuple(other_helpers))
    return [
        prover.prove(call, repair=repair, hints=hints.get(call, ())) for call in calls if call.applies(subject)
    ]  # fmt: skip


def first_refuted(subject: Subject, calls: Iterable[Call], other_helpers: Sequence[int] = ()) -> Call | None:
    """The first kind of call that is not proven for a trampoline: a quick look, without conditions."""
    prover = _Prover(explore(Scene(subject)), tuple(other_helpers))
    return next((call for call in calls if not prover.holds(call)), None)


def sound_by_default(mechanism: Mechanism) -> bool:
    """Whether a mechanism may be chosen without being asked for: see `is_sound_by_default`."""
    return is_sound_by_default(prove(mechanism))


def is_sound_by_default(proofs: Iterable[Proof]) -> bool:
    """Whether a mechanism with these proofs may be chosen without being asked for.

    It may if every call that compiled code, a linker or a JIT makes by itself is proven with nothing left to be looked
    at. Calls of a `special` kind are left out: what those need is in their proofs.
    """
    return all(proof.by_construction for proof in proofs if proof.call.special is None)


def conditions_at_sites(proofs: Iterable[Proof]) -> dict[Call, tuple[Repair, ...]]:
    """What has to be looked at for a function before it is patched, by kind of call; nothing for proven ones."""
    return {proof.call: proof.repairs for proof in proofs if not proof.by_construction}


class _Prover:
    def __init__(self, exploration: Exploration, other_helpers: tuple[int, ...]) -> None:
        self.exploration = exploration
        self.scene = exploration.scene
        self.solver = exploration.solver
        self.paths = [claims_of(exploration, path) for path in exploration.paths]
        own = tuple(exploration.helpers)
        self.helpers = Helpers(own, tuple(dict.fromkeys((*own, *other_helpers))))

    def prove(self, call: Call, *, repair: bool, hints: Sequence[Repair]) -> Proof:
        start = time.perf_counter()
        with self.assuming(*call.assumptions(self.scene, self.helpers)):
            taken = [path for path in self.paths if self.exploration.possible(*path.path.conditions)]
            failure = self.failure(taken)
            counterexample: Counterexample | None = None
            failed: tuple[Claim, ...] = ()
            repairs: list[Repair] = []
            if failure.path is not None:
                counterexample, failed = describe(self.exploration, failure.path, call)
                repairs = _Repairs(self, taken, failure).found(hints) if repair else []
            ways = tuple(Way(p.path.instructions, borrowed_words(self.scene, p)) for p in taken)
        verdict = Verdict.CONDITIONAL if repairs else Verdict.REFUTED if failure.path else Verdict.PROVEN
        if failure.undecided:
            verdict = Verdict.UNDECIDED
        seconds = time.perf_counter() - start
        return Proof(self.scene.subject, call, verdict, failed, counterexample, tuple(repairs), ways, seconds)

    def holds(self, call: Call) -> bool:
        with self.assuming(*call.assumptions(self.scene, self.helpers)):
            failure = self.failure(self.paths)
        return failure.path is None and not failure.undecided

    @contextmanager
    def assuming(self, *terms: Term) -> Iterator[None]:
        self.solver.push()
        self.solver.add(*terms)
        try:
            yield
        finally:
            self.solver.pop()

    def failure(self, paths: Sequence[PathClaims]) -> _Failure:
        """A state in which a claim does not hold, on any of the paths."""
        undecided = False
        for path in paths:
            answer = self.solver.check(*path.path.conditions, z3.Not(path.all_hold))
            if answer == z3.sat:
                return _Failure(path, self.solver.model(), False)
            undecided |= answer == z3.unknown
        return _Failure(None, None, undecided)


@dataclass(frozen=True)
class _Failure:
    path: PathClaims | None
    model: z3.ModelRef | None
    undecided: bool


class _Repairs:
    """The search for side conditions. States that are known to fail rule most candidates out without the solver."""

    def __init__(self, prover: _Prover, paths: Sequence[PathClaims], failure: _Failure) -> None:
        self.prover = prover
        self.paths = paths
        self.failing = [failure.model]
        self.predicates = {condition: PREDICATES[condition](prover.scene) for condition in SideCondition}

    def found(self, hints: Sequence[Repair]) -> list[Repair]:
        """The hints where they do, else what a search finds."""
        if hints and all(self.is_enough(*hint.conditions, any_of=hint.any_of) for hint in hints):
            return [self.rated(hint.conditions, any_of=hint.any_of) for hint in hints]
        return self.search()

    def search(self) -> list[Repair]:
        """The fewest conditions that are enough; exact ones alone if there are any, alternatives among them."""
        found: list[Repair] = []
        for count in (1, 2, 3):
            groups = combinations(SideCondition, count)
            found = [self.rated(group, any_of=False) for group in groups if self.is_enough(*group)]
            if found:
                break
        if found and count == 1 and not any(repair.exact for repair in found):
            names = [repair.conditions[0] for repair in found]
            found += [self.rated(pair, any_of=True) for pair in combinations(names, 2)]
        exact = [repair for repair in found if repair.exact]
        return exact or [repair for repair in found if not repair.any_of]

    def is_enough(self, *conditions: SideCondition, any_of: bool = False) -> bool:
        """Whether the conditions can hold here, and then nothing can fail."""
        condition = self.joined(conditions, any_of)
        if any(z3.is_true(model.eval(condition, model_completion=True)) for model in self.failing if model):
            return False
        with self.prover.assuming(condition):
            failure = self.prover.failure(self.paths)
            if failure.model is not None:
                self.failing.append(failure.model)
            if failure.path is not None or failure.undecided:
                return False
            return any(self.prover.solver.check(*path.path.conditions) == z3.sat for path in self.paths)

    def rated(self, conditions: tuple[SideCondition, ...], *, any_of: bool) -> Repair:
        """The conditions as a repair, exact if every call that violates them fails."""
        with self.prover.assuming(z3.Not(self.joined(conditions, any_of))):
            exact = all(
                self.prover.solver.check(*path.path.conditions, path.all_hold) == z3.unsat for path in self.paths
            )
        return Repair(conditions, any_of, exact)

    def joined(self, conditions: Iterable[SideCondition], any_of: bool) -> Term:
        """The conditions as one z3 Boolean."""
        terms = [self.predicates[each] for each in conditions]
        return z3.Or(*terms) if any_of else z3.And(*terms)
