"""The plan of an apply: everything that will be written, decided before anything is."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oddtoc.errors import MechanismError, OddtocError, PatchError, RelocationError, RoomError
from oddtoc.link.escape import why_pinned
from oddtoc.link.fresh import fresh_of
from oddtoc.link.layout import Layout, Redirect, lay_out
from oddtoc.link.notes import CALLBACK_SECTION, callbacks_of, states_of
from oddtoc.link.object import PatchObject
from oddtoc.link.payload import Ground, link
from oddtoc.live.areas import place_areas
from oddtoc.live.arrival import Arriving, applied_before, check_same, check_states, commit_arrival
from oddtoc.live.commit import Commit
from oddtoc.live.conditions import Site, check_conditions
from oddtoc.live.data import data_records
from oddtoc.live.fit import check_findings, check_first, check_kernel
from oddtoc.live.fixups import settle_fixups
from oddtoc.live.frames import check_catching, plan_finder
from oddtoc.live.functions import Function, find_functions
from oddtoc.live.journal import Journal, PatchStatus
from oddtoc.live.names import Names
from oddtoc.live.needs import Needs, needs_of
from oddtoc.live.record import Change, Record
from oddtoc.live.running import Running, Subject
from oddtoc.live.store import Contents, State, Write, entry_bytes, entry_writes, place_for
from oddtoc.live.tables import has_tables, registration, tables_of
from oddtoc.live.words import function_record
from oddtoc.mechanism.catalog import AUTO, AUTOMATIC, Mechanism, by_name


@dataclass(frozen=True)
class Plan:
    """What an apply writes.

    Attributes:
        subject: the image that it changes.
        record: the record that will stand in the target.
        mechanism: the mechanism that was chosen.
        settling: states of records that a killed run left behind, put right first.
        journal_address: where the record's entry stands or goes.
        journal_entry: its bytes, state INTENT; empty if it is there already.
        journal_writes: what puts the entry there, in order, while the target runs.
        segments: (address, bytes, what) of the payload, written then, while the target runs.
        commit: what changes in one stop; None if nothing has to.
        replaced: names of the patches whose place it takes.
        contents: of the journal that it was made for.
        leaving: the entries of these patches, by address.
        carrier: has its callbacks run, where it can't do that itself (oddtoc.live.carrier).
        state: what its record's becomes in the commit.
    """

    subject: Subject
    record: Record
    mechanism: Mechanism
    settling: tuple[Write, ...]
    journal_address: int
    journal_entry: bytes
    journal_writes: tuple[Write, ...]
    segments: tuple[tuple[int, bytes, str], ...]
    commit: Commit | None
    contents: Contents
    replaced: tuple[str, ...] = ()
    leaving: tuple[int, ...] = ()
    carrier: Plan | None = None
    state: State = State.APPLIED

    @property
    def arriving(self) -> list[Arriving]:
        """What its commit is about."""
        own = Arriving(self.record, self.journal_address, self.journal_entry, self.state)
        return [*(self.carrier.arriving if self.carrier else ()), own]

    @property
    def writes(self) -> list[Write]:
        """What is written while the target runs, settling left out."""
        segments = ((address, data) for address, data, _ in self.segments)
        return [*(self.carrier.writes if self.carrier else ()), *self.journal_writes, *segments]

    @property
    def changes(self) -> list[Change]:
        """Every word that the record speaks of: the original one, and the one while this patch is on top."""
        return [change for function in self.record.functions for change in function.changes]


def plan_apply(
    running: Running,
    journal: Journal,
    patch: PatchObject,
    *,
    mechanism: str = AUTO,
    which: Mapping[str, str] | None = None,
    replace: bool = False,
    beside: Sequence[Plan] = (),
) -> Plan:
    """Decide everything about an apply, from the live words, without writing.

    Args:
        running: the running kernel or process, already identified.
        journal: what is applied there.
        patch: the patch object.
        mechanism: a mechanism's name, or `auto`: the cheapest whose conditions hold.
        which: for names that stand more than once in the kernel, the file, address or version that is meant.
        replace: it takes the place of all patches that are applied, in the same stop.
        beside: plans of other parts of the patch, which come in the same stop.

    Returns:
        The plan. If this patch is applied already, there is nothing to commit in it; if a killed run left it
        half-way, what is missing.

    Raises:
        StateError: another patch of this name is applied, or this one in another way; another patch is half-way.
        OddtocError: the narrow kinds that say why the patch can't be applied.
    """
    candidates = list(AUTOMATIC) if mechanism == AUTO else [by_name(mechanism)]
    which = which or {}
    journal = journal.after([write for plan in beside for write in plan.writes])
    records = [plan.record for plan in beside]
    subject = running.subject(patch.images)
    check_kernel(subject, patch)
    functions = find_functions(subject, journal, patch, which)
    check_findings(subject, patch)
    check_first(journal, patch, records)
    needs = needs_of(journal, patch, records)
    check_states(journal, patch, replace=replace)
    if (status := applied_before(journal, patch, replace=replace)) is not None:
        check_same(status, mechanism, [functions[r.function].symbol.address for r in patch.replacements])
        return _plan_again(subject, journal, status, replace=replace)
    if not replace:
        journal.check_whole()
    leaving = journal.patches if replace else []
    carrier = _carrier(running, journal, patch, subject)
    if carrier:
        journal = journal.after(carrier.writes)
        needs = needs.and_of(carrier.record)
    refusals: list[OddtocError] = []
    for candidate in candidates:
        try:
            plan = _plan_with(
                running, subject, journal, patch, functions, candidate, which, needs, leaving, replace=replace
            )
            plan = dataclasses.replace(plan, carrier=carrier, settling=() if beside else plan.settling)
            return dataclasses.replace(plan, commit=commit_arrival(journal, plan.arriving, leaving))
        except (MechanismError, RelocationError, RoomError) as error:
            refusals.append(error)
    raise refusals[0]


def _plan_again(subject: Subject, journal: Journal, status: PatchStatus, *, replace: bool) -> Plan:
    """A plan for a patch that is in force, at least partly."""
    older = journal.patches[: journal.patches.index(status)] if status.record.replaces else []
    others = [other for other in journal.patches if other is not status] if replace else older
    commit = commit_arrival(journal, [Arriving(status.record, status.entry.address)], others)
    done = status.is_whole and not others
    return Plan(
        subject,
        status.record,
        by_name(status.record.replaced[0].mechanism),
        tuple(journal.settling),
        status.entry.address,
        b"",
        (),
        (),
        None if done else commit,
        journal.contents,
        tuple(other.record.name for other in others if other.present),
        tuple(other.entry.address for other in others),
    )


def _plan_with(
    running: Running,
    subject: Subject,
    journal: Journal,
    patch: PatchObject,
    functions: Mapping[str, Function],
    mechanism: Mechanism,
    which: Mapping[str, str],
    needs: Needs,
    leaving: Sequence[PatchStatus],
    *,
    replace: bool,
) -> Plan:
    redirected = _redirected(journal) | {function.symbol.address: mechanism for function in functions.values()}
    for function in functions.values():
        mechanism.check(function.entry)
        check_conditions(mechanism, Site(subject, patch, function.symbol, function.entry, redirected))
    found = [(replacement, functions[replacement.function]) for replacement in (*patch.replacements, *patch.hooks)]
    redirects = [
        Redirect(r, f.entry, mechanism, subject.image.word(f.behind), subject.toc_is_a_number) for r, f in found
    ]
    names = Names(subject, which, needs)
    near = subject.rooms.near
    layout = lay_out(patch, redirects, own_toc=mechanism.own_toc, is_foreign=names.is_foreign, near=near)
    spans = place_areas(subject, journal.spans, layout, functions.values())
    ground = Ground(
        toc=subject.toc,
        toc_slot=subject.toc_slot,
        areas={area: span.start for area, span in spans.items()},
        own_toc=mechanism.own_toc,
        helpers=subject.rooms.helpers.start,
    )
    payload = link(settle_fixups(subject, patch), redirects, layout, ground, names)
    check_catching(subject, patch, mechanism, layout.frames)
    inside = next((function.entry.global_entry for function in functions.values()), subject.toc)
    finder = plan_finder(running, journal, patch, inside, spans, layout.frames)
    replaced = (function_record(subject, functions[r.function], mechanism, payload) for r in patch.replacements)
    record = Record(
        patch.name,
        hashlib.sha256(patch.content).hexdigest(),
        int(time.time()),
        (*finder.functions, *replaced, *data_records(subject, journal, patch, layout, payload, mechanism.name)),
        {area.value: span for area, span in spans.items() if span.size} | dict(finder.spans),
        serial=journal.next_serial,
        replaces=replace,
        pinned=why_pinned(patch),
        states=tuple(states_of(patch).items()),
        callbacks=tuple((when, _address(layout, ground, place)) for when, place in callbacks_of(patch).items()),
        hooks=tuple(function_record(subject, functions[r.function], mechanism, payload) for r in patch.hooks),
        module=subject.module.name if subject.module else "",
        module_at=subject.loaded_at,
        fresh=tuple((s.name, _address(layout, ground, (n, at)), s.other) for s, n, at in fresh_of(patch)),
        needs=needs.serials,
    )
    segments = ((start, data, area.value) for area, (start, data) in payload.segments.items())
    entry = entry_bytes(record, State.INTENT)
    place = place_for(journal.contents, journal.room, len(entry))
    return Plan(
        subject,
        record,
        mechanism,
        tuple(journal.settling),
        place,
        entry,
        tuple(entry_writes(journal.contents, place, entry)),
        (*_tables(subject, journal, patch, layout, ground), *finder.segments, *segments),
        None,
        journal.contents,
        tuple(status.record.name for status in leaving if status.present),
        tuple(status.entry.address for status in leaving),
    )


def joint_commit(journal: Journal, plans: Sequence[Plan]) -> Commit | None:
    """What changes in the one stop of several plans; None if nothing has to.

    Args:
        journal: what is in force.
        plans: of the parts of one patch, each made beside those before it.
    """
    coming = [plan for plan in plans if plan.commit is not None]
    if len(coming) < 2:
        return coming[0].commit if coming else None
    leaving = {address for plan in coming for address in plan.leaving}
    statuses = [status for status in journal.patches if status.entry.address in leaving]
    return commit_arrival(journal, [one for plan in coming for one in plan.arriving], statuses)


def _carrier(running: Running, journal: Journal, patch: PatchObject, subject: Subject) -> Plan | None:
    """What has the callbacks of a patch run that changes a module: the function where they can is the kernel's.

    Every patch for a module carries an object that hooks that function, to have the kernel give room.
    """
    if subject.module is None or not callbacks_of(patch):
        return None
    if patch.room is None:
        raise PatchError(f"{patch.name} is for a module and was built for something else", advice="build it again")
    sections = {index: s for index, s in patch.room.sections.items() if s.name != CALLBACK_SECTION}
    hook = dataclasses.replace(patch.room, name=f"callbacks of {patch.name}", sections=sections)
    return dataclasses.replace(plan_apply(running, journal, hook), state=State.REVERTED)


def _tables(
    subject: Subject, journal: Journal, patch: PatchObject, layout: Layout, ground: Ground
) -> list[tuple[int, bytes, str]]:
    """What lets the kernel find the patch's tables; nothing for a patch without."""
    if not has_tables(patch):
        return []
    room = tables_of(subject.rooms)
    content = journal.read_many([(room.start, room.size)])[0]
    return [registration(patch, layout, ground.areas, room, content, journal.spans)]


def _redirected(journal: Journal) -> dict[int, Mechanism]:
    """Global entry -> mechanism of every function that is redirected."""
    return {
        function.entry: by_name(function.mechanism)
        for status in journal.patches
        for function, condition in status.functions
        if condition.in_force and not status.record.temporary and not function.is_data
    }


def _address(layout: Layout, ground: Ground, place: tuple[int, int]) -> int:
    """Where a section and an offset of the object are in the target."""
    area, start = layout.sections[place[0]]
    return ground.areas[area] + start + place[1]
