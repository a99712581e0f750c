"""What is written of a plan while the target runs: the record of what is intended, and the payload."""

from __future__ import annotations

from oddtoc.errors import ChangedError
from oddtoc.live.plan import Plan
from oddtoc.live.running import Target
from oddtoc.live.store import HEADER, Contents, State, Write, read_journal, state_write
from oddtoc.live.tables import TABLES
from oddtoc.places import Span
from oddtoc.target.pause import uninterrupted

_PIECE = 16 << 10


def check_empty(target: Target, plan: Plan) -> None:
    """Whether nobody else uses the memory that a plan is going to write to.

    Raises:
        ChangedError: somebody does.
    """
    if not plan.journal_entry:
        return
    if plan.carrier:
        check_empty(target, plan.carrier)
    requests = [(address, len(data)) for address, data, what in plan.segments if what != TABLES]
    # the header of a place that was given back is there
    requests.append((plan.journal_address + HEADER.size, len(plan.journal_entry) - HEADER.size))
    for (address, _), memory in zip(requests, target.read_many(requests), strict=True):
        if any(memory):
            raise ChangedError(
                f"the memory at {address:#x} is in use: it is not zero",
                address=address,
                advice="another oddtoc or something else has written there; nothing was changed",
            )


def write_intent(target: Target, plan: Plan, journal: Span) -> None:
    """Write the record, then the payload, in pieces; killed anywhere, the next run goes on from there.

    Args:
        target: where.
        plan: what.
        journal: where its records are.

    Raises:
        ChangedError: another oddtoc, which this one's lock does not keep out, has written a record meanwhile.
    """
    if plan.carrier:
        write_intent(target, plan.carrier, journal)
    if plan.journal_writes:
        # in one block: only one debugger can hold a target, so nobody comes in between
        with uninterrupted(), target.exclusively() as held:
            contents = read_journal(journal, lambda address, size: held.read_many([(address, size)])[0])
            if _places(contents) != _places(plan.contents):
                raise ChangedError(
                    "another oddtoc has been at the records of this target meanwhile; nothing was written",
                    address=plan.journal_address,
                    advice="try again when it has finished",
                )
            for write in plan.journal_writes:
                held.write_many([write])
    for address, data, _ in plan.segments:
        for start in range(0, len(data), _PIECE):
            target.write_many([(address + start, data[start : start + _PIECE])])


def abandon_intent(target: Target, entry: Write) -> None:
    """End a record that nothing came of, if it is still there.

    Args:
        target: where.
        entry: its address, and its header as it was written.
    """
    place, header = entry
    with uninterrupted(), target.stopped() as stopped:
        if stopped.read_many([(place, HEADER.size)]) == [header]:
            stopped.write_many([state_write(place, State.REVERTED)])


def _places(contents: Contents) -> tuple[object, ...]:
    """All but states, which settle."""
    entries = tuple((entry.address, entry.capacity, entry.record) for entry in contents.entries)
    return entries, contents.gaps, contents.end
