"""Proofs of mechanisms, for readers: a matrix of all, one mechanism in full, JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from oddtoc.mechanism.catalog import Mechanism
from oddtoc.mechanism.conditions import Keeper, SideCondition
from oddtoc.prove.calls import CALLS, Call
from oddtoc.prove.proof import Proof, Verdict, is_sound_by_default
from oddtoc.prove.scene import Scene
from oddtoc.prove.subject import EntryKind, refusals

_WIDTH = 118
_CELLS = {Verdict.PROVEN: "ok", Verdict.CONDITIONAL: "if", Verdict.REFUTED: "NO", Verdict.UNDECIDED: "??"}
_GRAVITY = list(_CELLS)
_LEGEND = (
    "ok: proven for all states; if: proven under a condition; NO: can go wrong, no condition found; -: no such call"
)


def matrix_as_text(proofs: Mapping[Mechanism, Sequence[Proof]], seconds: float) -> str:
    """Mechanism x kind of call, the worst of each mechanism's trampolines.

    Args:
        proofs: each mechanism with its proofs.
        seconds: how long all of them took.
    """
    width = max(len(mechanism.name) for mechanism in proofs)
    heading = "  ".join([" " * width, *(f"{number:>2}" for number in range(1, len(CALLS) + 1)), "default"])
    lines = [heading, "-" * len(heading)]
    for mechanism, found in proofs.items():
        cells = "  ".join(f"{_worst(found, call):>2}" for call in CALLS)
        default = "may be" if is_sound_by_default(found) else "no"
        lines.append(f"{mechanism.name:<{width}}  {cells}  {default}")
    calls = [
        f"{number:>4}  {call.title}" + (f"  (only with {call.special})" if call.special else "")
        for number, call in enumerate(CALLS, 1)
    ]
    count = sum(map(len, proofs.values()))
    return "\n".join(
        [
            *lines,
            "",
            *calls,
            "",
            _LEGEND,
            "default: every call that compiled code, a linker or a JIT makes by itself is proven as it stands",
            f"{count} proofs in {seconds:.1f} s; oddtoc prove MECHANISM shows conditions and counterexamples",
        ]
    )


def _worst(proofs: Sequence[Proof], call: Call) -> str:
    verdicts = [proof.verdict for proof in proofs if proof.call.id == call.id]
    return _CELLS[max(verdicts, key=_GRAVITY.index)] if verdicts else "-"


def proofs_as_text(mechanism: Mechanism, proofs: Sequence[Proof]) -> str:
    """Everything about one mechanism: verdicts, costs, borrowed words, counterexamples, conditions, assumptions."""
    lines = [f"{mechanism.name}: {mechanism.summary}", ""]
    for kind in EntryKind:
        chosen = [proof for proof in proofs if proof.subject.entry is kind]
        lines += [*_entry_lines(mechanism, kind, chosen), ""]
    lines += [*_counterexamples(proofs), *_conditions(proofs), *_facts(proofs)]
    default = "may" if is_sound_by_default(proofs) else "can't"
    lines.append(f"{mechanism.name} {default} be the default.")
    return "\n".join(lines)


def _entry_lines(mechanism: Mechanism, kind: EntryKind, proofs: Sequence[Proof]) -> list[str]:
    heading = f"Patched function with {kind.value}"
    if refusal := refusals(mechanism).get(kind):
        return [f"{heading}: refused; {refusal}"]
    rows: list[tuple[str, ...]] = [("call", "verdict", "in/out", "12(r1)", "24(r1)", "condition")]
    for call in CALLS:
        same = [proof for proof in proofs if proof.call.id == call.id]
        if same:
            rows += _rows(max(same, key=lambda proof: _GRAVITY.index(proof.verdict)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    body = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    ]
    return [heading, *(f"  {line}" for line in body)]


def _rows(proof: Proof) -> Iterator[tuple[str, ...]]:
    """One row for each way that such calls take: the first with the verdict."""
    conditions = "; or ".join(str(repair) + ("" if repair.exact else " (*)") for repair in proof.repairs)
    head = (proof.call.title, _CELLS[proof.verdict])
    for number, way in enumerate(proof.ways or (None,)):
        first = head if number == 0 else ("", "")
        last = conditions if number == 0 else ""
        if way is None or way.borrowed is None:
            yield (*first, "", "", "", last)
            continue
        came, went = way.instructions
        yield (*first, f"{came}/{went}", _held(way.borrowed.reserved), _held(way.borrowed.saved), last)


def _held(words: tuple[str, str]) -> str:
    during, after = words
    if during == after == "unchanged":
        return "."
    return during if during == after else f"{during}, {after}"


def _counterexamples(proofs: Sequence[Proof]) -> Iterator[str]:
    told: set[tuple[str, EntryKind]] = set()
    for proof in proofs:
        example = proof.counterexample
        key = proof.call.id, proof.subject.entry
        if example is None or key in told:
            continue
        told.add(key)
        yield f"{proof.call.title}, function with {proof.subject.entry.value}: how it goes wrong"
        yield from _wrapped(" ".join(example.story))
        for consequence in example.consequences:
            yield from _wrapped(f"=> {consequence}")
        yield ""


def _conditions(proofs: Sequence[Proof]) -> Iterator[str]:
    needed = {condition for proof in proofs for repair in proof.repairs for condition in repair.conditions}
    if not needed:
        return
    yield "Conditions ((*): enough, but not always needed; all others are exact: without them it goes wrong)"
    width = max(len(condition.id) for condition in needed)
    for condition in SideCondition:
        if condition in needed:
            kept = " [by construction]" if condition.keeper is Keeper.CONSTRUCTION else ""
            yield from _wrapped(f"{condition.id:<{width}}  {condition.value}{kept}")
    yield ""


def _facts(proofs: Sequence[Proof]) -> Iterator[str]:
    sentences = dict.fromkeys(fact.sentence for proof in proofs for fact in Scene(proof.subject).facts())
    yield "Taken for granted"
    for sentence in sentences:
        yield from _wrapped(f"- {sentence}")
    yield ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def proofs_as_json(proofs: Iterable[Proof]) -> str:
    """A list with one object for each proof: see `proof_record`."""
    return json.dumps([proof_record(proof) for proof in proofs], indent=2)


def proof_record(proof: Proof) -> dict[str, Any]:
    """A proof as plain values; addresses and register values are strings ("0x..."), `seconds` is a number."""
    subject, example = proof.subject, proof.counterexample
    return {
        "mechanism": subject.mechanism.name,
        "template": subject.template,
        "target": "process" if subject.process else "kernel",
        "entry": subject.entry.value,
        "replacement_expects_in_r2": subject.replacement_kind.value,
        "call": proof.call.id,
        "made_by": proof.call.special,
        "verdict": proof.verdict.name.lower(),
        "failed": {claim.name.lower().replace("_", "-"): claim.value for claim in proof.failed},
        "conditions": [
            {
                "conditions": [condition.id for condition in repair.conditions],
                "any_of": repair.any_of,
                "exact": repair.exact,
                "by_construction": repair.by_construction,
            }
            for repair in proof.repairs
        ],
        "ways": [
            {
                "instructions_in": way.instructions[0],
                "instructions_out": way.instructions[1],
                "reserved_word": way.borrowed and list(way.borrowed.reserved),
                "toc_save": way.borrowed and list(way.borrowed.saved),
            }
            for way in proof.ways
        ],
        "counterexample": example
        and {
            "story": list(example.story),
            "consequences": list(example.consequences),
            "instructions": [
                {"address": f"{address:#x}", "text": text, "returning": returning}
                for address, text, returning in example.instructions
            ],
            "values": {name: f"{value:#x}" for name, value in example.values.items()},
        },
        "seconds": round(proof.seconds, 4),
    }
