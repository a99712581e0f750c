"""Parts of a report: a scan, a table of the laboratory, as the commands print them in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from oddtoc.errors import UsageError
from oddtoc.report.page import PageTable, Section
from oddtoc.report.textmap import text_map
from oddtoc.scan.schema import IMAGES, OBSTACLES, TABLES, Field, Kind

_MAPS = 4
"""Images that get a map: those with the most functions."""
_FITTING = ("ok", "refused")
_CELLS = {
    "mechanism": Field(Kind.LABEL, "who restores r2 / where the return state waits"),
    "scenario": Field(Kind.LABEL, "what is called how"),
    "outcome": Field(Kind.LABEL, "the verdict"),
    "detail": Field(Kind.TEXT, "what was found, for a failure; why, for a refusal"),
    "calls": Field(Kind.NUMBER, "patched calls before the verdict"),
}
_FIGURES = {
    "figure": Field(Kind.TEXT, "its name in the tables"),
    "value": Field(Kind.TEXT, "what was found"),
    "meaning": Field(Kind.TEXT, "what it means"),
}
_FAILED = {
    "name": Field(Kind.TEXT, "the file"),
    "reason": Field(Kind.TEXT, "why it could not be scanned"),
}


def section_of(answer: object, name: str) -> Section:
    """The part of a page for what a command printed in JSON.

    Args:
        answer: what `oddtoc scan` or `oddtoc lab` printed, read.
        name: where it is from.

    Raises:
        UsageError: it is from no command that there are pages for, or not whole.
    """
    ways: dict[frozenset[str], Callable[[Mapping[str, Any], str], Section]] = {
        frozenset(("images", "totals", "failed")): _scan_section,
        frozenset(("mechanisms", "scenarios", "cells")): _lab_section,
    }
    if isinstance(answer, dict):
        for keys, way in ways.items():
            if keys <= answer.keys():
                try:
                    return way(answer, name)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise UsageError(
                        f"{name} is not whole: {error!r}", advice="let the command print it again"
                    ) from error
    raise UsageError(
        f"{name} is not what oddtoc scan or oddtoc lab print with --format json",
        advice="oddtoc scan 6.1 --format json --table functions > scan.json",
    )


def read_answer(path: Path) -> object:
    """What a command printed into a file.

    Raises:
        UsageError: the file can't be read, or is no JSON.
    """
    try:
        answer: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    return answer


def _scan_section(answer: Mapping[str, Any], name: str) -> Section:
    images: Sequence[Mapping[str, Any]] = answer["images"]
    totals: Mapping[str, int] = answer["totals"]
    tables = [PageTable("images", IMAGES, images) if len(images) != 1 else _one_image(images[0])]
    hidden = {"image"} if len(images) == 1 else set()
    for one in ("functions", "jumps", "room"):
        if one in answer:
            fields = {column: field for column, field in TABLES[one].items() if column not in hidden}
            tables.append(PageTable(one, fields, answer[one]))
    if answer["failed"]:
        tables.append(PageTable("not scanned", _FAILED, answer["failed"]))
    return Section(
        title=f"scan: {name}",
        about=f"{len(images):,} {'image' if len(images) == 1 else 'images'}, {totals['instructions']:,} instructions",
        figures=_figures(totals),
        pictures=_maps(answer),
        tables=tables,
    )


def _one_image(image: Mapping[str, Any]) -> PageTable:
    """What is one row elsewhere, from top to bottom."""
    rows = [
        {
            "figure": name,
            "value": f"{image[name]:,}" if field.kind is Kind.NUMBER else image[name],
            "meaning": field.meaning,
        }
        for name, field in IMAGES.items()
    ]
    return PageTable("image", _FIGURES, rows)


def _figures(totals: Mapping[str, int]) -> list[tuple[str, str, str]]:
    share = totals["patchable"] / max(totals["functions"], 1)
    reasons = {reason: totals[f"not_{reason.replace(' ', '_')}"] for reason in OBSTACLES if reason != "none"}
    shown = [
        ("functions", totals["functions"], ""),
        ("can be redirected", totals["patchable"], f"{share:.1%}"),
        ("can be marked", totals["marks"], ""),
        ("ftrace sites", totals["sites"], ""),
        ("sibling calls", totals["to_local"] + totals["to_global"] + totals["to_outside"], ""),
        ("indirect calls", totals["indirect_calls"], f"{totals['without_reload']} without TOC reload"),
        *((f"not: {reason}", count, OBSTACLES[reason]) for reason, count in reasons.items() if count),
    ]
    return [(what, f"{count:,}", remark) for what, count, remark in shown]


def _maps(answer: Mapping[str, Any]) -> list[str]:
    if "functions" not in answer:
        return []
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for row in answer["functions"]:
        by_image.setdefault(row["image"], []).append(row)
    chosen = sorted(by_image.items(), key=lambda item: -len(item[1]))[:_MAPS]
    room = answer.get("room", [])
    maps = (text_map(rows, [one for one in room if one["image"] == image], image) for image, rows in chosen)
    return [one for one in maps if one]


def _lab_section(answer: Mapping[str, Any], name: str) -> Section:
    cells: Sequence[Mapping[str, Any]] = answer["cells"]
    verdicts = {(cell["mechanism"], cell["scenario"]): cell["outcome"] for cell in cells}
    clean = [m for m in answer["mechanisms"] if all(v in _FITTING for (one, _), v in verdicts.items() if one == m)]
    counts = dict.fromkeys(cell["outcome"] for cell in cells)
    figures = [(what, f"{sum(cell['outcome'] == what for cell in cells):,}", "") for what in counts]
    return Section(
        title=f"laboratory: {name}",
        about=f"every mechanism in every scenario, on real machine code; ok throughout: {', '.join(clean) or 'none'}",
        figures=figures,
        pictures=[_matrix(answer["mechanisms"], answer["scenarios"], verdicts)],
        tables=[PageTable("cells", _CELLS, cells)],
    )


def _matrix(
    mechanisms: Sequence[str], scenarios: Sequence[Mapping[str, str]], verdicts: Mapping[tuple[str, str], str]
) -> str:
    """Words in every cell: colours only repeat them."""
    heads = "".join(f'<th scope="col">{escape(scenario["name"])}</th>' for scenario in scenarios)
    rows = []
    for mechanism in mechanisms:
        cells = (verdicts.get((mechanism, scenario["name"]), "") for scenario in scenarios)
        shown = "".join(f'<td class="{_class(verdict)}">{escape(verdict)}</td>' for verdict in cells)
        rows.append(f'<tr><th scope="row">{escape(mechanism)}</th>{shown}</tr>')
    return (
        f'<table class="matrix"><thead><tr><th scope="col">mechanism</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _class(verdict: str) -> str:
    return {"ok": "good", "refused": "other", "": ""}.get(verdict, "bad")
