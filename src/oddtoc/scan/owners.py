"""Which function every instruction belongs to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from oddtoc.image.symbols import SymbolTable
from oddtoc.isa import Addresses
from oddtoc.scan.code import Code, Places

NOBODY = -1


class Owners:
    """The function of every word of an image's code.

    Functions are numbered by their global entries; names that share one share the number.

    Args:
        code: the instructions.
        symbols: the image's symbols.

    Attributes:
        starts: the global entries, sorted, shape (k,).
        of_place: the number of the function that each word belongs to, NOBODY for none, shape (n,).
    """

    def __init__(self, code: Code, symbols: SymbolTable) -> None:
        edges, owners = symbols.extents
        self.starts: Addresses = _unique(symbols.functions().starts)
        numbers = np.where(owners >= 0, self.numbers(symbols.start_of(np.maximum(owners, 0))), NOBODY)
        parts = [
            _spread(edges, numbers.astype(np.int32), int(base), int(count))
            for base, count in zip(code.bases, np.diff(code.edges), strict=True)
        ]
        self.of_place: npt.NDArray[np.int32] = np.concatenate([np.empty(0, np.int32), *parts])
        self._names = _first_names(symbols, self.starts)

    def numbers(self, starts: Addresses) -> Places:
        """The numbers of the functions with the given global entries."""
        return np.searchsorted(self.starts, starts)

    def at(self, places: Places) -> npt.NDArray[np.int32]:
        """The numbers of the functions at places; NOBODY for places that are no instruction."""
        if not len(self.of_place):
            return np.full(len(places), NOBODY, np.int32)
        return np.where(places >= 0, self.of_place[places], np.int32(NOBODY))

    def count(self, places: Places) -> npt.NDArray[np.intp]:
        """How many of the given places each function has, shape (k,)."""
        numbers = self.at(places)
        return np.bincount(numbers[numbers >= 0], minlength=len(self.starts))

    def names(self, numbers: npt.NDArray[np.int32]) -> list[str]:
        """The names of functions, empty for NOBODY."""
        known = numbers >= 0
        found = iter(self._symbols_names(numbers[known]))
        return [next(found) if one else "" for one in known.tolist()]

    def _symbols_names(self, numbers: npt.NDArray[np.int32]) -> list[str]:
        symbols, positions = self._names
        return symbols.names(positions[numbers])


def _spread(edges: Addresses, numbers: npt.NDArray[np.int32], base: int, count: int) -> npt.NDArray[np.int32]:
    """One section: who owns each of its `count` words."""
    first = int(np.searchsorted(edges, np.uint64(base), "right")) - 1
    last = int(np.searchsorted(edges, np.uint64(base + 4 * count), "left"))
    # a word belongs to whom its first byte belongs to
    places = np.minimum((np.maximum(edges[first:last], np.uint64(base)) - np.uint64(base) + np.uint64(3)) // 4, count)
    bounds: Places = np.append(places, np.uint64(count)).astype(np.intp)
    return np.repeat(numbers[first:last], bounds[1:] - bounds[:-1])


def _unique(ordered: Addresses) -> Addresses:
    """Each value of a sorted array once."""
    return ordered[np.insert(ordered[1:] != ordered[:-1], 0, True)] if len(ordered) else ordered


def _first_names(symbols: SymbolTable, starts: Addresses) -> tuple[SymbolTable, npt.NDArray[np.intp]]:
    """For each global entry the position of one of its symbols."""
    functions = symbols.functions()
    return symbols, functions.indices[np.searchsorted(functions.starts, starts)]
