"""How unwinders find the unwind information of patches in a process (link/unwind.py).

An unwinder asks the C library (`_dl_find_object`, glibc since 2.35; a static program has its own). Every patch of a
process redirects that function too, in the commit of its own, to a copy of build/support/unwind.c, which knows the
code of all patches: it is registered in slots in the room that patches of the C library share. A slot is written
before the commit, when nobody can run the patch's code yet, and cleared by gc, together with that code. A slot: four
doublewords, start and size of the code, its .eh_frame_hdr, and an address in the object that the patch changes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from oddtoc.errors import MechanismError, PatchError
from oddtoc.link.ground import Ground
from oddtoc.link.layout import Area, Redirect, lay_out
from oddtoc.link.object import PatchObject
from oddtoc.link.payload import link
from oddtoc.live.areas import place_areas
from oddtoc.live.collect import Collection
from oddtoc.live.functions import find_functions
from oddtoc.live.journal import Journal
from oddtoc.live.names import Names
from oddtoc.live.record import FINDER, FINDER_ISLANDS, FunctionRecord
from oddtoc.live.running import Running, Subject
from oddtoc.live.store import Write
from oddtoc.live.tables import TABLES, renewed
from oddtoc.live.words import function_record
from oddtoc.mechanism.catalog import MECHANISMS, Mechanism
from oddtoc.places import Span

_SLOT = struct.Struct("<4Q")
_CATCHES = "__cxa_begin_catch"
"""Itanium C++ ABI, "Exception Handling", 2.5.3: what every handler calls first."""
_WHO = "patches in this process"
_CODE = (Area.TEXT, Area.HELPERS, Area.ISLANDS)
_AREAS = {Area.TEXT: FINDER, Area.ISLANDS: FINDER_ISLANDS}
"""What its areas are called in the record of a patch, which has areas of its own."""
_SHARED_TOC = MECHANISMS["shared-toc"]


@dataclass(frozen=True)
class Finder:
    """What comes with a patch, so that unwinders find its unwind information.

    Attributes:
        functions: that it redirects.
        spans: the memory that it holds, by area.
        segments: (address, bytes, what) that are written while the target runs.
    """

    functions: tuple[FunctionRecord, ...] = ()
    spans: Mapping[str, Span] = field(default_factory=dict)
    segments: tuple[tuple[int, bytes, str], ...] = ()


def plan_finder(
    running: Running,
    journal: Journal,
    patch: PatchObject,
    inside: int,
    spans: Mapping[Area, Span],
    frames: int | None,
) -> Finder:
    """What has unwinders find the unwind information of a patch; nothing for one that has none, or for a kernel.

    Args:
        running: what runs.
        journal: what is applied there.
        patch: the patch.
        inside: an address in the object that it changes.
        spans: where its parts are.
        frames: offset of its .eh_frame_hdr in the text area.

    Raises:
        PatchError: an unwinder is there, and can't be told.
        RoomError: there is no room for it, or all slots are in use.
        OddtocError: the C library's function can't be redirected, and why.
    """
    asked, support = running.asked_for_frames, patch.finder
    if frames is None or support is None:
        return Finder()
    if asked is None and running.unwinder:
        raise PatchError(
            f"{running.unwinder} could not unwind through {patch.name}: no C library here has _dl_find_object",
            advice="if nothing is thrown or cancelled through it: oddtoc build --no-unwind",
        )
    own = {replacement.function for replacement in patch.replacements}
    if asked is None or own & {replacement.function for replacement in support.replacements}:
        return Finder()
    functions = find_functions(asked, journal, support, {})
    redirects = [
        Redirect(r, functions[r.function].entry, _SHARED_TOC, asked.image.word(functions[r.function].behind), True)
        for r in support.replacements
    ]
    layout = lay_out(support, redirects, own_toc=False, is_foreign=asked.is_foreign, near=asked.rooms.near)
    places = place_areas(asked, [*journal.spans, *spans.values()], layout, functions.values())
    areas = {area: span.start for area, span in places.items()}
    ground = Ground(asked.toc, asked.toc_slot, areas, own_toc=False, helpers=asked.rooms.helpers.start)
    payload = link(support, redirects, layout, ground, Names(asked, {}))
    records = [function_record(asked, one, _SHARED_TOC, payload, finder=True) for one in functions.values()]
    code = (spans[area] for area in _CODE if area in spans and spans[area].size)
    header = spans[Area.TEXT].start + frames
    fresh = [(span.start, span.size, header, inside) for span in code]
    slots = _slots(asked)
    content = renewed(_SLOT, asked.read_many([(slots.start, slots.size)])[0], journal.spans, fresh, _WHO)
    parts = ((address, data, _AREAS[area]) for area, (address, data) in payload.segments.items())
    held = {_AREAS[area]: span for area, span in places.items() if span.size}
    return Finder(tuple(records), held, ((slots.start, content, TABLES), *parts))


def check_catching(subject: Subject, patch: PatchObject, mechanism: Mechanism, frames: int | None) -> None:
    """Whether functions that catch an exception can go on behind a call that a mechanism carried.

    An exception leaves 24(r1) as the trampoline has made it. What catches it calls `__cxa_begin_catch` first: in
    another object, by a stub that puts r2 there again; in the same object, as in static programs, by nothing but a
    branch, and the next reload of r2 gets a return address where that storage has put one.

    Args:
        subject: the image that the patch changes.
        patch: the patch.
        mechanism: it.
        frames: offset of the patch's unwind information; None if nothing can be thrown through it.

    Raises:
        MechanismError: the image has a C++ runtime in it, and the mechanism overwrites 24(r1).
    """
    storage = mechanism.storage
    if frames is None or storage is None or not storage.overwrites_toc_save:
        return
    found = [symbol.address for table in subject.tables for symbol in table.find(_CATCHES)]
    if any(address in text for address in found for text in _texts(subject)):
        raise MechanismError(
            f"{mechanism.name} can't carry exceptions through {patch.name}: {_CATCHES} is in the same object, and the "
            "function that catches one would reload r2 from where its return address was",
            address=found[0],
            function=next((replacement.function for replacement in patch.replacements), None),
            advice="use shared-toc or odd-toc/cr4; if nothing is thrown through it: oddtoc build --no-unwind",
        )


def _texts(subject: Subject) -> list[Span]:
    return [Span(one.address, one.address + 4 * len(one.words)) for one in subject.image.text()]


def forgotten(running: Running, collection: Collection, journal: Callable[[], Journal]) -> list[Write]:
    """What clears the slots of code that is about to be given back.

    Args:
        running: what runs.
        collection: what is given back.
        journal: reads that of the target, which only patches with unwind information need.
    """
    registered = any(FINDER in entry.record.spans for entry in collection.free)
    asked = running.asked_for_frames if registered else None
    if asked is None:
        return []
    slots = _slots(asked)
    (content,) = asked.read_many([(slots.start, slots.size)])
    return [(slots.start, renewed(_SLOT, content, collection.staying(journal()), [], _WHO))]


def _slots(asked: Subject) -> Span:
    return asked.rooms.common
