"""Places in a target's memory: spans of addresses, the room for new code, and code that changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from oddtoc.errors import RoomError
from oddtoc.isa import Addresses

BLOCK = 64 << 10
"""Bytes of a block of return helpers."""
_CACHE_LINE = 128


@dataclass(frozen=True, order=True)
class Span:
    """Addresses from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.start <= address < self.end


TABLES_IN_COMMON = 1 << 10
"""Where in the common room of a kernel the tables of patches are registered, bytes from its start."""


@dataclass(frozen=True)
class Rooms:
    """The room of one target, by use.

    Attributes:
        journal: for the records.
        helpers: one block of return helpers of the odd-toc mechanism, 64 KiB, aligned to the TOC pointer.
        text: for code and constants.
        common: writable data that all patches share.
        data: for writable data of payloads.
        near: whether a branch leads from the code that is patched to `text` and `helpers`, and back.
        islands: unused executable memory near that code, for where `near` does not hold.
    """

    journal: Span
    helpers: Span
    text: Span
    common: Span
    data: Span
    near: bool = True
    islands: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Zone:
    """Code that changes: where, and what it is called."""

    span: Span
    name: str


class Zones:
    """Code that changes.

    Args:
        zones: all of it; they may overlap.
    """

    def __init__(self, zones: Iterable[Zone]) -> None:
        self.zones = tuple(zones)

    @cached_property
    def _edges(self) -> Addresses:
        """Where code that changes begins and ends, by turns."""
        edges: list[int] = []
        for zone in sorted(self.zones, key=lambda zone: zone.span):
            if edges and zone.span.start <= edges[-1]:
                edges[-1] = max(edges[-1], zone.span.end)
            else:
                edges += [zone.span.start, zone.span.end]
        return np.array(edges, np.uint64)

    def holds(self, words: Addresses) -> npt.NDArray[np.bool_]:
        """Which words, shape (n,), are addresses in it."""
        inside: npt.NDArray[np.bool_] = np.searchsorted(self._edges, words, side="right") % 2 == 1
        return inside

    def at(self, address: int) -> Zone:
        """The zone around an address that `holds` told to be in one."""
        return next(zone for zone in self.zones if address in zone.span)


def allocate(room: Span, used: Iterable[Span], size: int, alignment: int = _CACHE_LINE) -> int:
    """The lowest free place in a room.

    Args:
        room: where to look.
        used: what is taken; spans elsewhere don't matter.
        size: bytes.
        alignment: of the place, bytes.

    Returns:
        Its address.

    Raises:
        RoomError: no gap is large enough.
    """
    place = align(room.start, alignment)
    for span in sorted(used):
        if span.end <= place or span.start >= room.end:
            continue
        if place + size <= span.start:
            break
        place = align(span.end, alignment)
    if place + size > room.end:
        raise RoomError(
            f"no room for {size} bytes between {room.start:#x} and {room.end:#x}",
            advice="revert patches that are no longer needed, or make the payload smaller",
        )
    return place


def largest_gap(room: Span, used: Iterable[Span], alignment: int = _CACHE_LINE) -> Span:
    """The largest free part of a room, from a multiple of `alignment` on; empty when there is none.

    Args:
        room: where to look.
        used: what is taken; spans elsewhere don't matter.
        alignment: bytes.
    """
    best = Span(room.start, room.start)
    place = align(room.start, alignment)
    for span in sorted([*(one for one in used if one.end > room.start), Span(room.end, room.end)]):
        end = min(span.start, room.end)
        if end - place > best.size:
            best = Span(place, end)
        place = max(place, align(span.end, alignment))
    return best


def align(address: int, alignment: int) -> int:
    """The first multiple of `alignment` from an address on."""
    return -(-address // alignment) * alignment


def toc_block(toc: int, low: int) -> int:
    """The first address from `low` on where TOC - address has a new upper half (see mechanism/storage/cr4.S)."""
    return low + (toc + 1 - low) % BLOCK
