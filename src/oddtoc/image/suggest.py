"""Names that look like a mistyped one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from difflib import get_close_matches


def close_names(name: str, names: Iterable[str], *, count: int = 3) -> list[str]:
    """The names most like `name`, best first, at most `count`.

    difflib takes seconds for all symbols of a kernel, so it only ranks those that share most letter pairs.
    """
    wanted = _pairs(name)
    if not wanted:
        return []
    longest = 2 * len(name) + 4
    scored = (
        (len(wanted & _pairs(other)) * 2 / (len(wanted) + len(other)), other)
        for other in names
        if len(other) <= longest
    )
    likely = [other for score, other in heapq.nlargest(60, scored) if score > 0]
    return get_close_matches(name, likely, n=count, cutoff=0.6)


def _pairs(name: str) -> set[str]:
    return {name[place : place + 2] for place in range(len(name) - 1)}
