"""Quiescence: no thread stands in, or will return into, code that changes.

Looked at inside the stop of a commit. Which tasks there are is found out beforehand, while the target runs, so that the
stop is short; what has changed since is noticed inside.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from oddtoc.errors import BusyError, FaultError, MechanismError, RecordError
from oddtoc.kernel.contexts import ContextFinder
from oddtoc.kernel.hidden import Hideouts
from oddtoc.kernel.offsets import Offsets, find_offsets
from oddtoc.kernel.running import RunningKernel
from oddtoc.kernel.standing import Lookout, Standing
from oddtoc.kernel.tasks import TaskFinder, Tasks
from oddtoc.live.journal import Journal, PatchStatus
from oddtoc.live.record import FINDER, FINDER_ISLANDS, ISLANDS, FunctionRecord
from oddtoc.live.running import Running, Threads
from oddtoc.mechanism.catalog import by_name
from oddtoc.mechanism.mark import is_marked
from oddtoc.places import Span, Zone, Zones
from oddtoc.slots import ReturnSlots, returned
from oddtoc.target.pause import uninterrupted
from oddtoc.target.qemu import Cpu, QemuTarget, Stopped

_LOCKS = ("text_mutex", "ftrace_lock", "jump_label_mutex", "kprobe_mutex")
"""`struct mutex` begins with its owner, 0 when it is free (include/linux/mutex.h)."""
_TASKS_IN_ONE_STOP = 12
_LINES_OF_STACK = 12
_CODE = ("text", "helpers", ISLANDS)
_FINDER = (FINDER, FINDER_ISLANDS)
_LATER = "try again later, or give it longer with --timeout"


class KernelThreads:
    """The threads of one kernel, to be looked at in a stop.

    Args:
        kernel: the kernel.
        target: where it runs.
        find_slots: says which return addresses traces keep.
    """

    def __init__(
        self, kernel: RunningKernel, target: QemuTarget, find_slots: Callable[[], Sequence[ReturnSlots]]
    ) -> None:
        self._find_slots = find_slots
        self._kernel = kernel
        self._target = target
        symbols = kernel.image.symbols
        self._lookout: Lookout | None = None
        self._slots: Sequence[ReturnSlots] = ()
        self._locks = {symbol.address: name for name in _LOCKS for symbol in symbols.find(name)}

    def prepare(self) -> None:
        """Find the tasks while the target runs, in short stops.

        Raises:
            RecordError: the kernel's tasks can't be found at all.
        """
        finder = self._finder
        complete = False
        while not complete:
            with self._target.stopped() as stopped:
                complete = finder.explore(stopped.read_many, _TASKS_IN_ONE_STOP)
        # what takes long is made now and not inside a stop; other modules may be looked at than the last time
        hideouts = Hideouts.of(self._kernel.image, self._kernel.code_rooms)
        self._slots = self._find_slots()
        self._lookout = Lookout(self._kernel.image, self._offsets.hidden, hideouts, self._slots)
        self._contexts  # noqa: B018
        self._kernel.place(next(iter(self._locks), 0))

    def standing_in(self, spans: Iterable[Span]) -> BusyError | None:
        """Who stands in some memory or will return into it, in a stop of its own; None if nobody does.

        Raises:
            RecordError: the kernel's tasks can't be found at all.
        """
        self.prepare()
        zones = Zones(Zone(span, f"the code at {span.start:#x}") for span in spans)
        with self._target.stopped() as stopped:
            cpus, memory = stopped.look(self.requests())
            return self.obstacle(zones, stopped, cpus, memory)

    def release(self) -> None:
        """Put return addresses that traces keep back onto the stacks that they were taken from, where they are found.

        Who holds one in a register comes back through the trace: its slot stays as it is.
        """
        self.prepare()
        with uninterrupted(), self._target.stopped() as stopped:
            cpus, memory = stopped.look(self.requests())
            tasks = self._finder.settle(memory[len(self._locks) :], stopped.read_many)
            spans = {span for context in self._contexts.contexts(tasks, cpus) for span in context.stacks}
            writes = []
            for span, content in zip(spans, stopped.read_many([(s.start, s.size) for s in spans]), strict=True):
                writes += returned(span.start, content, self._slots, stopped.read_many)
            stopped.write_many(writes)

    def requests(self) -> list[tuple[int, int]]:
        """What `obstacle` wants to have read: (address, size in bytes) each."""
        return [*((lock, 8) for lock in self._locks), *self._finder.requests()]

    def obstacle(
        self, zones: Zones, stopped: Stopped, cpus: Sequence[Cpu], memory: Sequence[bytes]
    ) -> BusyError | None:
        """What is in the way of a change of code; None when nothing is.

        Args:
            zones: the code.
            stopped: the target.
            cpus: its vCPUs.
            memory: what was read for `requests`, in the same stop.
        """
        owners = [struct.unpack("<Q", one)[0] for one in memory[: len(self._locks)]]
        for name, owner in zip(self._locks.values(), owners, strict=True):
            if owner:
                return BusyError(f"the kernel is patching itself: {name} is held", advice=_LATER)
        try:
            tasks = self._finder.settle(memory[len(self._locks) :], stopped.read_many)
            return self._in_the_way(zones, stopped, cpus, tasks)
        except (FaultError, RecordError) as error:
            return BusyError(
                f"the kernel's threads can't be followed: {error.message}", address=error.address, advice=_LATER
            )

    def _in_the_way(self, zones: Zones, stopped: Stopped, cpus: Sequence[Cpu], tasks: Tasks) -> BusyError | None:
        contexts = self._contexts.contexts(tasks, cpus)
        for cpu in cpus:
            if self._contexts.is_elsewhere(cpu, contexts):
                return BusyError(
                    f"vCPU {cpu.id} is between two tasks or in an emergency: its stack is none that is known",
                    advice=_LATER,
                )
        assert self._lookout is not None
        spans = [span for context in contexts for span in context.stacks]
        stacks = stopped.read_many([(span.start, span.size) for span in spans])
        for found in self._lookout.standing(contexts, stacks, zones, stopped.read_many):
            if self._finder.owns_stack(found.task, stopped.read_many):
                return self._busy(found, str(self._finder.named(found.task, stopped.read_many)))
        return None

    def _busy(self, found: Standing, task: str) -> BusyError:
        lines = [self._kernel.place(address) for address in (found.address, *found.returns)]
        shown = lines[1 : _LINES_OF_STACK + 1]
        return BusyError(
            f"{task} {found.where} and is in {found.zone.name}, at {lines[0]}",
            address=found.address,
            function=found.zone.name,
            stack=shown,
            advice=_LATER,
        )

    @cached_property
    def _offsets(self) -> Offsets:
        return find_offsets(self._kernel.image, self._target.read_many)

    @cached_property
    def _finder(self) -> TaskFinder:
        return TaskFinder(self._kernel.image, self._offsets, self._target.read_many)

    @cached_property
    def _contexts(self) -> ContextFinder:
        finder, size = self._finder, self._offsets.stack_size
        return ContextFinder(self._kernel.image, size, finder.cpu_count, self._target.read_many)


@dataclass(frozen=True)
class Watch:
    """Threads, and the code that they must have left."""

    threads: Threads
    zones: Zones

    def requests(self) -> list[tuple[int, int]]:
        """What `obstacle` wants to have read: (address, size in bytes) each."""
        return self.threads.requests()

    def obstacle(self, stopped: Any, cpus: Any, memory: Sequence[bytes]) -> BusyError | None:
        """See `Threads.obstacle`."""
        return self.threads.obstacle(self.zones, stopped, cpus, memory)


def zones_of_apply(running: Running, journal: Journal, functions: Sequence[FunctionRecord]) -> Zones:
    """What nobody may be in when functions are redirected: their own code, and that of all patches over them."""
    entries = {function.entry for function in functions}
    below = [
        (status, function)
        for status in journal.patches
        for function, condition in status.functions
        if function.entry in entries and condition.in_force
    ]
    left = [zone for status, function in below for zone in _payload(status, _FINDER if function.finder else _CODE)]
    bodies = [zone for function in functions if not function.is_data for zone in _body(running, function)]
    return Zones([*_windows(functions), *bodies, *left])


def zones_of_revert(functions: Sequence[FunctionRecord], leaving: Sequence[PatchStatus]) -> Zones:
    """What nobody may be in when patches are taken back: the entries of their functions, and their payloads."""
    left = [zone for status in leaving for zone in _payload(status, (*_CODE, *_FINDER))]
    return Zones([*_windows(functions), *left])


def check_immediate(running: Running, functions: Iterable[FunctionRecord]) -> None:
    """Whether words may change although threads may stand before, between and behind them.

    Raises:
        MechanismError: one that does would go wrong.
    """
    for function in functions:
        if function.is_data:
            continue
        if running.subject_at(function.entry).is_jumped_to(function.entry, function.behind):
            raise _refused(function, "a thread in a loop of it would come back to the branch in mid-course")
        for change in function.changes:
            if change.role == "mark" and not (is_marked(change.new) and _tells_without_mark(function.mechanism)):
                raise _refused(function, "a thread between its entry and the branch would go on with a wrong r2")


def _refused(function: FunctionRecord, why: str) -> MechanismError:
    return MechanismError(
        f"{function.name} can't be changed with --immediate: {why}",
        address=function.entry,
        function=function.name,
        advice="leave --immediate out, so that stacks are looked at; shared-toc changes one word and needs no mark",
    )


def _tells_without_mark(mechanism: str) -> bool:
    detection = by_name(mechanism).detection
    return detection is not None and not detection.needs_mark


def _windows(functions: Iterable[FunctionRecord]) -> Iterator[Zone]:
    for function in functions:
        if function.is_data:
            continue
        yield Zone(Span(function.entry + 4, function.behind + 4), function.name)


def _body(running: Running, function: FunctionRecord) -> Iterator[Zone]:
    return running.subject_at(function.entry).body(function.name, function.entry, function.behind)


def _payload(status: PatchStatus, areas: Sequence[str]) -> Iterator[Zone]:
    for area, span in status.record.spans.items():
        if area in areas and span.size > 0:
            yield Zone(span, f"the patch {status.record.name}")
