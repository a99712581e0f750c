"""The plan of an apply: everything that will be written, decided before anything is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from oddtoc.check.finding import RULES, Finding, Severity
from oddtoc.check.patch import check_patch
from oddtoc.errors import MechanismError, MismatchError, OddtocError, PatchError, RelocationError, RoomError
from oddtoc.link.escape import why_pinned
from oddtoc.link.layout import Layout, Redirect, lay_out
from oddtoc.link.notes import callbacks_of, states_of
from oddtoc.link.object import KERNEL, PatchObject
from oddtoc.link.payload import Ground, link
from oddtoc.live.areas import place_areas
from oddtoc.live.arrival import applied_before, check_same, check_states, commit_arrival
from oddtoc.live.commit import Commit
from oddtoc.live.conditions import Site, check_conditions
from oddtoc.live.data import data_records
from oddtoc.live.fixups import settle_fixups
from oddtoc.live.frames import check_catching, plan_finder
from oddtoc.live.functions import Function, find_functions
from oddtoc.live.journal import Condition, Journal, PatchStatus
from oddtoc.live.names import Names
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
) -> Plan:
    """Decide everything about an apply, from the live words, without writing.

    Args:
        running: the running kernel or process, already identified.
        journal: what is applied there.
        patch: the patch object.
        mechanism: a mechanism's name, or `auto`: the cheapest whose conditions hold.
        which: for names that stand more than once in the kernel, the file, address or version that is meant.
        replace: it takes the place of all patches that are applied, in the same stop.

    Returns:
        The plan. If this patch is applied already, there is nothing to commit in it; if a killed run left it
        half-way, what is missing.

    Raises:
        StateError: another patch of this name is applied, or this one in another way; another patch is half-way.
        OddtocError: the narrow kinds that say why the patch can't be applied.
    """
    candidates = list(AUTOMATIC) if mechanism == AUTO else [by_name(mechanism)]
    which = which or {}
    subject = running.subject(images_of(patch))
    _check_kernel(subject, patch)
    functions = find_functions(subject, journal, patch, which)
    _check_findings(subject, patch)
    _check_first(journal, patch)
    check_states(journal, patch, replace=replace)
    if (status := applied_before(journal, patch, replace=replace)) is not None:
        check_same(status, mechanism, [functions[r.function].symbol.address for r in patch.replacements])
        return _plan_again(subject, journal, status, replace=replace)
    if not replace:
        journal.check_whole()
    refusals: list[OddtocError] = []
    for candidate in candidates:
        try:
            return _plan_with(running, subject, journal, patch, functions, candidate, which, replace=replace)
        except (MechanismError, RelocationError, RoomError) as error:
            refusals.append(error)
    raise refusals[0]


def _check_kernel(subject: Subject, patch: PatchObject) -> None:
    """Whether a patch that is for one kernel is for this one."""
    if patch.kernel is not None and patch.kernel != subject.image.build_id:
        here = subject.image.build_id.hex() if subject.image.build_id else "none"
        raise MismatchError(
            f"{patch.name} was made for the kernel with the build id {patch.kernel.hex()}; here is {here}",
            advice="build it again from the diff, for the kernel that runs",
        )


def images_of(patch: PatchObject) -> list[str]:
    """The images that a patch names."""
    named = [replacement.image for replacement in (*patch.replacements, *patch.hooks)]
    return named or [KERNEL] * patch.has_data


def findings(subject: Subject, patch: PatchObject) -> list[Finding]:
    """What there is to say about a patch for something that runs."""
    return check_patch(patch, subject, name=images_of(patch)[0])


def _check_findings(subject: Subject, patch: PatchObject) -> None:
    """Stop at errors that nothing else here would meet; they are about kernels."""
    if subject.in_process:
        return
    for finding in findings(subject, patch):
        if finding.severity is Severity.ERROR and finding.id in ("init-code", "tables-not-found"):
            raise PatchError(f"{finding.place} {finding.reason}", function=finding.place, advice=RULES[finding.id])


def _check_first(journal: Journal, patch: PatchObject) -> None:
    """Whether the part of the patch that finds the tables of this one is in force."""
    if patch.first is not None and has_tables(patch):
        name = patch.first.name
        if not any(status.record.name == name and status.present for status in journal.patches):
            raise PatchError(f"{patch.name} can't be applied before {name}, which finds its tables")


def _plan_again(subject: Subject, journal: Journal, status: PatchStatus, *, replace: bool) -> Plan:
    """A plan for a patch that is in force, at least partly."""
    older = journal.patches[: journal.patches.index(status)] if status.record.replaces else []
    others = [other for other in journal.patches if other is not status] if replace else older
    commit = commit_arrival(journal, status.record, status.entry.address, others)
    done = {c for _, c in status.functions} <= {Condition.APPLIED, Condition.COVERED} and not others
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
    )


def _plan_with(
    running: Running,
    subject: Subject,
    journal: Journal,
    patch: PatchObject,
    functions: Mapping[str, Function],
    mechanism: Mechanism,
    which: Mapping[str, str],
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
    near = subject.rooms.near
    layout = lay_out(patch, redirects, own_toc=mechanism.own_toc, is_foreign=subject.is_foreign, near=near)
    spans = place_areas(subject, journal.spans, layout, functions.values())
    ground = Ground(
        toc=subject.toc,
        toc_slot=subject.toc_slot,
        areas={area: span.start for area, span in spans.items()},
        own_toc=mechanism.own_toc,
        helpers=subject.rooms.helpers.start,
    )
    payload = link(settle_fixups(subject, patch), redirects, layout, ground, Names(subject, which))
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
    )
    segments = ((start, data, area.value) for area, (start, data) in payload.segments.items())
    leaving = journal.patches if replace else []
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
        commit_arrival(journal, record, place, leaving, entry),
        journal.contents,
        tuple(status.record.name for status in leaving if status.present),
    )


def _tables(
    subject: Subject, journal: Journal, patch: PatchObject, layout: Layout, ground: Ground
) -> list[tuple[int, bytes, str]]:
    """What lets the kernel find the patch's tables; nothing for a patch without."""
    if not has_tables(patch):
        return []
    room = tables_of(subject.rooms)
    content = subject.read_many([(room.start, room.size)])[0]
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
