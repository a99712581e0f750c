"""A patch that is applied for a while, unless it was applied before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from oddtoc.errors import OddtocError, StateError, TargetGoneError
from oddtoc.link.object import PatchObject
from oddtoc.live.journal import Condition
from oddtoc.live.record import Record
from oddtoc.live.session import Session
from oddtoc.mechanism.catalog import AUTO


@contextmanager
def applied(session: Session, patch: PatchObject, *, mechanism: str | None = None) -> Iterator[Record]:
    """Have a patch applied for the length of a block; it is reverted afterwards, unless it was applied before.

    Args:
        session: with the target.
        patch: the patch object.
        mechanism: how its functions are redirected; `auto`, or as they are already, if not given.

    Yields:
        The record of the patch.

    Raises:
        StateError: the patch is applied already, but not this object, not with that mechanism, or not on top.
        OddtocError: what apply and revert raise.
    """
    journal = session.journal()
    if journal.is_applied(patch.name):
        status = journal.find(patch.name)
        _check(status.record, status.condition, patch, mechanism)
        yield status.record
        return
    session.prepare(patch)
    plan = session.plan(patch, mechanism=mechanism or AUTO)
    session.apply(plan)
    try:
        yield plan.record
    except TargetGoneError:
        # that is what has to be told; and sometimes it was the connection alone
        with suppress(OddtocError):
            session.revert(patch.name)
        raise
    except BaseException:
        session.revert(patch.name)
        raise
    session.revert(patch.name)


def _check(record: Record, condition: Condition, patch: PatchObject, mechanism: str | None) -> None:
    name = patch.name
    if condition is not Condition.APPLIED:
        raise StateError(f"{name} is {condition.value}", advice="see oddtoc status")
    if record.sha256 != hashlib.sha256(patch.content).hexdigest():
        raise StateError(f"another object is applied as {name}", advice=f"oddtoc revert {name} first")
    other = [function.mechanism for function in record.replaced if function.mechanism != mechanism]
    if mechanism not in (None, AUTO) and other:
        raise StateError(
            f"{name} is applied with {other[0]}", advice=f"oddtoc revert {name} first, or ask for that one"
        )
