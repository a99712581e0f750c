"""The part of a page for proofs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from oddtoc.report.page import PageTable, Section
from oddtoc.report.sections.matrix import matrix
from oddtoc.scan.schema import Field, Kind

_GRAVITY: Final = ("proven", "conditional", "refuted", "undecided")
"""Verdicts, the worst last."""
_CLASSES: Final = {"proven": "good", "conditional": "other"}
_FIELDS: Final = {
    "mechanism": Field(Kind.LABEL, "who restores r2 / where the return state waits"),
    "entry": Field(Kind.LABEL, "what stands at the global entry of the patched function"),
    "call": Field(Kind.LABEL, "the kind of call"),
    "verdict": Field(Kind.LABEL, "the worst of all trampolines"),
    "in": Field(Kind.TEXT, "instructions to the replacement, on each way"),
    "out": Field(Kind.TEXT, "instructions back, on each way"),
    "conditions": Field(Kind.TEXT, "what makes it right"),
    "goes wrong": Field(Kind.TEXT, "a call that comes back wrong without"),
    "made by": Field(Kind.TEXT, "what such calls take to exist, beyond compiled code"),
}


def proofs_section(answer: Sequence[Mapping[str, Any]], name: str) -> Section:
    """How many proofs of each verdict, a matrix of the worst of them, and every proof."""
    verdicts: dict[tuple[str, str], str] = {}
    for proof in answer:
        key = proof["mechanism"], proof["call"]
        verdicts[key] = max(proof["verdict"], verdicts.get(key, _GRAVITY[0]), key=_GRAVITY.index)
    counts = Counter(proof["verdict"] for proof in answer)
    mechanisms, calls = (list(dict.fromkeys(proof[key] for proof in answer)) for key in ("mechanism", "call"))
    return Section(
        title=f"proofs: {name}",
        about="what is proven of the planted bytes, for all states of registers and memory; in each cell the worst",
        figures=[(verdict, f"{counts[verdict]:,}", "") for verdict in _GRAVITY if counts[verdict]],
        pictures=[matrix(mechanisms, calls, verdicts, _CLASSES)],
        tables=[PageTable("proofs", _FIELDS, [_row(proof) for proof in answer])],
    )


def _row(proof: Mapping[str, Any]) -> dict[str, Any]:
    example = proof["counterexample"]
    return {
        "mechanism": proof["mechanism"],
        "entry": proof["entry"],
        "call": proof["call"],
        "verdict": proof["verdict"],
        "in": _ways(proof, "instructions_in"),
        "out": _ways(proof, "instructions_out"),
        "conditions": "; or ".join(_repair(repair) for repair in proof["conditions"]),
        "goes wrong": " ".join([*example["story"], *example["consequences"]]) if example else "",
        "made by": proof["made_by"] or "",
    }


def _ways(proof: Mapping[str, Any], key: str) -> str:
    return ", ".join(str(number) for number in sorted({way[key] for way in proof["ways"]}))


def _repair(repair: Mapping[str, Any]) -> str:
    return (" or " if repair["any_of"] else " and ").join(repair["conditions"])
