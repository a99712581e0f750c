"""The part of a page for a table of the laboratory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oddtoc.report.page import PageTable, Section
from oddtoc.report.sections.matrix import matrix
from oddtoc.scan.schema import Field, Kind

_FITTING = ("ok", "refused")
_CLASSES = {"ok": "good", "refused": "other"}
_CELLS = {
    "mechanism": Field(Kind.LABEL, "who restores r2 / where the return state waits"),
    "scenario": Field(Kind.LABEL, "what is called how"),
    "outcome": Field(Kind.LABEL, "the verdict"),
    "detail": Field(Kind.TEXT, "what was found, for a failure; why, for a refusal"),
    "calls": Field(Kind.NUMBER, "patched calls before the verdict"),
}


def lab_section(answer: Mapping[str, Any], name: str) -> Section:
    """How many verdicts of each kind, the matrix, and every cell with its detail."""
    cells: Sequence[Mapping[str, Any]] = answer["cells"]
    verdicts = {(cell["mechanism"], cell["scenario"]): cell["outcome"] for cell in cells}
    clean = [m for m in answer["mechanisms"] if all(v in _FITTING for (one, _), v in verdicts.items() if one == m)]
    counts = dict.fromkeys(cell["outcome"] for cell in cells)
    figures = [(what, f"{sum(cell['outcome'] == what for cell in cells):,}", "") for what in counts]
    return Section(
        title=f"laboratory: {name}",
        about=f"every mechanism in every scenario, on real machine code; ok throughout: {', '.join(clean) or 'none'}",
        figures=figures,
        pictures=[matrix(answer["mechanisms"], [one["name"] for one in answer["scenarios"]], verdicts, _CLASSES)],
        tables=[PageTable("cells", _CELLS, cells)],
    )
