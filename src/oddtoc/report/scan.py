"""What a scan found, for readers and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from oddtoc.errors import printable
from oddtoc.report.tables import table_as_text, table_records
from oddtoc.scan.between import STATES, Comparison
from oddtoc.scan.image import ImageScan, totals
from oddtoc.scan.run import Scan
from oddtoc.scan.schema import OBSTACLES
from oddtoc.scan.sources import Failure
from oddtoc.scan.table import Table

_MOST_BLOCKS = 3
"""Up to so many images get a block each; more of them a row, and the sum."""
_MOST_ROWS = 40
_COLUMNS = {
    "functions": ("functions",),
    "patchable": ("patchable",),
    "marks": ("marks",),
    "sites": ("sites",),
    "siblings": ("to_local", "to_global", "to_outside"),
    "indirect calls": ("indirect_calls",),
    "without reload": ("without_reload",),
}
_MODULES = "functions of modules: what their code allows; oddtoc does not replace them yet"
_MOST_NAMED = 8


def scan_as_text(scan: Scan) -> Iterator[str]:
    """Line by line: a block for each of a few images, or a row for each and the sum; what failed is not in it."""
    if len(scan.scans) <= _MOST_BLOCKS:
        for number, one in enumerate(scan.scans):
            yield from ([""] if number else [])
            yield from _block(one.figures, one)
    else:
        yield from _overview(scan)
    if any(one.figures["kind"] == "module" for one in scan.scans):
        yield from ("", _MODULES)


def scan_as_json(scan: Scan, tables: Sequence[str] = ()) -> str:
    """An object: `images` (a row for each, `schema.IMAGES`), `totals`, `failed`, and the tables that are asked for."""
    images = scan.images
    return json.dumps(
        {
            "images": table_records(images),
            "totals": totals(images),
            "failed": [{"name": failure.name, "reason": failure.reason} for failure in scan.failed],
            **{name: table_records(scan.table(name)) for name in tables if name != "images"},
        },
        indent=1,
    )


def failures_as_text(failed: Sequence[Failure]) -> str:
    """A line for each file that could not be scanned."""
    lines = [f"not scanned: {len(failed)} {'file' if len(failed) == 1 else 'files'}"]
    return "\n".join([*lines, *(f"  {_reason(failure)}" for failure in failed)])


def _reason(failure: Failure) -> str:
    """Most reasons begin with the name already."""
    return printable(failure.reason if failure.name in failure.reason else f"{failure.name}: {failure.reason}")


def comparison_as_text(comparison: Comparison) -> Iterator[str]:
    """Line by line: how many functions are the same, changed, or in one only, for each image and in all."""
    rows = [*_states_by_image(comparison.table)]
    if len(rows) > 1:
        whole: Counter[str] = sum((counts for _, counts in rows), Counter())
        rows = [*(rows if len(rows) <= _MOST_ROWS else []), (f"{len(rows)} images", whole)]
    wide = max((len(name) for name, _ in rows), default=0)
    yield f"{'':<{wide}}" + "".join(f"{state:>12}" for state in STATES)
    for name, counts in rows:
        yield f"{name:<{wide}}" + "".join(f"{counts[state]:>12,}" for state in STATES)
    lost, won = _changed_ways(comparison.table)
    yield ""
    yield f"could be redirected in A and can't in B: {_some(lost)}"
    yield f"can be redirected in B and couldn't in A: {_some(won)}"
    for side, names in (("A", comparison.only_a), ("B", comparison.only_b)):
        if names:
            yield f"only in {side}: {_some(names)}"


def comparison_as_json(comparison: Comparison) -> str:
    """An object: `only_a` and `only_b` (names of images), `states` (counts), `functions` (a row for each)."""
    counts = Counter(comparison.table.plain("state"))
    return json.dumps(
        {
            "only_a": comparison.only_a,
            "only_b": comparison.only_b,
            "states": {state: counts[state] for state in STATES},
            "functions": table_records(comparison.table),
        },
        indent=1,
    )


def _states_by_image(table: Table) -> Iterator[tuple[str, Counter[str]]]:
    found: dict[str, Counter[str]] = {}
    for image, state in zip(table.plain("image"), table.plain("state"), strict=True):
        found.setdefault(image, Counter())[state] += 1
    yield from found.items()


def _changed_ways(table: Table) -> tuple[list[str], list[str]]:
    lost, won = [], []
    columns = (table.plain(name) for name in ("function", "obstacle_a", "obstacle_b"))
    for name, before, after in zip(*columns, strict=True):
        if before == "none" and after not in ("none", ""):
            lost.append(f"{name} ({after})")
        elif after == "none" and before not in ("none", ""):
            won.append(name)
    return lost, won


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_MOST_NAMED]))
    more = len(names) - _MOST_NAMED
    return f"{len(names):,}" + (f": {shown}{f', and {more:,} more' if more > 0 else ''}" if names else "")


def _block(figures: dict[str, Any], scan: ImageScan) -> Iterator[str]:
    yield printable(figures["image"])
    build = f", build id {figures['build_id']}" if figures["build_id"] else ""
    yield f"  {figures['kind']}, {figures['instructions']:,} instructions{build}"
    for name, text in _lines(figures, scan):
        yield f"  {name:<24}{text}"


def _lines(figures: dict[str, Any], scan: ImageScan) -> Iterator[tuple[str, str]]:
    count = figures["functions"]
    share = f"  {figures['patchable'] / count:.1%}" if count else ""
    yield "functions", f"{count:,}  {figures['two_entries']:,} with two entries, {figures['marks']:,} can be marked"
    yield "ftrace sites", f"{figures['sites']:,}  {figures['site_kind']}"
    yield "can be redirected", f"{figures['patchable']:,}{share}"
    for reason, words in OBSTACLES.items():
        if number := figures.get(f"not_{reason.replace(' ', '_')}", 0):
            yield f"  not: {reason}", f"{number:,}  {words}"
    yield "sibling calls", _siblings(figures)
    if figures["to_middle"]:
        yield "  into the middle", f"{figures['to_middle']:,}"
    yield "indirect calls", f"{figures['indirect_calls']:,}  {_without_reload(figures, scan.jumps)}"
    yield "jump tables", f"{figures['jump_tables']:,}"
    yield "call stubs", f"{figures['stubs']:,}"
    yield "room", _room(scan.room)


def _siblings(figures: dict[str, Any]) -> str:
    calls = figures["to_local"] + figures["to_global"] + figures["to_outside"]
    outside = f", another object {figures['to_outside']:,}" if figures["to_outside"] else ""
    return (
        f"{calls:,}  to a local entry {figures['to_local']:,}, a global one {figures['to_global']:,}{outside}; "
        f"through r12 {figures['sibling_bctr']:,}"
    )


def _without_reload(figures: dict[str, Any], jumps: Table) -> str:
    if not figures["without_reload"]:
        return "all with ld r2,24(r1) behind"
    chosen = jumps.where(jumps.labels("kind").is_word("bctrl"))
    names = dict.fromkeys(name or "outside of functions" for name in chosen.plain("function"))
    return f"{figures['without_reload']:,} without ld r2,24(r1) behind: {_some(list(names)).partition(': ')[2]}"


def _room(room: Table) -> str:
    sizes: Counter[str] = Counter()
    holes = 0
    for use, size in zip(room.plain("use"), room.plain("size"), strict=True):
        sizes[use] += size
        holes += use == "hole"
    parts = [f"{sizes[use] / 1024:,.0f} KiB for {use}" for use in ("text", "data") if sizes[use]]
    parts += [f"{holes:,} holes of {sizes['hole']:,} bytes in the text"] if holes else []
    return ", ".join(parts) or "none"


def _overview(scan: Scan) -> Iterator[str]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in scan.scans:
        groups.setdefault(one.figures["kind"], []).append(one.figures)
    shown = scan.scans if len(scan.scans) <= _MOST_ROWS else []
    rows = [(printable(one.figures["image"]), _numbers([one.figures])) for one in shown]
    rows += [(_plural(kind, len(figures)), _numbers(figures)) for kind, figures in groups.items()]
    rows.append(("in all", _numbers([one.figures for one in scan.scans])))
    wide = max(len(name) for name, _ in rows)
    widths = [max(len(heading), 11) for heading in _COLUMNS]
    yield f"{'':<{wide}}" + "".join(f"  {heading:>{width}}" for heading, width in zip(_COLUMNS, widths, strict=True))
    for name, numbers in rows:
        cells = zip(numbers, widths, strict=True)
        yield f"{name:<{wide}}" + "".join(f"  {number:>{width},}" for number, width in cells)
    yield ""
    yield from _reasons(scan)


def _numbers(figures: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(sum(one[name] for one in figures for name in names) for names in _COLUMNS.values())


def _plural(kind: str, count: int) -> str:
    return f"{count:,} {kind if count == 1 else 'libraries' if kind == 'library' else kind + 's'}"


def _reasons(scan: Scan) -> Iterator[str]:
    yield "can't be redirected"
    for reason, words in OBSTACLES.items():
        number = sum(one.figures.get(f"not_{reason.replace(' ', '_')}", 0) for one in scan.scans)
        if number:
            yield f"  {number:>9,}  {reason}: {words}"


def tables_as_text(tables: Sequence[Table]) -> Iterator[str]:
    """Tables, one below the other, line by line."""
    for number, table in enumerate(tables):
        yield from ([""] if number else [])
        yield from table_as_text(table)
