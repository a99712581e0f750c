"""What two scans have in common, and what changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from oddtoc.scan.image import ImageScan
from oddtoc.scan.run import Scan
from oddtoc.scan.table import Column, Table, joined, labels, texts

STATES: Final = ("same", "changed", "only in A", "only in B")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two scans side by side.

    Args:
        only_a: images that only the first one has.
        only_b: images that only the second one has.
        table: the functions of all images that both have.
    """

    only_a: list[str]
    only_b: list[str]
    table: Table


def compare(first: Scan, second: Scan) -> Comparison:
    """Compare the images of two scans that were run with digests.

    Images belong together by name: modules by theirs whatever the folder, kernels as such, everything else by the name
    of the file. One image on either side is compared whatever the names.
    """
    sides = _by_name(first.scans), _by_name(second.scans)
    if all(len(side) == 1 for side in sides):
        (a,), (b,) = (side.values() for side in sides)
        return Comparison([], [], _compared(_short(b), a, b))
    shared = [name for name in sides[0] if name in sides[1]]
    tables = [_compared(name, sides[0][name], sides[1][name]) for name in shared]
    return Comparison(
        [scan.image for name, scan in sides[0].items() if name not in sides[1]],
        [scan.image for name, scan in sides[1].items() if name not in sides[0]],
        joined("comparison", tables),
    )


def _by_name(scans: Iterable[ImageScan]) -> dict[str, ImageScan]:
    return {_short(scan): scan for scan in scans}


def _short(scan: ImageScan) -> str:
    if scan.figures["kind"] == "kernel":
        return "kernel"
    name = PurePath(scan.image.rpartition(":")[2]).name
    return name.partition(".ko")[0].replace("-", "_") if scan.figures["kind"] == "module" else name


_Row = tuple[int, int]
"""The row of a function in the first and in the second table, -1 for none."""


def _compared(name: str, a: ImageScan, b: ImageScan) -> Table:
    digests = _digests(a), _digests(b)
    pairs = _paired(a.functions.plain("function"), b.functions.plain("function"), *digests)
    left, right = np.array(pairs, np.intp).reshape(-1, 2).T
    names = np.where(left >= 0, _taken(a, "function", left), _taken(b, "function", right))
    equal = (left >= 0) & (right >= 0) & (digests[0][left] == digests[1][right]) if len(left) else left >= 0
    codes = np.where(right < 0, 2, np.where(left < 0, 3, np.where(equal, 0, 1)))
    columns: dict[str, Column] = {
        "image": labels([name] * len(pairs)),
        "function": texts(names.tolist()),
        "state": labels([STATES[code] for code in codes.tolist()]),
        "size_a": np.where(left >= 0, _taken(a, "size", left), 0).astype(np.int64),
        "size_b": np.where(right >= 0, _taken(b, "size", right), 0).astype(np.int64),
        "obstacle_a": labels(_obstacles(a, left)),
        "obstacle_b": labels(_obstacles(b, right)),
    }
    return Table("comparison", columns)


def _digests(scan: ImageScan) -> np.ndarray[Any, np.dtype[np.uint64]]:
    # one more, for rows that are not there
    found = scan.digests if scan.digests is not None else np.zeros(len(scan.functions), np.uint64)
    return np.append(found, np.uint64(0))


def _taken(scan: ImageScan, column: str, rows: np.ndarray[Any, np.dtype[np.intp]]) -> np.ndarray[Any, Any]:
    values = scan.functions.numbers(column)
    taken: np.ndarray[Any, Any] = np.append(values, [values.dtype.type() if values.dtype != object else ""])[rows]
    return taken


def _obstacles(scan: ImageScan, rows: np.ndarray[Any, np.dtype[np.intp]]) -> list[str]:
    reasons = [*scan.functions.plain("obstacle"), ""]
    return [reasons[row] for row in rows.tolist()]


def _paired(
    names_a: list[str], names_b: list[str], digests_a: np.ndarray[Any, Any], digests_b: np.ndarray[Any, Any]
) -> list[_Row]:
    """Functions of the same name, equal ones first, the rest in the order in which they stand."""
    rows_b: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names_b):
        rows_b[name].append(row)
    rows_a: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names_a):
        rows_a[name].append(row)
    pairs: list[_Row] = []
    for name, left in rows_a.items():
        right = rows_b.pop(name, [])
        if len(left) == len(right) == 1:
            pairs.append((left[0], right[0]))
        else:
            pairs += _matched(left, right, digests_a, digests_b)
    return pairs + [(-1, row) for rows in rows_b.values() for row in rows]


def _matched(
    left: list[int], right: list[int], digests_a: np.ndarray[Any, Any], digests_b: np.ndarray[Any, Any]
) -> list[_Row]:
    open_: dict[int, list[int]] = defaultdict(list)
    for row in reversed(right):
        open_[int(digests_b[row])].append(row)
    found = {row: open_[digest].pop() for row in left if open_.get(digest := int(digests_a[row]))}
    rest = iter(sorted(set(right) - set(found.values())))
    pairs = [(row, found[row] if row in found else next(rest, -1)) for row in left]
    return pairs + [(-1, row) for row in rest]
