"""A session with one target: status, apply, revert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from oddtoc.check.finding import Finding
from oddtoc.link.object import PART_MARK, PatchObject
from oddtoc.live.attached import Attached
from oddtoc.live.callbacks import Callbacks, around, unhook
from oddtoc.live.collect import Collection, Look, collect
from oddtoc.live.commit import Commit, carry_out
from oddtoc.live.frames import forgotten
from oddtoc.live.journal import Condition, Journal, PatchStatus
from oddtoc.live.keeper import admitted, logged_apply, logged_revert, logged_room
from oddtoc.live.leftover import take_back
from oddtoc.live.moduleroom import lacks_room, make_room
from oddtoc.live.moves import moves
from oddtoc.live.outcome import Outcome as Outcome
from oddtoc.live.plan import Plan, findings, images_of, plan_apply
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
    ) -> Plan:
        """Everything that applying a patch would write. See `plan_apply`."""
        return plan_apply(self.running, self.journal(), patch, mechanism=mechanism, which=which, replace=replace)

    def check(self, patch: PatchObject) -> list[Finding]:
        """What there is to say about a patch for what runs here. See `check_patch`."""
        return [found for part in patch.parts for found in findings(self.running.subject(images_of(part)), part)]

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

    @logged_apply
    def apply(
        self, plan: Plan, *, timeout: float = DEFAULT_TIMEOUT, immediate: bool = False, unused: bool = False
    ) -> Outcome:
        """Carry out a plan: intent and payload while the target runs, then the commit in one stop.

        Killed anywhere, it leaves a record that the next command goes on from.

        Args:
            plan: from `plan`, made in this session.
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
        watch = self._watch_apply(plan, immediate) if plan.commit and not unused else None
        if plan.commit:
            self.running.make_room(plan.subject)
        if plan.journal_entry:
            check_empty(self.target, plan)
        self.settle(timeout=timeout)
        if plan.commit is None:
            return self._outcome(plan.record.name, None, first)
        write_intent(self.target, plan, self.running.journal)
        pause = self._commit(
            plan.record,
            _ARRIVAL if plan.journal_entry else ("", "post_patch", ""),
            partial(carry_out, self.target, plan.commit, timeout=timeout, watch=watch),
            abandoned=plan.commit.entry,
            timeout=timeout,
        )
        return self._outcome(plan.record.name, pause, first, immediate)

    @logged_revert
    def revert(self, name: str, *, timeout: float = DEFAULT_TIMEOUT, immediate: bool = False) -> Outcome:
        """Take a patch back, wherever it is in the stacks of its functions; its further parts before that.

        Functions that a later patch covers stay as they are. Its payload stays in memory, untouched: a thread may
        still be in it (see `gc`).

        Args:
            name: of the patch.
            timeout: seconds to wait for threads to leave the functions that change.
            immediate: don't look at their stacks: a thread may then run the old code to its end, and the new one at
                the same time.

        Raises:
            StateError: no such patch is applied, or another one is half-way.
            BusyError: a thread stood in the way all the time; the patch is still applied.
            MechanismError: it can't be done without looking at stacks.
        """
        first = len(self.target.pauses)
        ended = self.end_temporary(timeout=timeout)
        if ended and name in ended.name.split():
            return ended
        journal = self.journal()
        for part in _further_parts(journal, name):
            self.revert(part, timeout=timeout, immediate=immediate)
            journal = self.journal()
        commit = self._revert_commit(journal, name)
        status = journal.find(name)
        self.settle(timeout=timeout)
        if not status.present:
            # a killed run got as far as the words
            return self._outcome(name, None, first)
        watch = self._watch_revert(commit, status, immediate)
        pause = self._commit(
            status.record,
            _DEPARTURE if status.condition in (Condition.APPLIED, Condition.COVERED) else ("", "post_unpatch", ""),
            partial(carry_out, self.target, commit, timeout=timeout, watch=watch),
            abandoned=None,
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
        record: Record,
        whens: tuple[str, str, str],
        commit: Callable[[], Pause],
        *,
        abandoned: Write | None,
        timeout: float,
    ) -> Pause:
        """A commit with the callbacks of its patch around it; the entry `abandoned` ends if there is none."""

        def abandon() -> None:
            if abandoned is not None:
                abandon_intent(self.target, abandoned)

        callbacks = Callbacks(self.target, self.running, self.threads, self.journal, record, whens, timeout)
        return around(callbacks, record.name, whens, commit, abandon)

    def plan_revert(self, name: str) -> Commit:
        """What reverting a patch would write."""
        return self._revert_commit(self.journal(), name)

    def _revert_commit(self, journal: Journal, name: str) -> Commit:
        status = journal.find(name)
        journal.check_whole(name)
        state = state_write(status.entry.address, State.REVERTED)
        return Commit(moves(journal, [status]), [state], accepted=True)

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

    def _watch_apply(self, plan: Plan, immediate: bool) -> Watch | None:
        functions = plan.commit.functions if plan.commit else ()
        if immediate:
            check_immediate(self.running, functions)
            return None
        self.threads.prepare()
        return Watch(self.threads, zones_of_apply(self.running, self.journal(), functions))

    def _watch_revert(self, commit: Commit, status: PatchStatus, immediate: bool) -> Watch | None:
        if immediate:
            check_immediate(self.running, commit.functions)
            return None
        self.threads.prepare()
        return Watch(self.threads, zones_of_revert(commit.functions, [status]))

    def _outcome(self, name: str, pause: Pause | None, first: int, immediate: bool = False) -> Outcome:
        return Outcome.of(name, pause, self.target.pauses[first:], immediate=immediate)


def _further_parts(journal: Journal, name: str) -> list[str]:
    """The parts of a patch behind the first one that are in force, the last one first."""
    names = [status.record.name for status in journal.patches if status.present]
    return [other for other in reversed(names) if other.startswith(f"{name}{PART_MARK}")]
