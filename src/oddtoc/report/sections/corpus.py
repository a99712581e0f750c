"""The part of a page for a run of the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from oddtoc.report.page import PageTable, Section
from oddtoc.report.plots import bars
from oddtoc.scan.schema import Field, Kind

_CLASSES: Final = {
    "applied": "good",
    "no effect": "other",
    "ran at boot": "other",
    "in part": "other",
    "refused": "other",
    "built": "other",
}
_FIELDS: Final = {
    "file": Field(Kind.TEXT, "the C file that differs"),
    "outcome": Field(Kind.LABEL, "applied, in part, no effect, ran at boot, refused, built, not now, or failed"),
    "reason": Field(Kind.TEXT, "ids of refusals, or what went wrong"),
    "files": Field(Kind.TEXT, "all that the patch was made of"),
    "functions": Field(Kind.NUMBER, "functions that were replaced"),
    "equal": Field(Kind.NUMBER, "functions of the old source that are the code that runs"),
    "compared": Field(Kind.NUMBER, "functions that were compared"),
    "build ms": Field(Kind.NUMBER, "milliseconds to build it"),
    "all ms": Field(Kind.NUMBER, "milliseconds to build, apply, exercise and revert it"),
}


def corpus_section(answer: Sequence[Mapping[str, Any]], name: str) -> Section:
    """What came of the files, for what they were refused, and every file."""
    outcomes = Counter(verdict["outcome"] for verdict in answer)
    refused = [verdict for verdict in answer if verdict["outcome"] == "refused"]
    reasons = Counter(map(first_reason, refused))
    equal, compared = (sum(verdict[key] for verdict in answer) for key in ("equal", "compared"))
    shares = [(what, f"{count:,}", f"{count / len(answer):.0%}") for what, count in outcomes.most_common()]
    remark = f"of {compared:,} functions of the old source"
    return Section(
        title=f"corpus: {name}",
        about=f"{len(answer):,} files that differ between two versions, each built, applied to the older one, reverted",
        figures=[*shares, ("are the code that runs", f"{equal:,}", remark)],
        pictures=[
            bars("what came of the files", [_bar(what, count) for what, count in outcomes.most_common()]),
            *(
                [bars("refused for", [_bar(why, count, "other") for why, count in reasons.most_common()])]
                if reasons
                else []
            ),
        ],
        tables=[PageTable("files", _FIELDS, [_row(verdict) for verdict in answer])],
    )


def first_reason(verdict: Mapping[str, Any]) -> str:
    """The id of what a file was refused for first."""
    reason: str = verdict["reason"]
    return reason.split(":")[0].split(",")[0]


def _bar(what: str, count: int, name: str | None = None) -> tuple[str, list[tuple[str, float]], str]:
    return what, [(name or _CLASSES.get(what, "bad"), count)], f"{count:,}"


def _row(verdict: Mapping[str, Any]) -> dict[str, Any]:
    build, whole = verdict["seconds"]
    return {
        **{key: verdict[key] for key in ("file", "outcome", "reason", "functions", "equal", "compared")},
        "files": ", ".join(verdict["files"]),
        "build ms": round(build * 1000),
        "all ms": round(whole * 1000),
    }
