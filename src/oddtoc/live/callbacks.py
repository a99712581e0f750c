"""Callbacks of a patch, run inside of the target.

Nobody outside can make a kernel call a function safely; a thread of its own has to come by where a call does no harm.
While callbacks have to run, a function that such a thread calls all the time is redirected to a hook in the payload
(oddtoc_callbacks.h). oddtoc puts the address of the callback into the mailbox; the hook calls it, and leaves there what
it returned. A hook that a killed run left in place does nothing but look at an empty mailbox, and the next operation
takes it back.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from oddtoc.errors import BusyError, ChangedError, FaultError, StateError
from oddtoc.kernel.running import RunningKernel
from oddtoc.live.commit import Commit, carry_out
from oddtoc.live.journal import Journal
from oddtoc.live.moves import moves
from oddtoc.live.quiescence import Watch, zones_of_apply, zones_of_revert
from oddtoc.live.record import FunctionRecord, Record
from oddtoc.live.running import Running, Target, Threads
from oddtoc.target.pause import Pause

_MAILBOX = struct.Struct("<QQQq")
_REQUEST = struct.Struct("<QQ")
_BETWEEN_LOOKS = 0.03
"""Seconds."""


@dataclass(frozen=True)
class Turn:
    """The callbacks of one record around a commit.

    Attributes:
        record: of a patch, or of a part of one.
        whens: which runs before; after; and instead of the latter if there is no commit after all.
        hooks: what is hooked for that: the record's own, or those of another that it needs.
    """

    record: Record
    whens: tuple[str, str, str]
    hooks: tuple[FunctionRecord, ...]

    @property
    def is_needed(self) -> bool:
        """Whether the record has any that run before or after."""
        return bool(dict(self.record.callbacks).keys() & set(self.whens[:2]))


def turn(journal: Journal, record: Record, whens: tuple[str, str, str]) -> Turn:
    """The callbacks of a record that is in the journal. See `Turn`."""
    return Turn(record, whens, hooks_of(journal, record))


def hooks_of(journal: Journal, record: Record) -> tuple[FunctionRecord, ...]:
    """What is hooked so that the callbacks of a record run; another record has that for what changes a module."""
    needed = (entry.record.hooks for entry in journal.contents.entries if entry.record.serial in record.needs)
    return record.hooks or next((hooks for hooks in needed if hooks), ())


class Callbacks:
    """The callbacks of what a commit is about. A context manager: a hook is in place inside, if there are any to run.

    One hook serves all: they are the same code, which looks into one mailbox.

    Args:
        target: the target.
        running: what runs there.
        threads: its threads.
        journal: reads what is in force.
        turns: what may run; those of one record are done before the next one's.
        timeout: seconds to wait for threads to leave the function that is hooked, and for each callback.
    """

    def __init__(
        self,
        target: Target,
        running: Running,
        threads: Threads,
        journal: Callable[[], Journal],
        turns: Sequence[Turn],
        timeout: float,
    ) -> None:
        self._target = target
        self._running = running
        self._threads = threads
        self.turns = [one for one in turns if one.is_needed]
        self._hooks: tuple[FunctionRecord, ...] = ()
        if self.turns:
            self._journal = journal()
            self._hooks = moves(self._journal, (), self.turns[0].hooks)
        self._timeout = timeout
        self.stuck = False

    def __enter__(self) -> Callbacks:
        if self._hooks:
            self._threads.prepare()
            zones = zones_of_apply(self._running, self._journal, self._hooks)
            commit = Commit(self._hooks, (), accepted=True)
            carry_out(self._target, commit, timeout=self._timeout, watch=Watch(self._threads, zones))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._hooks and not self.stuck:
            back = [_reversed(hook) for hook in self._hooks]
            unhook(self._target, self._threads, back, timeout=self._timeout)

    def run(self, turn: Turn, when: str) -> int:
        """Have one callback run, and wait for it.

        Args:
            turn: whose.
            when: which.

        Returns:
            What it returned, as an int of C; 0 if the patch has none.

        Raises:
            BusyError: nobody came by to run it; it did not run, and will not.
            StateError: it has not returned; it still runs.
        """
        address, name = dict(turn.record.callbacks).get(when), turn.record.name
        if address is None:
            return 0
        if not isinstance(self._running, RunningKernel):
            raise StateError(f"{name} has callbacks, which only kernels run")
        mailbox = self._running.mailbox
        token = secrets.randbits(63) | 1
        self._target.write_many([(mailbox, _REQUEST.pack(address, token))])
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            time.sleep(_BETWEEN_LOOKS)
            _, _, done, result = _MAILBOX.unpack(self._target.read(mailbox, _MAILBOX.size))
            if done == token:
                return int(result + (1 << 31)) % (1 << 32) - (1 << 31)
        raise self._too_late(name, when, mailbox)

    def _too_late(self, name: str, when: str, mailbox: int) -> BusyError | StateError:
        with self._target.stopped() as stopped:
            request, *_ = _MAILBOX.unpack(stopped.read_many([(mailbox, _MAILBOX.size)])[0])
            if request:
                stopped.write_many([(mailbox, bytes(8))])
        if request:
            return BusyError(
                f"no thread came by to run the {when} callback of {name}; it did not run",
                advice="is vm.compaction_proactiveness 0? kcompactd then sleeps; or give it longer with --timeout",
            )
        self.stuck = True
        return StateError(f"the {when} callback of {name} has not returned after {self._timeout:g} s; it still runs")


def unhook(target: Target, threads: Threads, hooks: list[FunctionRecord], *, timeout: float) -> None:
    """Let hooked functions be as they were. Somebody may still be in the hook: its payload stays where it is.

    Args:
        target: the target.
        threads: its threads.
        hooks: with changes from what stands there to what has to.
        timeout: seconds to wait for threads to leave the entries.

    Raises:
        BusyError: somebody stood in an entry all the time.
    """
    threads.prepare()
    watch = Watch(threads, zones_of_revert(hooks, []))
    carry_out(target, Commit(hooks, (), accepted=True), timeout=timeout, watch=watch)


def around(callbacks: Callbacks, commit: Callable[[], Pause], abandon: Callable[[], None]) -> Pause:
    """A commit with the callbacks before and after it.

    Args:
        callbacks: of what it is about.
        commit: changes the words.
        abandon: what is left to do if they don't change.

    Raises:
        StateError: the callback before said no, or does not return.
        OddtocError: what the commit raises.
    """
    committed = False
    try:
        with callbacks:
            begun: list[Turn] = []
            try:
                for one in callbacks.turns:
                    _run_before(callbacks, one)
                    begun.append(one)
                pause = commit()
            except (BusyError, ChangedError, FaultError, StateError):
                for one in reversed(begun if not callbacks.stuck else ()):
                    callbacks.run(one, one.whens[2])
                raise
            committed = True
            for one in callbacks.turns:
                callbacks.run(one, one.whens[1])
        return pause
    except (BusyError, ChangedError, FaultError, StateError):
        if not committed:
            abandon()
        raise


def _run_before(callbacks: Callbacks, turn: Turn) -> None:
    when, name = turn.whens[0], turn.record.name
    said = callbacks.run(turn, when)
    if said and when == "pre_patch":
        raise StateError(f"the pre_patch callback of {name} said {said}: the patch is not applied")


def _reversed(hook: FunctionRecord) -> FunctionRecord:
    return replace(hook, changes=tuple(replace(change, old=change.new, new=change.old) for change in hook.changes))
