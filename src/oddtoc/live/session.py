"""A session with one target: status, apply, revert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType

from oddtoc.check.finding import Finding
from oddtoc.debian.kernels import fetched_kernels
from oddtoc.errors import ChangedError, UsageError
from oddtoc.image.elf import Image
from oddtoc.kernel.running import RunningKernel
from oddtoc.link.object import PatchObject
from oddtoc.live.callbacks import Callbacks, around, unhook
from oddtoc.live.collect import Collection, Look, collect
from oddtoc.live.commit import Commit, carry_out
from oddtoc.live.journal import Condition, Journal, PatchStatus
from oddtoc.live.keeper import Keeper, admitted, logged_apply, logged_revert, logged_room
from oddtoc.live.leftover import take_back
from oddtoc.live.moduleroom import lacks_room, make_room
from oddtoc.live.moves import moves
from oddtoc.live.outcome import Outcome as Outcome
from oddtoc.live.plan import Plan, findings, images_of, plan_apply
from oddtoc.live.quiescence import KernelThreads, Watch, check_immediate, zones_of_apply, zones_of_revert
from oddtoc.live.record import Record
from oddtoc.live.running import Running, Target, Threads
from oddtoc.live.store import HEADER, State, state_write, tidying_writes
from oddtoc.live.tables import TABLES
from oddtoc.mechanism.catalog import AUTO
from oddtoc.process.running import RunningProcess
from oddtoc.process.threads import ProcessThreads
from oddtoc.slots import ReturnSlots
from oddtoc.target.connect import connect, parse_target
from oddtoc.target.pause import Pause
from oddtoc.target.process import ProcessTarget
from oddtoc.target.qemu import QemuTarget

DEFAULT_TIMEOUT = 10.0
_PIECE = 16 << 10
_ARRIVAL = ("pre_patch", "post_patch", "post_unpatch")
_DEPARTURE = ("pre_unpatch", "post_unpatch", "post_patch")


class Session:
    """A connection to a running kernel, identified by its build id, or to a process.

    Use it as a context manager; leaving it lets the target run on.

    Args:
        target: where it runs, already connected.
        image: the kernel's image.
        name: of the target, as the user wrote it.
        modules: folders with the files of its modules.

    Attributes:
        running: what runs there.

    Raises:
        MismatchError: another kernel runs there.
    """

    def __init__(self, target: QemuTarget, image: Image, name: str = "", modules: Sequence[Path] = ()) -> None:
        kernel = RunningKernel(image, target.read_many, modules)
        kernel.check_identity()
        target.mapping = kernel
        self._hold(target, name, kernel, lambda: KernelThreads(kernel, target, self._slots))

    def _hold(self, target: Target, name: str, running: Running, threads: Callable[[], Threads]) -> None:
        self.target = target
        self.keeper = Keeper(name or target.name)
        self.running = running
        self._make_threads = threads

    @property
    def kernel(self) -> RunningKernel:
        """The running kernel.

        Raises:
            UsageError: the target is a process.
        """
        if not isinstance(self.running, RunningKernel):
            raise UsageError(f"{self.keeper.target} is a process", advice="this works with kernels only")
        return self.running

    @property
    def guest(self) -> QemuTarget:
        """The guest that a kernel runs in.

        Raises:
            UsageError: the target is a process.
        """
        if not isinstance(self.target, QemuTarget):
            raise UsageError(f"{self.keeper.target} is a process", advice="this works with kernels only")
        return self.target

    @classmethod
    def open(
        cls,
        target: str,
        *,
        vmlinux: str | Path | None = None,
        modules: str | Path | None = None,
        remote: bool = False,
    ) -> Session:
        """Connect to a target.

        Args:
            target: ``guest:NAME``, ``gdb://host:port``, ``qmp:PATH`` or the path of a debug server's Unix socket; for
                a process behind a gdbserver ``#PID`` stands behind its address; ``pid:N`` is one of this machine.
            vmlinux: the kernel's ELF image with symbols; known already for ``guest:NAME``.
            modules: a folder with files of its modules; those of Debian's kernels in guests are known.
            remote: whether the debug server may be on another machine. Nothing on the way there is encrypted, and
                nobody proves who they are.

        Raises:
            UsageError: the target is malformed or on another machine, or an image is needed.
            TargetError: nobody answers there; TargetInUseError: somebody else is connected.
            MismatchError: another kernel runs there.
        """
        address = parse_target(target)
        vmlinux = vmlinux or address.vmlinux
        image = Image.open(vmlinux) if vmlinux else None
        if image is None and address.qmp:
            raise UsageError(f"which kernel runs at {target}?", advice="give its image with --vmlinux PATH")
        connection = connect(address, remote=remote)
        try:
            if isinstance(connection, ProcessTarget):
                return cls._of_process(connection, target)
            if image is None:
                raise UsageError(f"which kernel runs at {target}?", advice="give its image with --vmlinux PATH")
            return cls(connection, image, target, _module_folders(modules, address.vmlinux))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def _of_process(cls, target: ProcessTarget, name: str) -> Session:
        process = RunningProcess(target)
        session = cls.__new__(cls)
        session._hold(target, name, process, lambda: ProcessThreads(process, target, session._slots))
        return session

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the target, which runs on."""
        self.target.close()

    def journal(self) -> Journal:
        """The target's records, read now, with the live words they speak of.

        Raises:
            RecordError: the journal in the target is damaged.
        """
        return Journal(self.running.journal, self.running.read_many, self.running.is_here)

    def status(self) -> list[PatchStatus]:
        """Every recorded patch that was not reverted, oldest first, judged by the live words."""
        return self.journal().patches

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
        """What there is to say about a patch for this kernel or one of its modules. See `check_patch`."""
        return findings(self.kernel.subject(images_of(patch)), patch)

    def prepare(self, patch: PatchObject, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Have the kernel give memory near the module that a patch changes, if it has not yet. It keeps it for ever.

        Args:
            patch: the patch object; nothing has to be done for one that changes something else.
            timeout: seconds to wait for the kernel.

        Raises:
            NotLoadedError: the module is not loaded.
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
            self._check_empty(plan)
        self.settle(timeout=timeout)
        if plan.commit is None:
            return self._outcome(plan.record.name, None, first)
        for write in plan.journal_writes:
            self.target.write_many([write])
        for address, data, _ in plan.segments:
            for start in range(0, len(data), _PIECE):
                self.target.write_many([(address + start, data[start : start + _PIECE])])
        pause = self._commit(
            plan.record,
            _ARRIVAL if plan.journal_entry else ("", "post_patch", ""),
            partial(carry_out, self.target, plan.commit, timeout=timeout, watch=watch),
            abandoned=plan.journal_address if plan.journal_entry else None,
            timeout=timeout,
        )
        return self._outcome(plan.record.name, pause, first, immediate)

    @logged_revert
    def revert(self, name: str, *, timeout: float = DEFAULT_TIMEOUT, immediate: bool = False) -> Outcome:
        """Take a patch back, wherever it is in the stacks of its functions.

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
        abandoned: int | None,
        timeout: float,
    ) -> Pause:
        """A commit with the callbacks of its patch around it; the entry at `abandoned` ends if there is none."""

        def abandon() -> None:
            if abandoned is not None:
                self.target.write_many([state_write(abandoned, State.REVERTED)])

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

    def _slots(self) -> list[ReturnSlots]:
        return self.journal().return_slots

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
        for write in collection.writes:
            self.target.write_many([write])
        contents = self.journal().contents
        for write in tidying_writes(contents.gaps, contents.end):
            self.target.write_many([write])
        return collection

    @cached_property
    def threads(self) -> Threads:
        """The threads of the target, to be looked at."""
        return self._make_threads()

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

    def _check_empty(self, plan: Plan) -> None:
        requests = [(address, len(data)) for address, data, what in plan.segments if what != TABLES]
        # the header of a place that was given back is there
        requests.append((plan.journal_address + HEADER.size, len(plan.journal_entry) - HEADER.size))
        for (address, _), memory in zip(requests, self.target.read_many(requests), strict=True):
            if any(memory):
                raise ChangedError(
                    f"the memory at {address:#x} is in use: it is not zero",
                    address=address,
                    advice="something other than oddtoc has written there; nothing was changed",
                )

    def _outcome(self, name: str, pause: Pause | None, first: int, immediate: bool = False) -> Outcome:
        return Outcome.of(name, pause, self.target.pauses[first:], immediate=immediate)


def _module_folders(given: str | Path | None, vmlinux: Path | None) -> list[Path]:
    """Where the files of a kernel's modules may be: where the user says, and what was fetched with a guest's kernel."""
    fetched = [kernel.modules for kernel in fetched_kernels() if vmlinux and kernel.vmlinux.samefile(vmlinux)]
    return [*([Path(given)] if given else []), *fetched]
