"""Parts of a page for benchmarks: what calls cost beside upstream's live patching, and how long things took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from oddtoc.report.page import PageTable, Section
from oddtoc.report.plots import Bar, bars, lines
from oddtoc.scan.schema import Field, Kind

_COSTS: Final = {
    "kernel": Field(Kind.LABEL, "the kernel's series, or user mode"),
    "mechanism": Field(Kind.LABEL, "how calls are redirected"),
    "call": Field(Kind.LABEL, "the kind of call"),
    "functions": Field(Kind.NUMBER, "how many functions are patched"),
    "in": Field(Kind.NUMBER, "instructions more than an unpatched call on the way in"),
    "out": Field(Kind.NUMBER, "and on the way out"),
    "total": Field(Kind.NUMBER, "both"),
    "upstream/oddtoc": Field(Kind.TEXT, "how many times more upstream's live patching adds to the same call"),
    "refused": Field(Kind.TEXT, "why the mechanism does not take the function"),
}
_TIMES: Final = {
    "kernel": Field(Kind.LABEL, "the kernel's series"),
    "mechanism": Field(Kind.LABEL, "how calls are redirected"),
    "what": Field(Kind.TEXT, "what was measured"),
    "microseconds": Field(Kind.NUMBER, "the median, or the best where a work was repeated"),
    "worst": Field(Kind.NUMBER, "microseconds, the worst of all rounds"),
    "ratio": Field(Kind.TEXT, "to the baseline that was measured in the same run"),
}


def cost_section(answer: Mapping[str, Any], name: str) -> Section:
    """Instructions of a call: plots beside upstream, and every count."""
    ratios = {_case(one): one["upstream/oddtoc"] for one in answer["ratios"]}
    counted = [one for one in [*answer["peer"], *answer["costs"]] if "total" in one]
    refused = [one for one in answer["costs"] if "refused" in one]
    return Section(
        title=f"what a call costs: {name}",
        about=f"{answer['unit']}; " + "; ".join(f"{label}: {what}" for label, what in answer["kernels"].items()),
        figures=[_figure(one, ratios.get(_case(one))) for one in counted if one["functions"] == 1][:12],
        pictures=[*_growth(counted), *_calls(counted)],
        tables=[PageTable("costs", _COSTS, [_cost(one, ratios) for one in [*counted, *refused]])],
    )


def _case(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(one[key] for key in ("kernel", "mechanism", "call", "functions"))


def _figure(one: Mapping[str, Any], ratio: float | None) -> tuple[str, str, str]:
    remark = f"; upstream adds {ratio} times as many" if ratio else ""
    return one["mechanism"], str(one["total"]), f"{one['kernel']}, {one['call']}{remark}"


def _growth(counted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each mechanism that was counted with several numbers of functions patched."""
    series: dict[str, list[tuple[float, float]]] = {}
    for one in sorted(counted, key=lambda one: one["functions"]):
        if one["call"] == counted[0]["call"]:
            series.setdefault(f"{one['mechanism']} ({one['kernel']})", []).append((one["functions"], one["total"]))
    grown = {label: points for label, points in series.items() if len(points) > 1}
    if grown:
        across, about = "functions that are patched", f"instructions that a patched call adds: {counted[0]['call']}"
        yield lines("the cost of one call, with more functions patched", grown, across=across, about=about)


def _calls(counted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Bars for each kind of call with one function patched, the way in and the way out."""
    once = sorted((one for one in counted if one["functions"] == 1), key=lambda one: str(one["call"]))
    for call, found in groupby(once, key=lambda one: one["call"]):
        rows: list[Bar] = [
            (
                f"{one['mechanism']} ({one['kernel']})",
                [("c1", one["in"]), ("c3", one["out"])],
                f"{one['in']} in, {one['out']} out",
            )
            for one in sorted(found, key=lambda one: int(one["total"]))
        ]
        yield bars(f"instructions that are added: {call}", rows)


def _cost(one: Mapping[str, Any], ratios: Mapping[tuple[Any, ...], float]) -> dict[str, Any]:
    counts = {key: one.get(key, 0) for key in ("in", "out", "total")}
    ratio = ratios.get(_case(one))
    case = {key: one[key] for key in ("kernel", "mechanism", "call", "functions")}
    return {**case, **counts, "upstream/oddtoc": f"{ratio:.1f}" if ratio else "", "refused": one.get("refused", "")}


def time_section(answer: Mapping[str, Any], name: str) -> Section:
    """How long things took: bars for each kernel, and every figure."""
    measured: Sequence[Mapping[str, Any]] = answer["measurements"]
    pictures = []
    for kernel, found in groupby(measured, key=lambda one: one["kernel"]):
        rows: list[Bar] = [
            (f"{one['mechanism']} {one['what']}".strip(), [("c1", one["seconds"])], _milliseconds(one)) for one in found
        ]
        pictures.append(bars(f"{answer['benchmark']}: {kernel}", rows, about=answer["unit"]))
    rows_of_table = [
        {
            **{key: one[key] for key in ("kernel", "mechanism", "what")},
            "microseconds": round(one["seconds"] * 1e6),
            "worst": round(one["worst"] * 1e6),
            "ratio": f"{one['ratio']:.2f}" if one["ratio"] else "",
        }
        for one in measured
    ]
    return Section(
        title=f"{answer['benchmark']}: {name}",
        about=answer["unit"],
        pictures=pictures,
        tables=[PageTable("times", _TIMES, rows_of_table)],
    )


def _milliseconds(one: Mapping[str, Any]) -> str:
    return f"{one['seconds'] * 1000:,.1f} ms"
