"""Whether a word may be an entry's target in a jump table: kernel/place.py's rule, for all functions at once.

An entry is 32 bits: the distance of its target from the start of the table, which stands in .rodata or in the text of
the function. A word counts if a start within reach before it fits, and if the entry at that start leads into the
function too.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.elf import Image
from oddtoc.isa import Addresses, Words
from oddtoc.scan.code import Code, Mask, Places

LONGEST: Final = 64 << 10
"""Bytes; a switch with more than 16,000 cases would be longer."""
_Numbers = npt.NDArray[np.int64]


def in_jump_tables(image: Image, code: Code, starts: Addresses, ends: Addresses, branches: Addresses) -> Mask:
    """For functions with jumps through tables, columns of length (n,): whether a table may lead to `branches`.

    Args:
        image: a linked image.
        code: its instructions.
        starts: the functions' first addresses.
        ends: the first addresses behind them.
        branches: the words in question.
    """
    found = np.zeros(len(starts), np.bool_)
    if not len(starts):
        return found
    rodata = image.section(".rodata")
    if rodata and rodata.has_contents:
        start = -(-rodata.address // 4) * 4
        words = image.words(start, (rodata.end - start) // 4)
        found |= _led_to_from(start, words, starts, ends, branches)
    return found | _led_to_from_own_text(code, starts, ends, branches)


def _led_to_from(start: int, words: Words, starts: Addresses, ends: Addresses, branches: Addresses) -> Mask:
    """Tables anywhere in one area."""
    distances = words.view(np.int32)
    # counted from the area's start: addresses of a kernel fit a signed doubleword then
    base = np.uint64(start)
    wanted, low, high = ((column - base).view(np.int64) for column in (branches, starts, ends))
    # place + distance, which is the target plus how far inside the table the entry is
    reached = np.arange(0, 4 * len(words), 4, dtype=np.int64) + distances
    places = np.flatnonzero((reached >= wanted.min()) & (reached < wanted.max() + LONGEST))
    places = places[np.argsort(reached[places], kind="stable")]
    reached = reached[places]
    first = np.searchsorted(reached, wanted)
    functions, rows = _expanded(first, np.searchsorted(reached, wanted + LONGEST) - first)
    return _confirmed(distances, wanted, low, high, functions, places[rows])


def _led_to_from_own_text(code: Code, starts: Addresses, ends: Addresses, branches: Addresses) -> Mask:
    """Tables between the instructions of the functions themselves."""
    first = code.places(starts)
    functions, places = _expanded(first, ((ends - starts) // np.uint64(4)).astype(np.intp))
    places = np.minimum(places, len(code.words) - 1)
    # counted from the first place of the code, which is right inside one section
    wanted = (first + ((branches - starts) // np.uint64(4)).astype(np.intp)) * 4
    low, high = first * 4, first * 4 + (ends - starts).astype(np.int64)
    distances = code.words.view(np.int32)
    tables = wanted[functions] - distances[places]
    inside = (tables >= low[functions]) & (tables <= places * 4)
    return _confirmed(distances, wanted, low, high, functions[inside], places[inside])


def _confirmed(
    distances: npt.NDArray[np.int32],
    wanted: _Numbers,
    low: _Numbers,
    high: _Numbers,
    functions: Places,
    places: Places,
) -> Mask:
    """Which functions have an entry among the pairs of function and place that is one of a table of theirs."""
    tables = wanted[functions] - distances[places]
    fits = (tables >= 0) & (tables <= places * 4) & (tables % 4 == 0) & (places * 4 - tables < LONGEST)
    functions, tables = functions[fits], tables[fits]
    targets = tables + distances[tables // 4]
    inside = (targets >= low[functions]) & (targets < high[functions])
    found = np.zeros(len(wanted), np.bool_)
    found[functions[inside]] = True
    return found


def _expanded(first: Places, lengths: Places) -> tuple[Places, Places]:
    """Every row's number, and every position from `first` on, `lengths` of them, as two long columns."""
    rows = np.repeat(np.arange(len(first)), lengths)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, np.repeat(first, lengths) + within
