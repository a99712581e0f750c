"""What is written of a plan while the target runs: the record of what is intended, and the payload."""

from __future__ import annotations

from oddtoc.errors import ChangedError
from oddtoc.live.plan import Plan
from oddtoc.live.running import Target
from oddtoc.live.store import HEADER
from oddtoc.live.tables import TABLES

_PIECE = 16 << 10


def check_empty(target: Target, plan: Plan) -> None:
    """Whether nobody else uses the memory that a plan is going to write to.

    Raises:
        ChangedError: somebody does.
    """
    requests = [(address, len(data)) for address, data, what in plan.segments if what != TABLES]
    # the header of a place that was given back is there
    requests.append((plan.journal_address + HEADER.size, len(plan.journal_entry) - HEADER.size))
    for (address, _), memory in zip(requests, target.read_many(requests), strict=True):
        if any(memory):
            raise ChangedError(
                f"the memory at {address:#x} is in use: it is not zero",
                address=address,
                advice="something other than oddtoc has written there; nothing was changed",
            )


def write_intent(target: Target, plan: Plan) -> None:
    """Write the record, then the payload, in pieces; killed anywhere, the next run goes on from there."""
    for write in plan.journal_writes:
        target.write_many([write])
    for address, data, _ in plan.segments:
        for start in range(0, len(data), _PIECE):
            target.write_many([(address + start, data[start : start + _PIECE])])
