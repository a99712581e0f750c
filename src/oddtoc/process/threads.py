"""Who stands in code that changes, or will return into it: all threads of a process, looked at in one stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from oddtoc.errors import BusyError, FaultError
from oddtoc.places import Span, Zone, Zones
from oddtoc.process.maps import Mapping, parse_maps
from oddtoc.process.running import RunningProcess
from oddtoc.process.stacks import Walk
from oddtoc.slots import ReturnSlots, kept_in_slots
from oddtoc.target.process import ProcessTarget, StoppedProcess
from oddtoc.target.thread import Thread

_LATER = "try again later, or give it longer with --timeout"
_NOWHERE = Span(0, 0)
_MOST_ROUNDS = 4096
_LINES_OF_STACK = 12


class ProcessThreads:
    """The threads of one process, to be looked at in a stop.

    Args:
        process: the process.
        target: where it runs.
        find_slots: says which return addresses traces keep.
    """

    def __init__(
        self, process: RunningProcess, target: ProcessTarget, find_slots: Callable[[], Sequence[ReturnSlots]]
    ) -> None:
        self._find_slots = find_slots
        self._slots: Sequence[ReturnSlots] = ()
        self._process = process
        self._target = target
        self._mappings: list[Mapping] = []

    def prepare(self) -> None:
        """Find the stacks, while the process runs."""
        self._slots = self._find_slots()
        self._read_mappings()

    def standing_in(self, spans: Iterable[Span]) -> BusyError | None:
        """Who stands in some memory or will return into it, in a stop of its own; None if nobody does."""
        self.prepare()
        zones = Zones(Zone(span, f"the code at {span.start:#x}") for span in spans)
        with self._target.stopped() as stopped:
            return self.obstacle(zones, stopped, stopped.cpus(), [])

    def release(self) -> None:
        """Nothing: calls of a process come back soon, or stay where they are."""

    def requests(self) -> list[tuple[int, int]]:
        """Nothing: where stacks are is told by the registers."""
        return []

    def obstacle(
        self, zones: Zones, stopped: StoppedProcess, cpus: Sequence[Thread], memory: Sequence[bytes]
    ) -> BusyError | None:
        """Who is in the way of a change of code; None when nobody is.

        Args:
            zones: the code.
            stopped: the process.
            cpus: its threads.
            memory: nothing.
        """
        del memory
        try:
            walks = self._walked(stopped, cpus)
            for walk in walks:
                walk.words |= kept_in_slots(walk.words, self._slots, stopped.read_many)
        except FaultError as error:
            return BusyError(f"a stack can't be read: {error.message}", address=error.address, advice=_LATER)
        everything = np.array([*set().union(*(walk.words for walk in walks))], np.uint64)
        if not zones.holds(everything).any():
            return None
        for thread, walk in zip(cpus, walks, strict=True):
            counted = np.array(sorted(walk.words), np.uint64)
            found = counted[zones.holds(counted)]
            if len(found):
                order = (thread.registers["pc"], *walk.returns)
                return self._busy(thread, zones, next((a for a in order if a in found), int(found[0])), walk)
        return None

    def _walked(self, stopped: StoppedProcess, threads: Sequence[Thread]) -> list[Walk]:
        vdso = next((m.span for m in self._mappings if m.path == "[vdso]"), _NOWHERE)
        walks = [Walk(thread.registers, self._stack_of(thread.registers["r1"]), vdso) for thread in threads]
        for _ in range(_MOST_ROUNDS):
            asking = [(walk, walk.wanted) for walk in walks if walk.wanted is not None]
            if not asking:
                break
            memory = stopped.read_many([wanted for _, wanted in asking])
            for (walk, wanted), one in zip(asking, memory, strict=True):
                elsewhere = walk.feed(wanted[0], one)
                if elsewhere is not None:
                    walk.move(self._stack_of(elsewhere))
        return walks

    def _stack_of(self, address: int) -> Span:
        for again in (False, True):
            if again:
                self._read_mappings()
            for mapping in self._mappings:
                if address in mapping.span:
                    return mapping.span
        raise FaultError(f"no stack is mapped at {address:#x}", address=address, size=8)

    def _read_mappings(self) -> None:
        self._mappings = parse_maps(self._target.read_file(f"/proc/{self._target.pid}/maps").decode(errors="replace"))

    def _busy(self, thread: Thread, zones: Zones, address: int, walk: Walk) -> BusyError:
        zone = zones.at(address)
        stack = [self._place(one) for one in walk.returns[:_LINES_OF_STACK]]
        return BusyError(
            f"{thread.label} is in {zone.name}, at {self._place(address)}",
            address=address,
            function=zone.name,
            stack=stack,
            advice=_LATER,
        )

    def _place(self, address: int) -> str:
        return self._process.place(address)
