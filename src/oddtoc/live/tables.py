"""Where the kernel finds the exception fixups and WARN entries of patches: one slot for each patch that has any.

The slots are in the room that all patches share; `build/support/tables.c`, part of every such patch, reads them. A slot
is written before the commit, when nobody can run the patch's code yet, and is left behind by a revert: it speaks of
addresses that nobody runs any more, and the next patch takes it over. A slot: six doublewords, the bounds of the
code, of the exception table and of the bug table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from oddtoc.errors import RoomError
from oddtoc.link.layout import Area, Layout
from oddtoc.link.object import PatchObject
from oddtoc.places import TABLES_IN_COMMON, Rooms, Span

_SLOT = struct.Struct("<6Q")
FAULTS, BUGS = "__ex_table", "__bug_table"
TABLES = "tables"
"""What the slots are called among the parts of a plan: memory that patches share, so it need not be zero."""


def tables_of(rooms: Rooms) -> Span:
    """Where the slots are."""
    return Span(rooms.common.start + TABLES_IN_COMMON, rooms.common.end)


def has_tables(patch: PatchObject) -> bool:
    """Whether a patch has entries that the kernel must find."""
    return any(section.name in (FAULTS, BUGS) for section in patch.loaded)


def registration(
    patch: PatchObject, layout: Layout, areas: Mapping[Area, int], room: Span, content: bytes, used: Iterable[Span]
) -> tuple[int, bytes, str]:
    """What has to be written so that the kernel finds a patch's tables.

    Args:
        patch: it has tables.
        layout: where its parts are.
        areas: the address of each area.
        room: where the slots are.
        content: what stands there now.
        used: the memory of all recorded patches.

    Returns:
        Address, bytes, and what it is.

    Raises:
        RoomError: all slots are in use.
    """
    text = areas[Area.TEXT], areas[Area.TEXT] + layout.sizes[Area.TEXT]
    slot = *text, *_bounds(patch, layout, areas, FAULTS), *_bounds(patch, layout, areas, BUGS)
    return room.start, renewed(_SLOT, content, used, [slot], "patches with WARN or user-space access"), TABLES


def renewed(
    slot: struct.Struct, content: bytes, used: Iterable[Span], fresh: Sequence[tuple[int, ...]], who: str
) -> bytes:
    """Slots with more in them, and without those that speak of memory that no patch holds any more.

    Args:
        slot: its layout; it begins with the address of the code that it is about, 0 when it is free.
        content: the slots as they are.
        used: the memory of all recorded patches.
        fresh: what comes in.
        who: uses them, for the error.

    Raises:
        RoomError: all slots are in use.
    """
    taken = list(used)
    slots = list(slot.iter_unpack(content[: len(content) // slot.size * slot.size]))
    kept = [one if any(one[0] in span for span in taken) else (0,) * len(one) for one in slots]
    free = [index for index, one in enumerate(kept) if not one[0]]
    if len(free) < len(fresh):
        raise RoomError(
            f"{who} have {len(kept)} places for their tables, and all are taken",
            advice="oddtoc gc gives back those of reverted patches",
        )
    for index, one in zip(free, fresh, strict=False):
        kept[index] = one
    return b"".join(slot.pack(*one) for one in kept)


def _bounds(patch: PatchObject, layout: Layout, areas: Mapping[Area, int], name: str) -> tuple[int, int]:
    for section in patch.loaded:
        if section.name == name:
            area, offset = layout.sections[section.index]
            return areas[area] + offset, areas[area] + offset + len(section.data)
    return 0, 0
