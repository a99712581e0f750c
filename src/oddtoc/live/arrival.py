"""A patch on its way in: whether it is there already, and what its commit changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from oddtoc.errors import StateError
from oddtoc.link.notes import states_of
from oddtoc.link.object import PatchObject
from oddtoc.live.commit import Commit
from oddtoc.live.journal import Journal, PatchStatus
from oddtoc.live.moves import moves
from oddtoc.live.record import Record
from oddtoc.live.store import HEADER, State, state_write
from oddtoc.mechanism.catalog import AUTO


def applied_before(journal: Journal, patch: PatchObject, *, replace: bool) -> PatchStatus | None:
    """The status of this very patch, if it is in force at least partly.

    Args:
        journal: what is applied.
        patch: the patch that is to be applied.
        replace: it takes the place of all others, so one of the same name is no obstacle.

    Raises:
        StateError: another patch of this name is applied.
    """
    if not journal.is_applied(patch.name):
        return None
    status = journal.find(patch.name)
    if status.record.sha256 == hashlib.sha256(patch.content).hexdigest():
        return status
    if replace:
        return None
    raise StateError(
        f"another patch named {patch.name} is applied already",
        advice=f"oddtoc revert {patch.name}, give it a --name, or --replace all that is applied",
    )


def check_same(status: PatchStatus, mechanism: str, entries: Sequence[int]) -> None:
    """Whether a patch that is in force is there in the way that is asked for.

    Args:
        status: of the patch.
        mechanism: that is asked for, or auto.
        entries: addresses of the functions that it is to replace.

    Raises:
        StateError: it is there with another mechanism, or over other functions of the same names.
    """
    name = status.record.name
    other = [function.mechanism for function in status.record.replaced if function.mechanism != mechanism]
    if mechanism != AUTO and other:
        raise StateError(
            f"{name} is applied already, with {other[0]}",
            advice=f"oddtoc revert {name} first, or ask for that mechanism or auto",
        )
    if {f.entry for f in status.record.replaced if not f.is_data} != set(entries):
        raise StateError(
            f"{name} is applied already, over other functions of the same names", advice=f"oddtoc revert {name} first"
        )


def check_states(journal: Journal, patch: PatchObject, *, replace: bool) -> None:
    """Whether a patch knows how to handle what the applied ones have done to the target.

    Args:
        journal: what is applied.
        patch: the patch that is to be applied.
        replace: it takes the place of all others: then it has to know each of their states.

    Raises:
        StateError: it does not know a state, or only an older version of it.
    """
    known = states_of(patch)
    for status in journal.patches:
        for number, version in status.record.states if status.present else ():
            name = status.record.name
            if number not in known and replace:
                raise StateError(
                    f"{patch.name} does not know state {number:#x}, which {name} has made",
                    advice=f"oddtoc revert {name} first, or declare it: ODDTOC_STATE({number:#x}, {version})",
                )
            if known.get(number, version) < version:
                raise StateError(
                    f"{patch.name} knows version {known[number]} of state {number:#x}, and {name} has made {version}",
                    advice=f"oddtoc revert {name} first, or apply a newer patch",
                )


@dataclass(frozen=True)
class Arriving:
    """A record that a commit is about.

    Attributes:
        record: of a patch, or of what has its callbacks run.
        place: where its entry stands.
        entry: its entry as it is going to stand there; empty if it stands there already.
        state: what that becomes.
    """

    record: Record
    place: int
    entry: bytes = b""
    state: State = State.APPLIED


def commit_arrival(journal: Journal, arriving: Sequence[Arriving], leaving: Sequence[PatchStatus]) -> Commit:
    """What puts patches on top, and takes others back, in one stop.

    Args:
        journal: what is in force.
        arriving: the patches, or parts of one.
        leaving: the patches whose place they take.
    """
    states = [state_write(one.place, one.state) for one in arriving]
    # the first state ends them already if the patch replaces all (`Record.replaces`)
    states += [state_write(status.entry.address, State.REVERTED) for status in leaving]
    own = [(one.place, one.entry[: HEADER.size]) for one in arriving if one.entry]
    functions = [function for one in arriving for function in one.record.functions]
    return Commit(moves(journal, leaving, functions), states, accepted=False, entries=own)
