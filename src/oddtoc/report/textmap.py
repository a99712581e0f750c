"""A map of an image's text: where functions can be redirected, where sibling calls lead, and where there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

_BINS: Final = 240
_WIDTH, _HEIGHT, _LEFT, _TOP = 960, 110, 4, 16


def text_map(
    functions: Sequence[Mapping[str, Any]],
    room: Sequence[Mapping[str, Any]],
    image: str,
    applied: Sequence[Mapping[str, Any]] = (),
) -> str:
    """A picture of one image, as HTML: a bar for each piece of the text, its height the share of bytes.

    Args:
        functions: rows of that image, with addresses as texts.
        room: rows of that image.
        image: its name, for those who do not see the picture.
        applied: patches as `oddtoc status` prints them: their payloads, and lines from the functions to them.
    """
    placed = [(int(row["address"], 16), max(row["size"], 4), row) for row in functions if row["address"]]
    if not placed:
        return ""
    low, high = min(start for start, _, _ in placed), max(start + size for start, size, _ in placed)
    step = max((high - low) / _BINS, 1)
    good, bad, siblings = (np.zeros(_BINS) for _ in range(3))
    for start, size, row in placed:
        place = min(int((start - low) / step), _BINS - 1)
        (good if row["obstacle"] == "none" else bad)[place] += size
        siblings[place] += row["siblings_in"]
    parts = [*_bars(good, bad, step), _line(siblings), *_rooms(room, low, high), *_payloads(applied, low, high)]
    label = escape(f"Map of {image}: {_words(good, bad, siblings)}", quote=True)
    return (
        f'<h3>text of {escape(image)}</h3><div class="map"><svg viewBox="0 0 {_WIDTH + 2 * _LEFT} {_HEIGHT + 40}" '
        f'role="img" aria-label="{label}">{"".join(parts)}'
        f'<text x="{_LEFT}" y="{_TOP + _HEIGHT + 16}">{low:#x}</text>'
        f'<text x="{_LEFT + _WIDTH}" y="{_TOP + _HEIGHT + 16}" text-anchor="end">{high:#x}</text></svg></div>'
        '<ul class="legend"><li><span class="good"></span>can be redirected</li>'
        '<li><span class="bad"></span>can\'t be redirected</li>'
        '<li><span class="sibling"></span>sibling calls that lead there</li>'
        '<li><span class="room"></span>holes</li>'
        + ('<li><span class="payload"></span>payloads, and the functions that lead there</li>' if applied else "")
        + "</ul>"
    )


def _bars(good: np.ndarray[Any, Any], bad: np.ndarray[Any, Any], step: float) -> list[str]:
    wide = _WIDTH / _BINS
    base = _TOP + _HEIGHT
    parts = [f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}"/>']
    for place in range(_BINS):
        # a function that is longer than its piece counts where it begins
        whole = max(step, good[place] + bad[place])
        heights = (good[place] / whole * _HEIGHT, bad[place] / whole * _HEIGHT)
        for name, height, y in zip(("good", "bad"), heights, (base - heights[0], base - sum(heights)), strict=True):
            if height >= 0.1:
                x = _LEFT + place * wide
                parts.append(f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{height:.1f}"/>')
    return parts


def _line(siblings: np.ndarray[Any, Any]) -> str:
    most = max(siblings.max(), 1)
    wide = _WIDTH / _BINS
    points = " ".join(
        f"{_LEFT + (place + 0.5) * wide:.1f},{_TOP + _HEIGHT * (1 - count / most):.1f}"
        for place, count in enumerate(siblings)
    )
    return f'<polyline class="sibling" points="{points}"/>'


def _rooms(room: Sequence[Mapping[str, Any]], low: int, high: int) -> list[str]:
    parts = []
    for row in room:
        start, end = int(row["start"], 16), int(row["end"], 16)
        if row["use"] == "hole" and low <= start < high:
            x = _LEFT + (start - low) / (high - low) * _WIDTH
            wide = max((end - start) / (high - low) * _WIDTH, 2)
            parts.append(f'<rect class="room" x="{x:.1f}" y="{_TOP - 8}" width="{wide:.1f}" height="7"/>')
    return parts


def _payloads(applied: Sequence[Mapping[str, Any]], low: int, high: int) -> list[str]:
    """Where payloads lie, and an arc from each function to the place that its branch leads to."""

    def across(address: str) -> float:
        return _LEFT + (int(address, 16) - low) / (high - low) * _WIDTH

    spans = [span for patch in applied for span in patch["payload"] if low <= int(span["address"], 16) < high]
    parts = [
        f'<rect class="payload" x="{across(span["address"]) - 1.5:.1f}" y="{_TOP}" width="3" height="{_HEIGHT}"/>'
        for span in spans
    ]
    base = _TOP + _HEIGHT
    for patch in applied:
        for function in patch["functions"]:
            start, end = across(function["branch_at"]), across(function["branch_to"])
            title = escape(f"{function['name']}, by {patch['patch']}")
            path = f"M{start:.1f} {base} Q{(start + end) / 2:.1f} {_TOP + _HEIGHT / 3:.0f} {end:.1f} {base}"
            parts.append(f'<path class="leads" d="{path}"><title>{title}</title></path>')
    return parts


def _words(good: np.ndarray[Any, Any], bad: np.ndarray[Any, Any], siblings: np.ndarray[Any, Any]) -> str:
    share = good.sum() / max(good.sum() + bad.sum(), 1)
    return f"{share:.0%} of the bytes are in functions that can be redirected; {int(siblings.sum()):,} sibling calls"
