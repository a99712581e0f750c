"""A counterexample as a scenario that a person can read: who calls whom, with which values, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import z3

from oddtoc.prove.bits import Term
from oddtoc.prove.calls import Call
from oddtoc.prove.claims import Claim, PathClaims
from oddtoc.prove.paths import Exploration
from oddtoc.prove.scene import Scene

_NEAR_CODE, _FAR_CODE, _FAR_TOC = 0xC000000000615500, 0xC00800000025431C, 0xC008000000268000
_JIT_CODE, _TRACER, _STACK, _PACA = 0xC0080000003184C4, 0xC00000000007C1A0, 0xC000000007A3BC20, 0xC000000003F80000


@dataclass(frozen=True)
class Counterexample:
    """One call that comes back wrong.

    Attributes:
        story: what happens, sentence by sentence.
        consequences: what is wrong in the end.
        instructions: what the trampoline ran, in order, as (address, assembly, whether on the way back).
        values: the numbers behind it, by name.
    """

    story: tuple[str, ...]
    consequences: tuple[str, ...]
    instructions: tuple[tuple[int, str, bool], ...]
    values: Mapping[str, int]


@dataclass(frozen=True)
class Borrowed:
    """What the two words of the caller's header hold: "unchanged", "TOC", "LR", "r2", "r2 - LR" or "something else".

    Attributes:
        reserved: 12(r1) while the replacement runs, and afterwards.
        saved: 24(r1) likewise.
    """

    reserved: tuple[str, str]
    saved: tuple[str, str]


def describe(exploration: Exploration, path: PathClaims, call: Call) -> tuple[Counterexample, tuple[Claim, ...]]:
    """A counterexample on a path where one is known to exist, and the claims that fail in it.

    Args:
        exploration: its solver holds the facts and the kind of call.
        path: the path.
        call: the kind of call, for its story.
    """
    model = _readable_model(exploration, path)
    failed = tuple(claim for claim, term in path.claims if not z3.is_true(model.eval(term, model_completion=True)))
    values = {name: _number(model, term) for name, term in _terms(exploration.scene, path).items()}
    words = {name: f"{value:#x}" for name, value in values.items()} | _phrases(exploration.scene, values)
    reloads = z3.is_true(model.eval(exploration.scene.reloads(exploration.scene.home), model_completion=True))
    outcome = _Outcome(path, values, reloads, exploration.scene.subject.payload_toc)
    consequences = tuple(line.format(**words) for claim in failed for line in _consequence(claim, outcome))
    story = tuple(line.format(**words) for line in call.story)
    ran = tuple((one.address, one.text, one.returning) for one in path.path.executed)
    return Counterexample(story, consequences, ran, values), failed


def _terms(scene: Scene, path: PathClaims) -> dict[str, Term]:
    terms = {
        "toc": scene.toc,
        "caller_toc": scene.caller_toc,
        "r1": scene.r1,
        "r2": scene.r2,
        "r12": scene.r12,
        "lr": scene.lr,
        "home": scene.home,
        "saved": scene.saved,
        "reserved": scene.reserved,
        "unpatched_r2": scene.unpatched_r2,
        "saved_after": path.final.saved,
        "reserved_after": path.final.reserved,
        "r2_after": path.path.machine.registers.named("r2"),
        "r1_after": path.path.machine.registers.named("r1"),
    }
    if path.entered is not None and path.path.entered is not None:
        terms["saved_entered"] = path.entered.saved
        terms["r2_entered"] = path.path.entered.registers.named("r2")
        terms["r1_entered"] = path.path.entered.registers.named("r1")
    if path.path.target is not None:
        terms["target"] = path.path.target
    return terms


def _phrases(scene: Scene, values: Mapping[str, int]) -> dict[str, str]:
    distance = values["home"] - scene.subject.toc
    return {
        "an_object": "C's object" if values["caller_toc"] == scene.subject.toc else "another object",
        "parity": "odd by the mark" if values["r2"] & 1 else "even",
        "traced": "" if values["lr"] == values["home"] else ": a tracer's trampoline",
        "distance": f"{distance:+#x}",
    }


@dataclass(frozen=True)
class _Outcome:
    path: PathClaims
    values: Mapping[str, int]
    reloads: bool
    payload_toc: int


def _lost(outcome: _Outcome) -> list[str]:
    return [f"The trampoline is lost: {outcome.path.path.fault or 'it leaves without having called the replacement'}."]


def _wrong_r2(outcome: _Outcome) -> list[str]:
    if outcome.reloads:
        return ["24(r1) holds {saved_after} instead of {saved}: M reloads r2 from it and goes on with the wrong TOC."]
    return ["r2 = {r2_after} when the caller goes on, instead of {unpatched_r2}."]


def _lost_toc(outcome: _Outcome) -> list[str]:
    if outcome.reloads:  # said already
        return []
    after = "saved_after" if outcome.values["saved_after"] != outcome.values["saved"] else "saved_entered"
    return [f"24(r1) held the caller's TOC pointer {{saved}} and now holds {{{after}}}: a later reload gets that."]


def _robbed_helper(outcome: _Outcome) -> list[str]:
    places = (("24(r1)", "saved"), ("12(r1)", "reserved"))
    return [
        f"{place}, which that helper waits for, held {{{name}}} and now holds {{{name}_after}}."
        for place, name in places
        if outcome.values[name] != outcome.values[f"{name}_after"]
    ]


_CONSEQUENCES: Mapping[Claim, Callable[[_Outcome], list[str]]] = {
    Claim.REACHED: _lost,
    Claim.RETURN_ADDRESS: lambda _: ["The call returns to {target} instead of {lr}."],
    Claim.CALLER_TOC: _wrong_r2,
    Claim.SAVED_TOC: _lost_toc,
    Claim.HELPER_WORDS: _robbed_helper,
    Claim.PAYLOAD_TOC: lambda it: [f"The replacement runs with r2 = {{r2_entered}} instead of {it.payload_toc:#x}."],
    Claim.STACK_POINTER: lambda _: ["r1 = {r1_after} when the caller goes on, instead of {r1}."],
    Claim.MEMORY_PARAMETERS: lambda _: [
        "The replacement looks for its parameters 32 bytes above {r1_entered}; they are 32 bytes above {r1}."
    ],
    Claim.OWN_STACK: lambda _: ["An entry stays on the thread's stack of return states: the next helper takes it."],
}


def _consequence(claim: Claim, outcome: _Outcome) -> list[str]:
    tell = _CONSEQUENCES.get(claim)
    return tell(outcome) if tell else [f"It does not hold that {claim.value}."]


def _readable_model(exploration: Exploration, path: PathClaims) -> z3.ModelRef:
    """A model of the failure with familiar values wherever they are possible."""
    solver, scene = exploration.solver, exploration.scene
    wishes = [
        z3.Implies(scene.helper_in_lr, scene.saved == _NEAR_CODE + 0x40),
        scene.caller_toc == scene.toc,
        scene.caller_toc == _FAR_TOC,
        scene.lr == scene.home,
        scene.home == _NEAR_CODE,
        scene.home == _FAR_CODE,
        scene.home == _JIT_CODE,
        scene.lr == _TRACER,
        scene.lr == _JIT_CODE,
        scene.lr == scene.subject.helper_block + 0x213,
        scene.r1 == _STACK,
        scene.r13 == _PACA,
        scene.r13_after == _PACA,
        scene.saved == scene.caller_toc,
        scene.saved == _NEAR_CODE,
        scene.reserved == 0,
        scene.r12 == scene.subject.global_entry,
    ]
    granted = [*path.path.conditions, z3.Not(path.all_hold)]
    solver.check(*granted)
    model = solver.model()
    for wish in wishes:
        if not z3.is_true(model.eval(wish, model_completion=True)):
            if solver.check(*granted, wish) != z3.sat:
                continue
            model = solver.model()
        granted.append(wish)
    return model


def _number(model: z3.ModelRef, term: Term) -> int:
    return int(model.eval(term, model_completion=True).as_long())


def borrowed_words(scene: Scene, path: PathClaims) -> Borrowed | None:
    """What a path leaves in 12(r1) and 24(r1) when the replacement keeps to the ABI; None where it is never reached."""
    if path.entered is None:
        return None
    words = {"unchanged": scene.saved, "TOC": scene.toc, "LR": scene.lr, "r2": scene.r2}
    deltas = {"unchanged": scene.reserved, "r2 - LR": z3.Extract(31, 0, scene.r2 - scene.lr)}

    def held(value: Term, candidates: Mapping[str, Term]) -> str:
        expected = z3.substitute(value, (scene.wide_cr_save, z3.BoolVal(False)))
        same = (name for name, candidate in candidates.items() if z3.is_true(z3.simplify(expected == candidate)))
        return next(same, "something else")

    entered, final = path.entered, path.final
    return Borrowed(
        (held(entered.reserved, deltas), held(final.reserved, deltas)),
        (held(entered.saved, words), held(final.saved, words)),
    )
