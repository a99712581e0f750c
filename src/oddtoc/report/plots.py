"""Plots as SVG in a page: bars that lie, and lines. Numbers stand beside the colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from math import ceil, log10
from typing import Final

_WIDTH, _ROW, _LABEL, _FIGURE = 960, 22, 330, 90
_HEIGHT, _LEFT, _BOTTOM = 300, 56, 40
_COLOURS: Final = 6
"""The page has so many colours for lines: c0 to c5."""

Bar = tuple[str, Sequence[tuple[str, float]], str]
"""A label, the parts of the bar as (class of its colour, length), and the figure as a text."""


def bars(title: str, rows: Sequence[Bar], *, about: str = "") -> str:
    """Bars, one below the other.

    Args:
        title: what stands above.
        rows: the bars.
        about: what the lengths mean.
    """
    lengths = [sum(length for _, length in parts) for _, parts, _ in rows]
    most = max([*lengths, 1e-9])
    pieces: list[str] = []
    for number, ((label, parts, figure), length) in enumerate(zip(rows, lengths, strict=True)):
        y = number * _ROW
        whole = sum(part for _, part in parts) or 1
        pieces.append(f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>')
        x = float(_LABEL)
        for name, part in ((name, part) for name, part in parts if part):
            wide = length / most * (_WIDTH - _LABEL - _FIGURE) * part / whole
            pieces.append(f'<rect class="{name}" x="{x:.1f}" y="{y + 3}" width="{max(wide, 1):.1f}" height="16"/>')
            x += wide
        pieces.append(f'<text class="figure" x="{x + 6:.1f}" y="{y + 15}">{escape(figure)}</text>')
    words = "; ".join(f"{label}: {figure}" for label, _, figure in rows)
    return _picture(title, about, len(rows) * _ROW + 4, words, pieces)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, across: str, about: str = "") -> str:
    """Lines over a common axis; each ends with its name and last value.

    Args:
        title: what stands above.
        series: name -> points, from left to right.
        across: what the numbers below are.
        about: what the heights mean.
    """
    points = [point for line in series.values() for point in line]
    high = max(y for _, y in points)
    step = 10 ** ceil(log10(max(high, 1) / 10))
    top = max(ceil(high / step), 1) * step
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    wide, tall = _WIDTH - _LEFT - 260, _HEIGHT - _BOTTOM - 10

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (x - left) / ((right - left) or 1) * wide, 10 + tall * (1 - y / top)

    pieces = [*_grid(int(top), int(step), place, left, right)]
    pieces += [
        f'<text x="{place(x, 0)[0]:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{x:g}</text>'
        for x in sorted({x for x, _ in points})
    ]
    pieces.append(f'<text x="{_LEFT + wide / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    free = float(_HEIGHT)
    for number, (name, line) in sorted(enumerate(series.items()), key=lambda one: one[1][1][-1][1]):
        drawn = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in line)
        x, y = place(*line[-1])
        free = min(y + 4, free - 15)
        pieces.append(f'<polyline class="line c{number % _COLOURS}" points="{drawn}"/>')
        pieces.append(
            f'<text class="c{number % _COLOURS}" x="{x + 8:.1f}" y="{free:.1f}">{escape(name)} {line[-1][1]:g}</text>'
        )
    told = "; ".join(f"{name}: {', '.join(f'{x:g}: {y:g}' for x, y in line)}" for name, line in series.items())
    return _picture(title, about, _HEIGHT, told, pieces)


def _grid(
    top: int, step: int, place: Callable[[float, float], tuple[float, float]], left: float, right: float
) -> Iterator[str]:
    for value in range(0, top + 1, step):
        (x, y), (end, _) = place(left, value), place(right, value)
        yield f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'


def _picture(title: str, about: str, height: int, words: str, pieces: Sequence[str]) -> str:
    label = escape(f"{title}: {words}", quote=True)
    remark = f'<p class="about">{escape(about)}</p>' if about else ""
    return (
        f'<h3>{escape(title)}</h3>{remark}<div class="plot"><svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{label}">{"".join(pieces)}</svg></div>'
    )
