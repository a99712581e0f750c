"""The laboratory's matrix, for readers and for programs."""

from __future__ import annotations

import json
import textwrap

from oddtoc.lab.outcome import Cell, Outcome
from oddtoc.lab.run import Matrix
from oddtoc.lab.scenarios import SCENARIOS

_SHORT = {
    Outcome.OK: ".",
    Outcome.WRONG_R2: "r2",
    Outcome.WRONG_RETURN: "ret",
    Outcome.LOST_ARGUMENT: "arg",
    Outcome.LOST_REGISTER: "reg",
    Outcome.BROKEN_FRAME: "frm",
    Outcome.CRASH: "die",
    Outcome.REFUSED: "-",
}
_WIDE = 6
"""A table of more mechanisms than this numbers its columns and shortens the verdicts."""


def matrix_as_text(matrix: Matrix) -> str:
    """A row for each scenario, a column for each mechanism; then every verdict that is not ok, in words."""
    wide = len(matrix.mechanisms) > _WIDE
    lines = _short_table(matrix) if wide else _long_table(matrix)
    return "\n".join([*lines, "", *_explanations(matrix), "", _summary(matrix)])


def matrix_as_json(matrix: Matrix) -> str:
    """An object: `mechanisms` and `scenarios` (names, in order, the latter with a summary), `cells` (a list)."""
    return json.dumps(
        {
            "mechanisms": list(matrix.mechanisms),
            "scenarios": [{"name": name, "summary": SCENARIOS[name].summary} for name in matrix.scenarios],
            "cells": [_cell_record(cell) for cell in _in_order(matrix)],
        },
        indent=2,
    )


def _cell_record(cell: Cell) -> dict[str, str | int]:
    return {
        "mechanism": cell.mechanism,
        "scenario": cell.scenario,
        "outcome": cell.outcome.value,
        "detail": cell.detail,
        "calls": cell.calls,
    }


def _in_order(matrix: Matrix) -> list[Cell]:
    return [matrix.cells[mechanism, scenario] for mechanism in matrix.mechanisms for scenario in matrix.scenarios]


def _long_table(matrix: Matrix) -> list[str]:
    rows = [["", *matrix.mechanisms]]
    rows += [[s, *(matrix.cells[m, s].outcome.value for m in matrix.mechanisms)] for s in matrix.scenarios]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short_table(matrix: Matrix) -> list[str]:
    left = max(map(len, matrix.scenarios))
    numbers = [str(number) for number in range(1, len(matrix.mechanisms) + 1)]
    legend = [f"{number:>3}  {name:<29}" for number, name in zip(numbers, matrix.mechanisms, strict=True)]
    lines = ["".join(legend[start : start + 3]).rstrip() for start in range(0, len(legend), 3)]
    lines += ["", " " * left + _row(numbers)]
    for scenario in matrix.scenarios:
        verdicts = [_SHORT[matrix.cells[mechanism, scenario].outcome] for mechanism in matrix.mechanisms]
        lines.append(f"{scenario:<{left}}{_row(verdicts)}")
    used = {cell.outcome for cell in matrix.cells.values()}
    return [*lines, "", "   ".join(f"{_SHORT[outcome]} {outcome.value}" for outcome in Outcome if outcome in used)]


def _row(texts: list[str]) -> str:
    return "".join(f"{text:>4}" for text in texts)


def _explanations(matrix: Matrix) -> list[str]:
    """For each scenario that some mechanism does not pass: what it is, who came to what, and the first one's trace."""
    lines = []
    for scenario in matrix.scenarios:
        found: dict[Outcome, list[Cell]] = {}
        for mechanism in matrix.mechanisms:
            cell = matrix.cells[mechanism, scenario]
            if cell.outcome is not Outcome.OK:
                found.setdefault(cell.outcome, []).append(cell)
        if found:
            lines.append(f"{scenario}: {SCENARIOS[scenario].summary}")
        for outcome, cells in found.items():
            everyone = len(cells) == len(matrix.mechanisms) > 1
            who = "every mechanism" if everyone else ", ".join(cell.mechanism for cell in cells)
            lines += textwrap.wrap(f"{outcome.value}: {who}", 110, initial_indent="  ", subsequent_indent="    ",
                                   break_on_hyphens=False)  # fmt: skip
            lines.append(f"    {cells[0].detail}")
    return lines


def _summary(matrix: Matrix) -> str:
    counts = {outcome: sum(cell.outcome is outcome for cell in matrix.cells.values()) for outcome in Outcome}
    verdicts = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    calls = sum(cell.calls for cell in matrix.cells.values())
    clean = [m for m in matrix.mechanisms if all(_holds(matrix.cells[m, s]) for s in matrix.scenarios)]
    return (
        f"{len(matrix.cells)} cells: {verdicts}; {calls:,} patched calls\nok throughout: {', '.join(clean) or 'none'}"
    )


def _holds(cell: Cell) -> bool:
    return cell.outcome in (Outcome.OK, Outcome.REFUSED)
