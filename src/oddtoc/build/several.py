"""Files compiled several at a time: as many as there are processors, or a share of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Processors:
    """How many of them this process uses."""

    used = os.cpu_count() or 1


def share_processors(processes: int) -> None:
    """Use no more than a share of the processors: so many processes compile, and too many at once are slower."""
    _Processors.used = max(1, (os.cpu_count() or 1) // processes)


def for_each(items: Sequence[_Item], do: Callable[[_Item], _Result]) -> list[_Result]:
    """What a function gives for each of some items, in their order; the first error of one of them is raised."""
    with ThreadPoolExecutor(_Processors.used) as pool:
        return list(pool.map(do, items))
