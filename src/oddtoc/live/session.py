"""A session with one target: status, apply, revert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from oddtoc.check.finding import Finding
from oddtoc.errors import ChangedError
from oddtoc.link.object import PatchObject
from oddtoc.live.attached import Attached
from oddtoc.live.callbacks import Callbacks, Turn, around, turn, unhook
from oddtoc.live.collect import Collection, Look, collect
from oddtoc.live.commit import Commit, carry_out
from oddtoc.live.fit import findings
from oddtoc.live.frames import forgotten
from oddtoc.live.journal import Condition, Journal, PatchStatus
from oddtoc.live.keeper import admitted, logged_apply, logged_revert, logged_room
from oddtoc.live.leftover import take_back
from oddtoc.live.moduleroom import lacks_room, make_room
from oddtoc.live.moves import leaving_with, moves
from oddtoc.live.needs import check_not_needed
from oddtoc.live.outcome import Outcome as Outcome
from oddtoc.live.plan import Plan, joint_commit, plan_apply
from oddtoc.live.quiescence import Watch, check_immediate, zones_of_apply, zones_of_revert
from oddtoc.live.record import Record
from oddtoc.live.store import State, Write, state_write, tidying_writes
from oddtoc.live.writing import abandon_intent, check_empty, write_intent
from oddtoc.mechanism.catalog import AUTO
from oddtoc.target.pause import Pause

DEFAULT_TIMEOUT = 10.0
_ARRIVAL = ("pre_patch", "post_patch", "post_unpatch")
_DEPARTURE = ("pre_unpatch", "post_unpatch", "post_patch")


class Session(Attached):
    """A session with one target, in which patches are applied and reverted. See `Attached` for how to get one."""

    @admitted
    def plan(
        self,
        patch: PatchObject,
        *,
        mechanism: str = AUTO,
        which: Mapping[str, str] | None = None,
        replace: bool = False,
        beside: Sequence[Plan] = (),
    ) -> Plan:
        """Everything that applying a patch would write. See `plan_apply`."""
        options: dict[str, Any] = {"mechanism": mechanism, "which": which, "replace": replace, "beside": beside}
        return plan_apply(self.running, self.journal(), patch, **options)

    def check(self, patch: PatchObject) -> list[Finding]:
        """What there is to say about a patch for what runs here. See `check_patch`."""
        return [found for part in patch.parts for found in findings(self.running.subject(part.images), part)]

    def prepare(self, patch: PatchObject, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Have the kernel give memory near the module that a patch changes, if it has not yet. It keeps it for ever.

        Args:
            patch: the patch object; nothing has to be done for one that changes something else.
            timeout: seconds to wait for the kernel.

        Raises:
            BusyError: no thread came by to do it.
            RoomError: the kernel has no such memory.
        """
        if lacks_room(self.running, patch):
            self.make_room(patch, timeout=timeout)

    @logged_room
    def make_room(self, patch: PatchObject, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Have the kernel give memory where it loads modules, in the way that a patch for a module says.

        Raises:
            BusyError: no thread came by to do it.
            RoomError: the kernel has no such memory.
        """
        make_room(self.target, self.kernel, self.threads, self.journal, patch, timeout=timeout)

    def apply(
        self, plan: Plan, *, timeout: float = DEFAULT_TIMEOUT, immediate: bool = False, unused: bool = False
    ) -> Outcome:
        """Carry out a plan. See `apply_together`."""
        (outcome,) = self.apply_together([plan], timeout=timeout, immediate=immediate, unused=unused)
        return outcome

    @logged_apply
    def apply_together(
        self, plans: Sequence[Plan], *, timeout: float = DEFAULT_TIMEOUT, immediate: bool = False, unused: bool = False
    ) -> list[Outcome]:
        """Carry out plans: intents and payloads while the target runs, then one commit in one stop.

        Killed anywhere, it leaves records that the next command goes on from.

        Args:
            plans: from `plan`, made in this session, each beside those before it.
            timeout: seconds to wait for threads to leave the functions that change.
            immediate: don't look at their stacks: a thread may then run the old code to its end, and the new one at
                the same time.
            unused: nobody has ever been in the functions that change.

        Raises:
            ChangedError: the room is not empty, or a word has changed since the plan was made.
            BusyError: a thread stood in the way all the time; the patch is not applied.
            MechanismError: it can't be done without looking at stacks.
        """
        first = len(self.target.pauses)
        coming = [plan for plan in plans if plan.commit is not None]
        commit = joint_commit(self.journal(), plans)
        watch = self._watch_apply(commit, immediate) if commit and not unused else None
        for plan in coming:
            self.running.make_room(plan.subject)
            check_empty(self.target, plan)
        self.settle(timeout=timeout)
        pause = None
        if commit is not None:
            for plan in coming:
                self._intend(plan, commit)
            pause = self._commit(
                [(p.record, _ARRIVAL if p.journal_entry else ("", "post_patch", "")) for p in coming],
                partial(carry_out, self.target, commit, timeout=timeout, watch=watch),
                abandoned=commit.entries,
                timeout=timeout,
            )
        outcomes = [(plan, pause if plan in coming else None) for plan in plans]
        return [self._outcome(plan.record.name, stop, first, immediate) for plan, stop in outcomes]

    def _intend(self, plan: Plan, commit: Commit) -> None:
        try:
            write_intent(self.target, plan, self.running.journal)
        except ChangedError:
            self._abandon(commit.entries)
            raise

    def _abandon(self, entries: Sequence[Write]) -> None:
        for entry in entries:
            abandon_intent(self.target, entry)

    @logged_revert
    def revert(self, name: str, *, timeout: float = DEFAULT_TIMEOUT, immediate: bool = False) -> Outcome:
        """Take a patch back, wherever it is in the stacks of its functions, and its further parts in the same stop.

        Functions that a later patch covers stay as they are. Its payload stays in memory, untouched: a thread may
        still be in it (see `gc`).

        Args:
            name: of the patch.
            timeout: seconds to wait for threads to leave the functions that change.
            immediate: don't look at their stacks: a thread may then run the old code to its end, and the new one at
                the same time.

        Raises:
            StateError: no such patch is applied, another one is half-way, or uses what is new in it.
            BusyError: a thread stood in the way all the time; the patch is still applied.
            MechanismError: it can't be done without looking at stacks.
        """
        first = len(self.target.pauses)
        ended = self.end_temporary(timeout=timeout)
        if ended and name in ended.name.split():
            return ended
        journal = self.journal()
        commit = self._revert_commit(journal, name)
        leaving = [status for status in leaving_with(journal, name) if status.present]
        self.settle(timeout=timeout)
        if not leaving:
            # a killed run got as far as the words
            return self._outcome(name, None, first)
        watch = self._watch_revert(commit, leaving, immediate)
        pause = self._commit(
            [(status.record, _DEPARTURE if _is_whole(status) else ("", "post_unpatch", "")) for status in leaving],
            partial(carry_out, self.target, commit, timeout=timeout, watch=watch),
            timeout=timeout,
        )
        return self._outcome(name, pause, first, immediate)

    def end_temporary(self, *, timeout: float = DEFAULT_TIMEOUT) -> Outcome | None:
        """Take back what was to last as long as one command: nobody else has this target, so that command has ended.

        Returns:
            What that did; `name` has all names. None if there was nothing.
        """
        first = len(self.target.pauses)
        journal = self.journal()
        if not journal.left_over:
            return None
        names, pause = take_back(self.target, journal, self.keeper, timeout=timeout)
        return self._outcome(names, pause, first, immediate=True)

    def settle(self, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Put right what a killed run left behind: states of records, and hooks of callbacks."""
        journal = self.journal()
        self.target.write_many(journal.settling)
        if hooks := journal.left_hooks:
            unhook(self.target, self.threads, hooks, timeout=timeout)

    def _commit(
        self,
        records: Sequence[tuple[Record, tuple[str, str, str]]],
        commit: Callable[[], Pause],
        *,
        abandoned: Sequence[Write] = (),
        timeout: float,
    ) -> Pause:
        """A commit with the callbacks of its patches around it; the entries `abandoned` end if there is none."""
        journal = self.journal() if any(record.callbacks for record, _ in records) else None
        turns = [turn(journal, record, whens) for record, whens in records] if journal else []
        callbacks = Callbacks(self.target, self.running, self.threads, self.journal, turns, timeout)
        return around(callbacks, commit, lambda: self._abandon(abandoned))

    def plan_revert(self, name: str) -> Commit:
        """What reverting a patch would write."""
        return self._revert_commit(self.journal(), name)

    def turns_of_revert(self, name: str) -> list[Turn]:
        """The callbacks that reverting a patch would have run."""
        journal = self.journal()
        return [turn(journal, one.record, _DEPARTURE) for one in leaving_with(journal, name) if one.present]

    def _revert_commit(self, journal: Journal, name: str) -> Commit:
        leaving = leaving_with(journal, name)
        journal.check_whole(*(status.record.name for status in leaving))
        check_not_needed(journal, leaving)
        states = [state_write(status.entry.address, State.REVERTED) for status in leaving]
        return Commit(moves(journal, leaving), states, accepted=True)

    def plan_gc(self, look: Look | None = None, *, temporary_only: bool = False) -> Collection:
        """What `gc` would give back, and what not and why."""
        look = look or self.threads.standing_in
        return collect(self.journal(), self.running.payloads, look, temporary_only=temporary_only)

    def gc(self, look: Look | None = None, *, temporary_only: bool = False) -> Collection:
        """Give back the memory and the records of reverted patches that nobody can be in or come back to.

        Args:
            look: says who stands in some spans, or will return into them; looks at all threads if not given.
            temporary_only: leave patches as they are.

        Returns:
            What was given back; and what was not, with the reason for each.
        """
        self.end_temporary()
        self.settle()
        if self._slots():
            self.threads.release()
        collection = self.plan_gc(look, temporary_only=temporary_only)
        for write in [*forgotten(self.running, collection, self.journal), *collection.writes]:
            self.target.write_many([write])
        contents = self.journal().contents
        for write in tidying_writes(contents.gaps, contents.end):
            self.target.write_many([write])
        return collection

    def _watch_apply(self, commit: Commit, immediate: bool) -> Watch | None:
        if immediate:
            check_immediate(self.running, commit.functions)
            return None
        self.threads.prepare()
        return Watch(self.threads, zones_of_apply(self.running, self.journal(), commit.functions))

    def _watch_revert(self, commit: Commit, leaving: Sequence[PatchStatus], immediate: bool) -> Watch | None:
        if immediate:
            check_immediate(self.running, commit.functions)
            return None
        self.threads.prepare()
        return Watch(self.threads, zones_of_revert(commit.functions, leaving))

    def _outcome(self, name: str, pause: Pause | None, first: int, immediate: bool = False) -> Outcome:
        return Outcome.of(name, pause, self.target.pauses[first:], immediate=immediate)


def _is_whole(status: PatchStatus) -> bool:
    return status.condition in (Condition.APPLIED, Condition.COVERED)
