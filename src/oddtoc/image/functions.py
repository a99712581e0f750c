"""The functions of an image as sorted columns, and who owns which bytes.

Bits 5 to 7 of st_other: ELFv2 ABI, 3.4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.layout import Section
from oddtoc.isa import Addresses

LOCAL_OFFSETS: Final = (0, 0, 4, 8, 16, 32, 64)
"""Bytes from the global to the local entry for each value of st_other bits 5 to 7; 7 is reserved."""

Places = npt.NDArray[np.intp]

_LAST: Final = 2**64 - 1
_MOST_NESTED: Final = 8
"""How deep functions may lie inside each other, on average, before memory is worth more than speed."""


@dataclass(frozen=True, slots=True)
class Functions:
    """All functions of an image as columns of equal length (n,), sorted by address; names that share an address follow
    each other.

    Args:
        indices: positions in the symbol table, for `SymbolTable.symbol`.
        starts: global entries.
        local_entries: local entries.
        ends: first addresses behind; a function without a size reaches to the next function of its section.
    """

    indices: npt.NDArray[np.intp]
    starts: Addresses
    local_entries: Addresses
    ends: Addresses


def read_functions(
    indices: npt.NDArray[np.intp], records: npt.NDArray[Any], addresses: Addresses, sections: Sequence[Section]
) -> Functions:
    """Sort functions by address.

    Args:
        indices: the table positions of the functions, shape (n,).
        records: the whole symbol table, in `layout.SYMBOL`.
        addresses: the addresses of all its symbols.
        sections: the sections of the image.
    """
    indices = indices[np.lexsort((indices, addresses[indices]))]
    starts = addresses[indices]
    offsets = np.array((*LOCAL_OFFSETS, 0), np.uint64)
    sizes = records["size"][indices]
    ends = np.where(sizes > 0, starts + sizes, _next_starts(starts, records["shndx"][indices], sections))
    return Functions(indices, starts, starts + offsets[records["other"][indices] >> 5], ends)


def function_extents(functions: Functions, records: npt.NDArray[Any]) -> tuple[Addresses, npt.NDArray[np.intp]]:
    """Address 0 and the edges of all functions, sorted, and whose bytes begin at each: a table position, or -1."""
    edges = np.sort(np.concatenate((np.zeros(1, np.uint64), functions.starts, functions.ends)))
    owners = np.full(len(edges), -1, np.intp)
    # Those without a size first, then outer ones: inner ones and, at the same place, global names paint over them.
    is_local = records["info"][functions.indices] >> 4 == 0
    is_unsized = records["size"][functions.indices] == 0
    order = np.lexsort((~is_local, ~functions.ends, functions.starts, ~is_unsized))
    first = np.searchsorted(edges, functions.starts)[order]
    last = np.searchsorted(edges, functions.ends)[order]
    _paint(owners, first, last, functions.indices[order])
    return edges, owners


def _paint(owners: npt.NDArray[np.intp], first: Places, last: Places, values: Places) -> None:
    """Give the places from `first` to `last` of each row its value, in the order of the rows."""
    lengths = last - first
    total = int(lengths.sum())
    if total > _MOST_NESTED * len(owners):
        for start, end, value in zip(first.tolist(), last.tolist(), values.tolist(), strict=True):
            owners[start:end] = value
        return
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    # of several values for one place the last one stays
    owners[np.repeat(first, lengths) + within] = np.repeat(values, lengths)


def _next_starts(starts: Addresses, section_indices: npt.NDArray[Any], sections: Sequence[Section]) -> Addresses:
    """The end of every function as if none had a size: the next function, or the end of its section."""
    section_ends = np.array([min(section.end, _LAST) for section in sections] or [0], np.uint64)
    limits: Addresses = section_ends[np.minimum(section_indices, len(section_ends) - 1)]
    padded = np.append(starts, np.uint64(_LAST))
    following = padded[np.searchsorted(starts, starts, side="right")]
    ends: Addresses = np.maximum(np.minimum(following, limits), starts)
    return ends
