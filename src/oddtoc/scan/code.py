"""The instructions of an image as one array, and where its direct branches go.

All executable sections stand one behind the other; a *place* is a position in that array. Everything is worked out for
all words at once: a kernel has five million.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oddtoc.image.elf import Image
from oddtoc.image.relocated import Relocated, relocated_branches
from oddtoc.isa import Addresses, Words

Places = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

OUTSIDE = -1
"""The place of an address that is no instruction of the image."""

# opcodes 16 (bc) and 18 (b) differ in one bit; AA is clear: the branch is relative
_DIRECT_MASK, _DIRECT = 0xF4000002, 0x40000000
_UNCONDITIONAL = 0x08000000


class Code:
    """The instructions of an image.

    Args:
        image: where they are from.

    Attributes:
        words: all of them, shape (n,).
        sections: names of the executable sections, k of them.
        bases: their addresses, shape (k,).
        edges: the place of each one's first word, and n, shape (k + 1,).
    """

    def __init__(self, image: Image) -> None:
        texts = [text for text in image.text() if len(text.words)]
        self.sections = tuple(text.name for text in texts)
        self.bases: Addresses = np.array([text.address for text in texts], np.uint64)
        self.edges: Places = np.cumsum([0, *(len(text.words) for text in texts)], dtype=np.intp)
        parts = [text.words for text in texts] or [np.empty(0, np.uint32)]
        self.words: Words = np.concatenate(parts)

    def section_of(self, places: Places) -> Places:
        """The number of the section that each place is in."""
        return np.searchsorted(self.edges, places, side="right") - 1

    def addresses(self, places: Places) -> Addresses:
        """The addresses of places."""
        if not len(self.bases):
            return np.zeros(len(places), np.uint64)
        sections = self.section_of(places)
        return self.bases[sections] + (places - self.edges[sections]).astype(np.uint64) * np.uint64(4)

    def places(self, addresses: Addresses) -> Places:
        """The places of addresses, OUTSIDE for those that are no instruction."""
        found = np.full(len(addresses), OUTSIDE, np.intp)
        for base, first, last in zip(self.bases, self.edges, self.edges[1:], strict=False):
            distance = addresses - base
            inside = (distance < np.uint64((last - first) * 4)) & (distance & np.uint64(3) == 0)
            found[inside] = (distance[inside] >> np.uint64(2)).astype(np.intp) + first
        return found

    def word_behind(self, places: Places, distance: int = 1) -> Words:
        """The words some places behind (or before) the given ones; 0 beyond the ends."""
        wanted = places + distance
        inside = (wanted >= 0) & (wanted < len(self.words))
        found: Words = np.where(inside, self.words[np.where(inside, wanted, 0)] if len(self.words) else 0, 0)
        return found.astype(np.uint32)


class Branches(NamedTuple):
    """All direct relative branches as columns of equal length (m,), in the order of the text.

    `targets` are places, OUTSIDE where the branch leaves the image's text; `is_outside` is true for those that go to
    another object by relocation.
    """

    places: Places
    targets: Places
    links: Mask
    conditional: Mask
    is_outside: Mask


def read_branches(image: Image, code: Code) -> Branches:
    """The direct branches of an image; in an object before linking, where relocations will send them."""
    places = np.flatnonzero((code.words & np.uint32(_DIRECT_MASK)) == _DIRECT)
    words = code.words[places]
    conditional = (words & np.uint32(_UNCONDITIONAL)) == 0
    far = (words << np.uint32(6)).view(np.int32) >> 8
    near = (words << np.uint32(16)).view(np.int32) >> 18
    distance = np.where(conditional, near, far)
    targets = _resolved(code, places, distance)
    is_outside = np.zeros(len(places), np.bool_)
    if image.is_relocatable:
        _relocate(code, places, targets, is_outside, relocated_branches(image))
    return Branches(places, targets, (words & np.uint32(1)).astype(np.bool_), conditional, is_outside)


def _resolved(code: Code, places: Places, distance: npt.NDArray[np.int32]) -> Places:
    """Where branches go, section by section: most stay in theirs."""
    targets = places + distance
    bounds = np.searchsorted(places, code.edges)
    for number, (first, last) in enumerate(pairwise(bounds)):
        part = targets[first:last]
        leaves = np.flatnonzero((part < code.edges[number]) | (part >= code.edges[number + 1]))
        if len(leaves):
            offset = (part[leaves] - code.edges[number]).astype(np.int64) * 4
            part[leaves] = code.places(code.bases[number] + offset.astype(np.uint64))
    return targets


def _relocate(code: Code, places: Places, targets: Places, is_outside: Mask, relocated: Relocated) -> None:
    """Let relocations decide where the branches go that have one."""
    rows = np.searchsorted(places, code.places(relocated.places))
    known = rows < len(places)
    known[known] = places[rows[known]] == code.places(relocated.places)[known]
    rows = rows[known]
    targets[rows] = np.where(relocated.is_outside[known], OUTSIDE, code.places(relocated.targets[known]))
    is_outside[rows] = relocated.is_outside[known]
