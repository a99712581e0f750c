"""Who branches where: all direct branches of an image, sibling calls, indirect jumps and calls.

Everything here looks at whole text sections at once; a kernel has 5 million words. Data inside the text is taken for
instructions, which can only add branch targets.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from oddtoc.errors import ImageError
from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.isa import BCTR, BCTRL, TOC_RELOAD, Addresses, branch_targets, is_link


class Branches(NamedTuple):
    """Direct branches as columns of equal length (n,)."""

    sources: Addresses
    targets: Addresses
    links: npt.NDArray[np.bool_]


class SiblingCalls(NamedTuple):
    """Direct jumps from inside a function to an entry of another one, as columns of equal length (n,).

    `to_local` is true where the target is a local entry behind a TOC set-up, false where it is a global entry, also
    that of a function without another.
    """

    sources: Addresses
    targets: Addresses
    to_local: npt.NDArray[np.bool_]


class IndirectCalls(NamedTuple):
    """Every `bctrl`, and whether the word behind it is `ld r2,24(r1)`; columns of equal length (n,)."""

    addresses: Addresses
    reloads_toc: npt.NDArray[np.bool_]


class Flow:
    """The branches of one image.

    Raises:
        ImageError: the image is an object before linking, whose branches have no targets yet.
    """

    def __init__(self, image: Image) -> None:
        if image.is_relocatable:
            raise ImageError(
                f"{image.path} is not linked yet: its branches have no targets", advice="give the linked image"
            )
        self._symbols = image.symbols
        self._texts = image.text()

    @cached_property
    def branches(self) -> Branches:
        """All direct relative branches (b, bl, bc, bcl), sorted by target."""
        parts = []
        for _, start, words in self._texts:
            places, targets = branch_targets(start, words)
            parts.append(Branches(np.uint64(start) + places.astype(np.uint64) * 4, targets, is_link(words[places])))
        if not parts:
            return Branches(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.bool_))
        sources, targets, links = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(targets, kind="stable")
        return Branches(sources[order], targets[order], links[order])

    def branches_to(self, address: int) -> Branches:
        """The direct branches to exactly this address."""
        first, last = (
            int(np.searchsorted(self.branches.targets, np.uint64(address), side)) for side in ("left", "right")
        )
        sources, targets, links = self.branches
        return Branches(sources[first:last], targets[first:last], links[first:last])

    def is_branch_target(self, address: int) -> bool:
        """Whether any direct branch of the image, from anywhere, goes to this address."""
        return len(self.branches_to(address).sources) > 0

    def is_jumped_to(self, symbol: Symbol, address: int) -> bool:
        """Whether a word of a function is reached by a direct branch other than a call of the function.

        Calls (`bl`) from outside to one of its entries do not count, everything else does: loops back to the entry,
        calls from inside, sibling calls.
        """
        branches = self.branches_to(address)
        inside = (branches.sources >= symbol.address) & (branches.sources < symbol.address + symbol.size)
        is_call = branches.links & ~inside & (address in (symbol.address, symbol.local_entry))
        return not bool(np.all(is_call))

    def has_jump_table(self, symbol: Symbol) -> bool:
        """Whether there is a plain `bctr` in the function: a jump table, or a sibling call through a pointer."""
        for _, start, words in self._texts:
            first, last = (max(0, edge - start) // 4 for edge in (symbol.address, symbol.address + symbol.size))
            if np.any(words[first:last] == BCTR):
                return True
        return False

    def sibling_calls(self) -> SiblingCalls:
        """All direct jumps, conditional ones too, from inside a function to an entry of another one."""
        functions = self._symbols.functions()
        sources, targets, links = self.branches
        has_two = functions.local_entries != functions.starts
        to_local = np.isin(targets, functions.local_entries[has_two])
        chosen = ~links & (to_local | np.isin(targets, functions.starts))
        sources, targets, to_local = sources[chosen], targets[chosen], to_local[chosen]
        source_owners, target_owners = self._symbols.owners(sources), self._symbols.owners(targets)
        known = (source_owners >= 0) & (target_owners >= 0)
        starts = self._symbols.start_of(source_owners), self._symbols.start_of(target_owners)
        leaves = known & (starts[0] != starts[1])
        return SiblingCalls(sources[leaves], targets[leaves], to_local[leaves])

    @cached_property
    def _leaps(self) -> tuple[Addresses, Addresses]:
        """Sibling calls as (n,) columns: global entry of the function that jumps, and of the one it jumps to."""
        calls = self.sibling_calls()
        owners = self._symbols.owners(calls.sources), self._symbols.owners(calls.targets)
        return self._symbols.start_of(owners[0]), self._symbols.start_of(owners[1])

    def tail_callers(self, symbol: Symbol) -> list[int]:
        """Global entries of all functions that end in a function by sibling calls, directly or through others."""
        sources, targets = self._leaps
        found: set[int] = set()
        fresh = {symbol.address}
        while fresh:
            callers = sources[np.isin(targets, np.array(sorted(fresh), np.uint64))]
            fresh = {int(caller) for caller in callers} - found - {symbol.address}
            found |= fresh
        return sorted(found)

    def indirect_calls(self) -> IndirectCalls:
        """All calls through the count register."""
        addresses, reloads = [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
        for _, start, words in self._texts:
            places = np.flatnonzero(words == BCTRL)
            behind = np.minimum(places + 1, len(words) - 1)
            addresses.append(np.uint64(start) + places.astype(np.uint64) * 4)
            reloads.append(words[behind] == TOC_RELOAD)
        return IndirectCalls(np.concatenate(addresses), np.concatenate(reloads))

    def indirect_jumps(self) -> Addresses:
        """The addresses of all plain `bctr`, shape (n,)."""
        found = [
            np.uint64(start) + np.flatnonzero(words == BCTR).astype(np.uint64) * 4 for _, start, words in self._texts
        ]
        return np.concatenate([np.empty(0, np.uint64), *found])


_flows: WeakKeyDictionary[Image, Flow] = WeakKeyDictionary()


def flow_of(image: Image) -> Flow:
    """The branches of an image, worked out once for each."""
    if image not in _flows:
        _flows[image] = Flow(image)
    return _flows[image]
