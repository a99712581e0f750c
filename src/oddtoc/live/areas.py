"""Where the areas of a payload go in a target: the lowest free places of its rooms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from oddtoc import isa
from oddtoc.errors import RoomError
from oddtoc.link.layout import Area, Layout
from oddtoc.live.functions import Function
from oddtoc.live.running import Subject
from oddtoc.places import Span, allocate

_WORD = 4


def place_areas(
    subject: Subject, used: Sequence[Span], layout: Layout, functions: Iterable[Function]
) -> dict[Area, Span]:
    """A free span for each area that a layout needs; the text area always has one, it fixes the TOC.

    Args:
        subject: the image that is patched.
        used: memory that other payloads hold.
        layout: of the payload.
        functions: whose branches have to reach the islands.

    Raises:
        RoomError: there is no room.
    """
    rooms = subject.rooms
    places = {Area.TEXT: rooms.text, Area.HELPERS: rooms.helpers, Area.DATA: rooms.data}
    spans = {}
    for area, room in places.items():
        size = layout.sizes[area]
        start = allocate(room, used, size) if size else room.start
        spans[area] = Span(start, start + size)
    if size := layout.sizes[Area.ISLANDS]:
        spans[Area.ISLANDS] = _island_place(subject, used, size, list(functions))
    return spans


def _island_place(subject: Subject, used: Sequence[Span], size: int, functions: Sequence[Function]) -> Span:
    """Room that every function reaches; what is not zero there now is none, whoever it belongs to."""
    for room in subject.rooms.islands:
        taken = [*used, *_occupied(subject, room), *_out_of_reach(room, functions)]
        try:
            start = allocate(room, taken, size, _WORD)
        except RoomError:
            continue
        return Span(start, start + size)
    first = functions[0]
    code = subject.rooms.text.start
    raise RoomError(
        f"no memory is free within a branch of {first.symbol.name} (the payload would be at {code:#x}), "
        f"and behind the text of its object no {size} bytes for islands are unused",
        address=first.behind,
        function=first.symbol.name,
        advice="revert patches of this object and run oddtoc gc, patch fewer functions of it at once, "
        "or patch the process before it maps all memory around",
    )


def _occupied(subject: Subject, room: Span) -> Iterator[Span]:
    (memory,) = subject.read_many([(room.start, room.size // _WORD * _WORD)])
    for index in np.flatnonzero(np.frombuffer(memory, "<u4")).tolist():
        yield Span(room.start + _WORD * index, room.start + _WORD * (index + 1))


def _out_of_reach(room: Span, functions: Sequence[Function]) -> list[Span]:
    low = max(function.behind for function in functions) - isa.BRANCH_REACH
    high = min(function.behind for function in functions) + isa.BRANCH_REACH
    return [Span(room.start, max(room.start, low)), Span(min(room.end, high), room.end)]
