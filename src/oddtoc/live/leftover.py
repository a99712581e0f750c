"""What was to last as long as one command, a trace, and is still there when that command has ended."""

from __future__ import annotations

from oddtoc.live.commit import Commit, carry_out
from oddtoc.live.journal import Journal
from oddtoc.live.keeper import Keeper
from oddtoc.live.moves import moves
from oddtoc.live.running import Target
from oddtoc.live.store import State, state_write
from oddtoc.target.pause import Pause
from oddtoc.trust.log import logged


def take_back(target: Target, journal: Journal, keeper: Keeper, *, timeout: float) -> tuple[str, Pause]:
    """Take all of it back, in one stop.

    One word of each function changes, and what calls pass through stays where it is: nobody can stand in the way but
    on that word.

    Args:
        target: where it is.
        journal: with at least one such record.
        keeper: has the log.
        timeout: seconds to wait for vCPUs on these words.

    Returns:
        The names, with blanks between, and the stop.

    Raises:
        BusyError, ChangedError, FaultError: as `carry_out`.
    """
    left = journal.left_over
    names = " ".join(status.record.name for status in left)
    with logged(keeper.policy, "revert", keeper.target, names) as operation:
        operation.begin(functions=sum(len(status.functions) for status in left))
        states = [state_write(status.entry.address, State.REVERTED) for status in left]
        return names, carry_out(target, Commit(moves(journal, left), states, accepted=True), timeout=timeout)
