"""The part of a page for a scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oddtoc.report.page import PageTable, Section
from oddtoc.report.textmap import text_map
from oddtoc.scan.schema import IMAGES, OBSTACLES, TABLES, Field, Kind

_MAPS = 4
"""Images that get a map: those with the most functions."""
_APPLIED = {
    "patch": Field(Kind.LABEL, "its name"),
    "name": Field(Kind.TEXT, "the function that is redirected"),
    "mechanism": Field(Kind.LABEL, "how"),
    "condition": Field(Kind.LABEL, "what the live words say"),
    "branch_at": Field(Kind.ADDRESS, "the word that is the branch"),
    "branch_to": Field(Kind.ADDRESS, "the trampoline or the replacement"),
    "bytes": Field(Kind.NUMBER, "of the patch's payload"),
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


def scan_section(answer: Mapping[str, Any], name: str, applied: Sequence[Mapping[str, Any]] | None = None) -> Section:
    """Figures, maps of the largest images, and all tables that were asked for.

    Args:
        answer: what `oddtoc scan` printed.
        name: where it is from.
        applied: what `oddtoc status` printed of the target that the only image runs in.
    """
    images: Sequence[Mapping[str, Any]] = answer["images"]
    totals: Mapping[str, int] = answer["totals"]
    tables = [PageTable("images", IMAGES, images) if len(images) != 1 else _one_image(images[0])]
    hidden = {"image"} if len(images) == 1 else set()
    for one in ("functions", "jumps", "room"):
        if one in answer:
            fields = {column: field for column, field in TABLES[one].items() if column not in hidden}
            tables.append(PageTable(one, fields, answer[one]))
    if applied is not None:
        tables.insert(0, PageTable("applied", _APPLIED, list(_applied(applied))))
    if answer["failed"]:
        tables.append(PageTable("not scanned", _FAILED, answer["failed"]))
    return Section(
        title=f"scan: {name}" if applied is None else f"target: {name}",
        about=f"{len(images):,} {'image' if len(images) == 1 else 'images'}, {totals['instructions']:,} instructions",
        figures=_figures(totals),
        pictures=_maps(answer, applied or []),
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


def _applied(patches: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each function of each patch."""
    for patch in patches:
        for function in patch["functions"]:
            yield {
                "patch": patch["patch"],
                **{key: function[key] for key in ("name", "mechanism", "condition", "branch_at", "branch_to")},
                "bytes": sum(span["size"] for span in patch["payload"]),
            }


def _maps(answer: Mapping[str, Any], applied: Sequence[Mapping[str, Any]]) -> list[str]:
    if "functions" not in answer:
        return []
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for row in answer["functions"]:
        by_image.setdefault(row["image"], []).append(row)
    chosen = sorted(by_image.items(), key=lambda item: -len(item[1]))[:_MAPS]
    room = answer.get("room", [])
    maps = (text_map(rows, [one for one in room if one["image"] == image], image, applied) for image, rows in chosen)
    return [one for one in maps if one]
