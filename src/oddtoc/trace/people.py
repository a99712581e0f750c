"""What the numbers in events mean to people: times, threads, places in code."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from oddtoc.errors import FaultError, TargetError
from oddtoc.kernel.offsets import find_offsets
from oddtoc.kernel.running import RunningKernel
from oddtoc.process.running import RunningProcess
from oddtoc.target.process import ProcessTarget

_TIMEBASE = re.compile(r"^timebase\s*: (\d+)$", re.MULTILINE)
_COMM_SIZE = 16

Look = Callable[[Sequence[tuple[int, int]]], list[bytes]]


class People(Protocol):
    """Tells what numbers mean in one target."""

    @property
    def ticks_per_second(self) -> int:
        """Of the timebase."""

    def thread(self, number: int) -> str:
        """Whose event it was: name and number of a task, as they are now; where the task has gone, its address."""

    def place(self, address: int) -> str:
        """An address of code: a function and bytes behind its start."""

    def stack(self, frame: int) -> int:
        """Which stack a frame is on: threads of a kernel use several."""


class KernelPeople:
    """In a kernel.

    Args:
        kernel: it.
        look: reads its memory while it runs.
    """

    def __init__(self, kernel: RunningKernel, look: Look) -> None:
        self._symbols = kernel.image.symbols
        self._look = look
        self._offsets = find_offsets(kernel.image, kernel.read_many)
        frequency = self._symbols.one("ppc_tb_freq").address
        self.ticks_per_second = int.from_bytes(kernel.read_many([(frequency, 8)])[0], "little")

    def thread(self, number: int) -> str:
        """Name and pid of the task at an address."""
        offsets = self._offsets
        requests = [(number + offsets.comm, _COMM_SIZE)]
        if offsets.pid is not None:
            requests.append((number + offsets.pid, 4))
        try:
            comm, *pid = self._look(requests)
        except FaultError:
            return f"{number:#x}"
        name = comm.split(b"\0")[0].decode("latin-1")
        shown = "".join(c if c.isprintable() else "?" for c in name) or f"{number:#x}"
        return f"{shown}-{int.from_bytes(pid[0], 'little')}" if pid else shown

    def place(self, address: int) -> str:
        """By the symbols of the kernel proper."""
        symbol = self._symbols.at(address)
        return f"{symbol.name}+{address - symbol.address:#x}" if symbol else f"{address:#x}"

    def stack(self, frame: int) -> int:
        """Its lowest address."""
        return frame & ~(self._offsets.stack_size - 1)


class ProcessPeople:
    """In a process.

    Args:
        process: it.
        target: where it runs.

    Raises:
        TargetError: its machine does not say how fast the timebase is.
    """

    def __init__(self, process: RunningProcess, target: ProcessTarget) -> None:
        self._process = process
        found = _TIMEBASE.search(target.read_file("/proc/cpuinfo").decode(errors="replace"))
        if found is None:
            raise TargetError("/proc/cpuinfo does not say how fast the timebase is")
        self.ticks_per_second = int(found[1])

    def thread(self, number: int) -> str:
        """The thread pointer: who has it is not known outside."""
        return f"thread {number:#x}"

    def place(self, address: int) -> str:
        """By the symbols of the objects that are known already."""
        return self._process.place(address)

    def stack(self, frame: int) -> int:
        """Where a stack begins is not known: signal handlers on stacks of their own count as called."""
        del frame
        return 0
