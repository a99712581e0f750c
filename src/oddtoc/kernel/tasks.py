"""All tasks of a running kernel: processes, their threads, kernel threads, and the idle task of every CPU.

Processes hang in `init_task`'s list `tasks`; the threads of one in the list at `signal->thread_head`
(include/linux/sched/signal.h). Idle tasks are on no list: they are in the per-CPU variable `idle_threads`
(kernel/smpboot.c). A task that is exiting leaves its lists before it stops running: as long as it has a CPU it is
found as the running task of that CPU's PACA, and when it waits for one in its run queue (see `runqueues`).

Links are followed in the way the kernel's own readers follow them under RCU: forward only, which is right at every
moment, also in the middle of an insertion. To keep a stop short, tasks are found beforehand, while the kernel runs;
inside the stop their links are read all at once, and only what has appeared since is followed one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter

from oddtoc.errors import FaultError, RecordError
from oddtoc.image.elf import Image
from oddtoc.kernel.offsets import Offsets, ReadMany
from oddtoc.kernel.runqueues import find_run_queues

_MOST_CPUS = 2048
_MOST_TASKS = 1 << 16
_COMM_SIZE = 16


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        address: of its task_struct.
        comm: its name, made printable.
        pid: its process id in the first namespace; None when unknown. A thread has one of its own.
        stack: lowest address of its kernel stack, told from `ksp` as the kernel itself does it; of a zombie it may be
            somebody else's by now (see `TaskFinder.owns_stack`).
        ksp: where its r1 was when it last gave up its CPU; means nothing while it runs.
    """

    address: int
    comm: str
    pid: int | None
    stack: int
    ksp: int

    def __str__(self) -> str:
        return f"{self.comm} (pid {self.pid})" if self.pid is not None else self.comm


@dataclass(frozen=True)
class CpuState:
    """One CPU as the kernel sees it: its number, the address of its PACA, and its running task."""

    number: int
    paca: int
    current: int


@dataclass(frozen=True)
class Tasks:
    """All tasks, by address, and the CPUs that are online."""

    tasks: dict[int, Task]
    cpus: tuple[CpuState, ...]


@dataclass(frozen=True)
class _Links:
    following: int
    """The next process's `tasks`."""
    thread: int
    thread_before: int
    """The next and the previous `thread_node`, or the list's head."""
    ksp: int
    queued: int
    """The next `group_node` of its run queue, or the list's head."""

    @classmethod
    def read(cls, memory: Sequence[bytes]) -> _Links:
        """From what `TaskFinder` asks for of one task."""
        tasks, threads, ksp, *queued = memory
        following = _number(queued[0]) if queued else 0
        return cls(_number(tasks), _number(threads[:8]), _number(threads[8:]), _number(ksp), following)


class TaskFinder:
    """Finds the tasks of one kernel, again and again.

    Args:
        image: the kernel's image.
        offsets: where their members are.
        read_many: reads live memory; used for what never changes.

    Attributes:
        cpu_count: how many CPUs there may be.

    Raises:
        RecordError: the number of CPUs makes no sense.
    """

    def __init__(self, image: Image, offsets: Offsets, read_many: ReadMany) -> None:
        self._offsets = offsets
        symbols = image.symbols
        self._first = symbols.one("init_task").address
        (count,) = struct.unpack("<I", read_many([(symbols.one("nr_cpu_ids").address, 4)])[0])
        if not 0 < count <= _MOST_CPUS:
            raise RecordError(f"the kernel says that it has {count} CPUs", address=symbols.one("nr_cpu_ids").address)
        (pacas,) = struct.unpack("<Q", read_many([(symbols.one("paca_ptrs").address, 8)])[0])
        per_cpu = symbols.one("__per_cpu_offset").address
        pointers, distances = read_many([(pacas, 8 * count), (per_cpu, 8 * count)])
        self.cpu_count = count
        self._pacas = struct.unpack(f"<{count}Q", pointers)
        idle = symbols.one("idle_threads").address
        here = [distance for distance in struct.unpack(f"<{count}Q", distances) if distance]
        self._idle_slots = [idle + distance for distance in here]
        self._queues = find_run_queues(image, here)
        self._online = (symbols.one("__cpu_online_mask").address, -(-count // 64) * 8)
        self._names: dict[int, tuple[str, int | None]] = {}
        self._known: list[int] = []
        self._asked: tuple[int, ...] = ()
        idle_now = read_many([(slot, 8) for slot in self._idle_slots])
        self._frontier = [(self._first, True)]
        self._frontier += [(a, False) for a in map(_number, idle_now) if a not in (0, self._first)]
        queued = ((self._queues.node, 8),) if self._queues else ()
        self._fields = ((offsets.tasks, 8), (offsets.thread_node, 16), (offsets.ksp, 8), *queued)

    def explore(self, read_many: ReadMany, rounds: int) -> bool:
        """Find tasks of a kernel that may run on in between calls: what is found is where `requests` will look.

        Args:
            read_many: reads live memory.
            rounds: how many tasks to follow one after the other.

        Returns:
            Whether there is nothing left to follow.
        """
        for _ in range(rounds):
            if not self._frontier or len(self._known) > _MOST_TASKS:
                return True
            here, self._frontier = self._frontier, []
            try:
                self._follow(here, read_many)
            except FaultError:
                # a list that changed under our eyes led nowhere: the look inside the stop follows it again
                return True
        return False

    def _follow(self, frontier: Sequence[tuple[int, bool]], read_many: ReadMany) -> None:
        o = self._offsets
        here = dict(frontier)
        links = self._links(list(here), read_many)
        self._name(list(here), read_many)
        self._known += here
        several = [a for a in here if links[a].thread != links[a].thread_before]
        shared = read_many([(a + o.signal, 8) for a in several]) if several else []
        heads = {_number(one) + o.thread_head for one in shared}
        found = [(links[a].thread - o.thread_node, False) for a in several if links[a].thread not in heads]
        found += [(links[a].following - o.tasks, True) for a, is_leader in here.items() if is_leader]
        seen = set(self._known)
        self._frontier = [(a, is_leader) for a, is_leader in found if a not in seen]

    def requests(self) -> list[tuple[int, int]]:
        """What `settle` wants to have read: (address, size in bytes) each."""
        o = self._offsets
        cpus = [(paca + o.current, 8) for paca in self._pacas if paca]
        idle = [(slot, 8) for slot in self._idle_slots]
        queues = [(head, 8) for head in self._heads]
        self._asked = tuple(self._known)
        return [self._online, *cpus, *idle, *queues, *(r for a in self._asked for r in self._fields_of(a))]

    def settle(self, memory: Sequence[bytes], read_many: ReadMany) -> Tasks:
        """All tasks of a kernel that stands still.

        Args:
            memory: what was read for the last `requests`, in the same stop; it may be settled more than once.
            read_many: reads more of it, in the same stop.

        Raises:
            RecordError: the lists in memory make no sense.
            FaultError: they lead out of memory.
        """
        pacas = [paca for paca in self._pacas if paca]
        counts = [1, len(pacas), len(self._idle_slots), len(self._heads)]
        values = iter(map(_number, memory[: sum(counts)]))
        (online,), currents, idle, waiting = (list(islice(values, count)) for count in counts)
        links = self._told(self._asked, memory[sum(counts) :])
        cpus = [
            CpuState(number, paca, current)
            for number, (paca, current) in enumerate(zip(self._pacas, _spread(self._pacas, currents), strict=True))
            if paca and online >> number & 1
        ]
        found = self._walk(links, read_many)
        found |= {address for address in (*idle, *(cpu.current for cpu in cpus)) if address}
        self._complete(found, links, read_many)
        for head, first in zip(self._heads, waiting, strict=True):
            found |= self._waiting(head, first, links, read_many)
        self._known = sorted(found)
        self._names = {address: self._names[address] for address in found}
        base = ~(self._offsets.stack_size - 1)
        tasks = {a: Task(a, *self._names[a], links[a].ksp & base, links[a].ksp) for a in found}
        return Tasks(tasks, tuple(cpus))

    def _walk(self, links: dict[int, _Links], read_many: ReadMany) -> set[int]:
        found: set[int] = set()
        leaders: set[int] = set()
        leader = self._first
        while True:
            self._complete([leader], links, read_many)
            leaders.add(leader)
            found.add(leader)
            if links[leader].thread != links[leader].thread_before:
                found |= self._threads(leader, links, read_many)
            leader = links[leader].following - self._offsets.tasks
            if leader == self._first:
                return found
            if leader in leaders or len(found) > _MOST_TASKS:
                raise RecordError("the kernel's list of processes makes no sense", address=leader)

    def _threads(self, leader: int, links: dict[int, _Links], read_many: ReadMany) -> set[int]:
        """The threads of a process that has several."""
        (signal,) = struct.unpack("<Q", read_many([(leader + self._offsets.signal, 8)])[0])
        head = signal + self._offsets.thread_head
        (node,) = struct.unpack("<Q", read_many([(head, 8)])[0])
        return self._chain(head, node, self._offsets.thread_node, attrgetter("thread"), links, read_many)

    @property
    def _heads(self) -> tuple[int, ...]:
        return self._queues.heads if self._queues else ()

    def _waiting(self, head: int, node: int, links: dict[int, _Links], read_many: ReadMany) -> set[int]:
        """The tasks in a run queue, that of the CPU's running one included."""
        assert self._queues is not None
        return self._chain(head, node, self._queues.node, attrgetter("queued"), links, read_many)

    def _chain(
        self,
        head: int,
        node: int,
        offset: int,
        following: Callable[[_Links], int],
        links: dict[int, _Links],
        read_many: ReadMany,
    ) -> set[int]:
        """The tasks whose members at an offset form a list, from one of them on until its head comes again."""
        found: set[int] = set()
        while node != head:
            task = node - offset
            if task in found or len(found) > _MOST_TASKS:
                raise RecordError("a list of the kernel's tasks makes no sense", address=node)
            self._complete([task], links, read_many)
            found.add(task)
            node = following(links[task])
        return found

    def _complete(self, tasks: Iterable[int], links: dict[int, _Links], read_many: ReadMany) -> None:
        """Read what is not known yet of some tasks."""
        unread = [address for address in tasks if address not in links]
        if unread:
            links.update(self._links(unread, read_many))
        self._name([address for address in tasks if address not in self._names], read_many)

    def _fields_of(self, task: int) -> list[tuple[int, int]]:
        return [(task + offset, size) for offset, size in self._fields]

    def _links(self, tasks: Sequence[int], read_many: ReadMany) -> dict[int, _Links]:
        return self._told(tasks, read_many([request for task in tasks for request in self._fields_of(task)]))

    def _told(self, tasks: Sequence[int], memory: Sequence[bytes]) -> dict[int, _Links]:
        step = len(self._fields)
        return {task: _Links.read(memory[i * step : (i + 1) * step]) for i, task in enumerate(tasks)}

    def owns_stack(self, task: Task, read_many: ReadMany) -> bool:
        """Whether the stack is the task's: a zombie has given its stack back."""
        return _number(read_many([(task.address + self._offsets.stack, 8)])[0]) == task.stack

    def named(self, task: Task, read_many: ReadMany) -> Task:
        """A task with the name that it has now: names are read once, and programs change theirs."""
        self._name([task.address], read_many)
        comm, pid = self._names[task.address]
        return replace(task, comm=comm, pid=pid)

    def _name(self, tasks: Sequence[int], read_many: ReadMany) -> None:
        o = self._offsets
        if not tasks:
            return
        requests = [(address + o.comm, _COMM_SIZE) for address in tasks]
        if o.pid is not None:
            requests += [(address + o.pid, 4) for address in tasks]
        memory = read_many(requests)
        pids: Sequence[int | None] = [_number(one) for one in memory[len(tasks) :]]
        for address, comm, pid in zip(tasks, memory, pids or [None] * len(tasks), strict=False):
            self._names[address] = (_printable(comm), pid)


def _number(memory: bytes) -> int:
    return int.from_bytes(memory, "little")


def _printable(comm: bytes) -> str:
    return "".join(c if c.isprintable() else "?" for c in comm.split(b"\0")[0].decode("latin-1")) or "?"


def _spread(pacas: Sequence[int], currents: Sequence[int]) -> list[int]:
    """The running task of every CPU, 0 for those without a PACA."""
    remaining = iter(currents)
    return [next(remaining) if paca else 0 for paca in pacas]
