"""What an operation did to its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oddtoc.target.pause import Pause


@dataclass(frozen=True)
class Outcome:
    """What an apply or revert did to the target.

    Attributes:
        name: the patch.
        commit_pause: seconds that the target stood still for the commit.
        longest_pause: seconds of the longest stop of the whole operation.
        total_pause: seconds of all its stops.
        stops: how many there were.
        round_trips: of the debug protocol, in the commit's stop.
        changed: whether there was a commit at all.
        immediate: whether stacks were not looked at.
    """

    name: str
    commit_pause: float
    longest_pause: float
    total_pause: float
    stops: int
    round_trips: int
    changed: bool = True
    immediate: bool = False

    @classmethod
    def of(cls, name: str, commit: Pause | None, pauses: Sequence[Pause], *, immediate: bool) -> Outcome:
        """From the stops of an operation.

        Args:
            name: the patch.
            commit: the stop of the commit; None if there was none.
            pauses: all stops.
            immediate: whether stacks were not looked at.
        """
        seconds = [pause.seconds for pause in pauses]
        return cls(
            name,
            commit.seconds if commit else 0.0,
            max(seconds, default=0.0),
            sum(seconds),
            len(seconds),
            commit.round_trips if commit else 0,
            changed=commit is not None,
            immediate=immediate,
        )
