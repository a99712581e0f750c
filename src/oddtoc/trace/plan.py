"""The plan of a trace: an apply like any other (`oddtoc.live.plan`), of trampolines that lead back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from oddtoc import isa
from oddtoc.errors import RelocationError, RoomError
from oddtoc.kernel.offsets import find_offsets
from oddtoc.live.arrival import Arriving, commit_arrival
from oddtoc.live.journal import Journal
from oddtoc.live.plan import Plan
from oddtoc.live.record import SLOTS, STUBS, Change, FunctionRecord, Record
from oddtoc.live.running import Subject
from oddtoc.live.session import Session
from oddtoc.live.store import State, entry_bytes, entry_writes, place_for
from oddtoc.mechanism.catalog import PASS_THROUGH
from oddtoc.places import Span, allocate, largest_gap
from oddtoc.trace.choice import Choice, Traced, choose
from oddtoc.trace.layout import DataLayout, largest
from oddtoc.trace.payload import Code, Ground, make_code


@dataclass(frozen=True)
class TracePlan:
    """What a trace writes, and where it counts.

    Attributes:
        plan: for `Session.apply`.
        choice: the functions.
        data: where everything is counted.
    """

    plan: Plan
    choice: Choice
    data: DataLayout


def plan_trace(
    session: Session, subject: Subject, patterns: Sequence[str], *, events: bool, returns: bool
) -> TracePlan:
    """Decide everything about a trace, from the live words, without writing.

    Args:
        session: with the target.
        subject: the image that the functions are in.
        patterns: their names, or globs.
        events: calls are recorded one by one, with arguments.
        returns: their returns are watched.

    Raises:
        SymbolError, NoSiteError: there are no such functions, or none that can be traced.
        RoomError: there is no room; in a process, none within a branch.
        BuildError: no compiler for ppc64le is installed.
    """
    journal = session.journal()
    if not subject.rooms.near:
        raise RoomError(
            f"no memory is free within a branch of {', '.join(patterns)}, and traces have no islands",
            address=subject.rooms.text.start,
            advice="trace the process before it maps all memory around, or patch the function: patches have islands",
        )
    choice = choose(subject, journal, patterns, returns=returns)
    # what is read from outside has to be in the linear map, where modules are not
    room = subject.rooms.data if subject.in_process else session.kernel.rooms.data
    data = _data(room, journal, len(choice.functions), events=events, returns=returns)
    code = make_code(
        choice.functions,
        data,
        _ground(session, subject),
        lambda size: allocate(subject.rooms.text, journal.spans, size),
    )
    record = _record(journal, choice, data, code)
    entry = entry_bytes(record, State.INTENT)
    place = place_for(journal.contents, journal.room, len(entry))
    plan = Plan(
        subject,
        record,
        PASS_THROUGH,
        tuple(journal.settling),
        place,
        entry,
        tuple(entry_writes(journal.contents, place, entry)),
        ((code.start, code.content, "text"), (data.start, bytes(data.size), "data")),
        commit_arrival(journal, [Arriving(record, place, entry)], []),
        journal.contents,
    )
    return TracePlan(plan, choice, data)


def _data(room: Span, journal: Journal, functions: int, *, events: bool, returns: bool) -> DataLayout:
    gap = largest_gap(room, journal.spans)
    data = largest(gap.start, gap.size, functions, events=events, returns=returns)
    if data is None:
        raise RoomError(
            f"no room to count {functions} functions: {gap.size} writable bytes are free",
            address=gap.start,
            advice="trace fewer, or without --returns",
        )
    return data


def _ground(session: Session, subject: Subject) -> Ground:
    if subject.in_process:
        return Ground()
    kernel = session.kernel
    toc = None if subject.toc_is_a_number else (subject.toc, subject.toc_slot)
    return Ground(toc, find_offsets(kernel.image, kernel.read_many).current)


def _record(journal: Journal, choice: Choice, data: DataLayout, code: Code) -> Record:
    serial = journal.next_serial
    spans = {
        "text": Span(code.start, code.stubs.start),
        STUBS: code.stubs,
        SLOTS: data.slots,
        "data": Span(data.start, data.slots.start),
    }
    functions = zip(choice.functions, code.trampolines, strict=True)
    return Record(
        f"trace-{serial}",
        hashlib.sha256(code.content).hexdigest(),
        int(time.time()),
        tuple(_function(function, trampoline) for function, trampoline in functions),
        {area: span for area, span in spans.items() if span.size},
        serial=serial,
        temporary=True,
    )


def _function(function: Traced, trampoline: int) -> FunctionRecord:
    try:
        branch = isa.branch(function.behind, trampoline)
    except OverflowError:
        raise RelocationError(
            f"the trace's code at {trampoline:#x} is beyond one branch from {function.name}",
            address=function.behind,
            function=function.name,
        ) from None
    change = Change(function.behind, function.original, branch, "branch")
    name, entry, behind = function.name, function.entry, function.behind
    return FunctionRecord(name, PASS_THROUGH.name, entry, behind, trampoline, (change,))
