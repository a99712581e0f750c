"""The figures as text and as JSON, ratios first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.cost.cost import Cost

_HEADING = """\
What a patched call costs, in executed instructions above an unpatched one. Counts, not times: they are the same on
every machine and in every run.
"""
_MEANING = """\
in   patched: from the call to the replacement's first instruction; unpatched: from the call to the first instruction
     behind the function's ftrace words; the difference
out  from the replacement's return to the instruction behind the call, above the return instruction itself
Not counted, in upstream's favour: its replacement is entered globally and sets up r2 by itself, and is traceable.
"""
_REFUSED = "-"

Column = tuple[str, int]


def as_text(costs: Sequence[Cost], peer: Sequence[Cost], names: Mapping[str, str]) -> str:
    """The tables: first how many times more upstream's livepatch adds, then the counts themselves.

    Args:
        costs: of oddtoc's mechanisms.
        peer: of upstream's livepatch; empty when it was not measured.
        names: what each kernel is, by its label.
    """
    columns = list(dict.fromkeys((cost.call, cost.functions) for cost in [*costs, *peer]))
    parts = [_HEADING, _names(names)]
    if peer:
        ratios = {_key(cost): _ratio_text(cost, peer) for cost in costs}
        parts.append(_table("Upstream's livepatch / oddtoc", costs, ratios, columns))
    counts = {_key(cost): _REFUSED if cost.refused else f"{cost.into}+{cost.back}" for cost in [*peer, *costs]}
    parts.append(_table("Instructions, in + out", [*peer, *costs], counts, columns))
    parts.append(_MEANING)
    refusals = dict.fromkeys(cost.refused for cost in costs if cost.refused)
    if refusals:
        parts.append(f"{_REFUSED} or missing: refused\n" + "".join(f"     {why}\n" for why in refusals))
    return "\n".join(parts)


def as_json(costs: Sequence[Cost], peer: Sequence[Cost], names: Mapping[str, str]) -> dict[str, Any]:
    """The same as plain data: `ratios`, then `costs` (oddtoc) and `peer`; counts are instructions per call."""
    ratios = [{**_case(cost), "upstream/oddtoc": _ratio(cost, peer)} for cost in costs if _ratio(cost, peer)]
    return {
        "unit": "executed instructions per call above an unpatched call",
        "kernels": dict(names),
        "ratios": ratios,
        "costs": [_plain(cost) for cost in costs],
        "peer": [_plain(cost) for cost in peer],
    }


def _case(cost: Cost) -> dict[str, Any]:
    return {"kernel": cost.kernel, "mechanism": cost.mechanism, "call": cost.call, "functions": cost.functions}


def _plain(cost: Cost) -> dict[str, Any]:
    if cost.refused:
        return {**_case(cost), "refused": cost.refused}
    return {**_case(cost), "in": cost.into, "out": cost.back, "total": cost.total}


def _ratio(cost: Cost, peer: Iterable[Cost]) -> float | None:
    """How many times more upstream's livepatch adds to the same call with as many functions patched."""
    same = next((one for one in peer if (one.call, one.functions) == (cost.call, cost.functions)), None)
    return round(same.total / cost.total, 1) if same and cost.total and not cost.refused else None


def _ratio_text(cost: Cost, peer: Iterable[Cost]) -> str:
    ratio = _ratio(cost, peer)
    return f"{ratio:.1f}" if ratio else _REFUSED


def _names(names: Mapping[str, str]) -> str:
    return "".join(f"{label:10} {name}\n" for label, name in names.items())


def _key(cost: Cost) -> tuple[str, str, Column]:
    return cost.kernel, cost.mechanism, (cost.call, cost.functions)


def _table(
    title: str, costs: Iterable[Cost], cells: Mapping[tuple[str, str, Column], str], columns: Sequence[Column]
) -> str:
    rows = list(dict.fromkeys((cost.kernel, cost.mechanism) for cost in costs if not cost.refused))
    left = max(len(mechanism) for _, mechanism in rows)
    heads = [_head(column) for column in columns]
    widths = [max(len(line) for line in head) for head in heads]
    lines = [title]
    for number in range(2):
        titles = "  ".join(f"{head[number]:>{width}}" for head, width in zip(heads, widths, strict=True))
        lines.append(f"{'':10} {'':{left}}  {titles}")
    for kernel, mechanism in rows:
        figures = [cells.get((kernel, mechanism, column), "") for column in columns]
        shown = "  ".join(f"{figure:>{width}}" for figure, width in zip(figures, widths, strict=True))
        lines.append(f"{kernel:10} {mechanism:{left}}  {shown}".rstrip())
    return "\n".join(lines) + "\n"


def _head(column: Column) -> tuple[str, str]:
    """Two lines: the call, and how many functions are patched where that is more than one, or what is special."""
    call, functions = column
    first, _, second = call.partition(", ")
    return first, second or (f"{functions} patched" if functions > 1 else "")
