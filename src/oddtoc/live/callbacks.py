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
from collections.abc import Callable
from dataclasses import replace
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


class Callbacks:
    """The callbacks of one patch. A context manager: the hook is in place inside, if there is anything to run.

    Args:
        target: the target.
        running: what runs there.
        threads: its threads.
        journal: reads what is in force.
        record: of the patch.
        whens: which may run; no hook is needed where the patch has none of the first two.
        timeout: seconds to wait for threads to leave the function that is hooked, and for each callback.
    """

    def __init__(
        self,
        target: Target,
        running: Running,
        threads: Threads,
        journal: Callable[[], Journal],
        record: Record,
        whens: tuple[str, str, str],
        timeout: float,
    ) -> None:
        self._target = target
        self._running = running
        self._threads = threads
        self._name = record.name
        addresses = dict(record.callbacks)
        self._addresses = addresses if addresses.keys() & set(whens[:2]) else {}
        self._hooks: tuple[FunctionRecord, ...] = ()
        if self._addresses:
            self._journal = journal()
            self._hooks = moves(self._journal, (), record.hooks)
        self._timeout = timeout
        self._stuck = False

    def __enter__(self) -> Callbacks:
        if self._hooks:
            self._threads.prepare()
            zones = zones_of_apply(self._running, self._journal, self._hooks)
            commit = Commit(self._hooks, (), accepted=True)
            carry_out(self._target, commit, timeout=self._timeout, watch=Watch(self._threads, zones))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._hooks and not self._stuck:
            back = [_reversed(hook) for hook in self._hooks]
            unhook(self._target, self._threads, back, timeout=self._timeout)

    def run(self, when: str) -> int:
        """Have one callback run, and wait for it.

        Returns:
            What it returned, as an int of C; 0 if the patch has none.

        Raises:
            BusyError: nobody came by to run it; it did not run, and will not.
            StateError: it has not returned; it still runs.
        """
        address = self._addresses.get(when)
        if address is None:
            return 0
        if not isinstance(self._running, RunningKernel):
            raise StateError(f"{self._name} has callbacks, which only kernels run")
        mailbox = self._running.mailbox
        token = secrets.randbits(63) | 1
        self._target.write_many([(mailbox, _REQUEST.pack(address, token))])
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            time.sleep(_BETWEEN_LOOKS)
            _, _, done, result = _MAILBOX.unpack(self._target.read(mailbox, _MAILBOX.size))
            if done == token:
                return int(result + (1 << 31)) % (1 << 32) - (1 << 31)
        raise self._too_late(when, mailbox)

    def _too_late(self, when: str, mailbox: int) -> BusyError | StateError:
        with self._target.stopped() as stopped:
            request, *_ = _MAILBOX.unpack(stopped.read_many([(mailbox, _MAILBOX.size)])[0])
            if request:
                stopped.write_many([(mailbox, bytes(8))])
        if request:
            return BusyError(
                f"no thread came by to run the {when} callback of {self._name}; it did not run",
                advice="is vm.compaction_proactiveness 0? kcompactd then sleeps; or give it longer with --timeout",
            )
        self._stuck = True
        return StateError(
            f"the {when} callback of {self._name} has not returned after {self._timeout:g} s; it still runs"
        )


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


def around(
    callbacks: Callbacks,
    name: str,
    whens: tuple[str, str, str],
    commit: Callable[[], Pause],
    abandon: Callable[[], None],
) -> Pause:
    """A commit with the callbacks before and after it.

    Args:
        callbacks: of the patch.
        name: of the patch.
        whens: which callback runs before; after; and instead of the latter if there is no commit after all.
        commit: changes the words.
        abandon: what is left to do if they don't change.

    Raises:
        StateError: the callback before said no, or does not return.
        OddtocError: what the commit raises.
    """
    before, after, instead = whens
    committed = False
    try:
        with callbacks:
            said = callbacks.run(before)
            if said and before == "pre_patch":
                raise StateError(f"the pre_patch callback of {name} said {said}: the patch is not applied")
            try:
                pause = commit()
            except (BusyError, ChangedError, FaultError):
                callbacks.run(instead)
                raise
            committed = True
            callbacks.run(after)
        return pause
    except (BusyError, ChangedError, FaultError, StateError):
        if not committed:
            abandon()
        raise


def _reversed(hook: FunctionRecord) -> FunctionRecord:
    return replace(hook, changes=tuple(replace(change, old=change.new, new=change.old) for change in hook.changes))
