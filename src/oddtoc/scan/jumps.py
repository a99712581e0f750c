"""Jumps from one function into another, and branches through the count register, of a whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.functions import Functions
from oddtoc.isa import TOC_RELOAD, Words
from oddtoc.scan.code import OUTSIDE, Branches, Code, Mask, Places
from oddtoc.scan.owners import Owners

TO: Final = ("local", "global", "middle", "outside", "pointer", "table", "stub")
LOCAL, GLOBAL, MIDDLE, OUT, POINTER, TABLE, STUB = range(7)

# bcctr and bcctrl with any condition; without bit 2 of BO it is no branch (kernels flush the count cache with that)
_COUNT_MASK, _COUNT = 0xFC8007FE, 0x4C800420
_MTCTR_MASK, _MTCTR = 0xFC1FFFFF, 0x7C0903A6
_WINDOW: Final = 24
"""How many words before a bctr its mtctr is looked for."""
_R12 = 12


@dataclass(frozen=True, slots=True)
class SiblingCalls:
    """Jumps from inside a function into another one, columns of equal length (n,).

    Args:
        places: of the branches.
        targets: places, OUTSIDE for those that go to another object.
        conditional: whether it is a bc.
        to: codes of TO.
    """

    places: Places
    targets: Places
    conditional: Mask
    to: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CountJumps:
    """Jumps and calls through the count register.

    Args:
        jumps: places of bctr, shape (j,).
        to: codes of TO for them: pointer, table or stub.
        calls: places of bctrl, shape (c,).
        reloads: whether ld r2,24(r1) stands behind each call, shape (c,).
    """

    jumps: Places
    to: npt.NDArray[np.uint8]
    calls: Places
    reloads: Mask


def sibling_calls(code: Code, branches: Branches, owners: Owners, functions: Functions) -> SiblingCalls:
    """All direct jumps that lead out of their function, conditional ones too."""
    jumps = np.flatnonzero(~branches.links)
    sources, targets = owners.at(branches.places[jumps]), owners.at(branches.targets[jumps])
    leaves = (sources >= 0) & (targets >= 0) & (sources != targets)
    leaves |= (sources >= 0) & branches.is_outside[jumps]
    jumps = jumps[leaves]
    targets = branches.targets[jumps]
    is_local, is_global = _entry_places(code, functions)
    to = np.full(len(jumps), MIDDLE, np.uint8)
    to[np.isin(targets, is_global)] = GLOBAL
    to[np.isin(targets, is_local)] = LOCAL
    to[targets == OUTSIDE] = OUT
    return SiblingCalls(branches.places[jumps], targets, branches.conditional[jumps], to)


def _entry_places(code: Code, functions: Functions) -> tuple[Places, Places]:
    has_two = functions.local_entries != functions.starts
    found = code.places(functions.local_entries[has_two]), code.places(functions.starts)
    local, both = (places[places != OUTSIDE] for places in found)
    return local, both


def count_jumps(code: Code) -> CountJumps:
    """All jumps and calls through the count register."""
    places = np.flatnonzero((code.words & np.uint32(_COUNT_MASK)) == _COUNT)
    is_call = (code.words[places] & np.uint32(1)).astype(np.bool_)
    jumps, calls = places[~is_call], places[is_call]
    return CountJumps(jumps, _kinds(code, jumps), calls, code.word_behind(calls) == TOC_RELOAD)


def _kinds(code: Code, jumps: Places) -> npt.NDArray[np.uint8]:
    """What bctr are for.

    A call through a pointer has the callee's global entry in r12 (ELFv2 ABI, 2.3.2.1); a jump table's addresses wait
    in any other register. Call stubs load r12 relative to r2, right before the mtctr (ELFv2 ABI, 3.5.3).
    """
    kinds = np.full(len(jumps), TABLE, np.uint8)
    open_ = np.ones(len(jumps), np.bool_)
    for distance in range(1, _WINDOW + 1):
        word = code.word_behind(jumps, -distance)
        moves = open_ & ((word & np.uint32(_MTCTR_MASK)) == _MTCTR)
        through_r12 = moves & ((word >> np.uint32(21)) & np.uint32(31) == _R12)
        kinds[through_r12] = POINTER
        if distance == 1:
            kinds[through_r12 & _is_stub(code.word_behind(jumps, -3), code.word_behind(jumps, -2))] = STUB
        open_ &= ~moves
    return kinds


def _is_stub(first: Words, second: Words) -> Mask:
    """Whether two words make r12 from r2: ld r12,x(r2), or addis r12 (or r11),r2 and behind it ld or addi r12."""
    high, low = first >> np.uint32(16), second >> np.uint32(16)
    is_load = (low >> np.uint32(5) == (58 << 5 | _R12)) & (second & np.uint32(3) == 0)
    is_add = low >> np.uint32(5) == (14 << 5 | _R12)
    base = low & np.uint32(31)
    is_far = np.isin(base, (11, 12)) & (high == ((15 << 10 | 2) + (base << np.uint32(5))))
    found: Mask = (is_load & ((base == 2) | is_far)) | (is_add & is_far)
    return found
