"""A process of this machine, which has to be a ppc64le one: its threads by ptrace, its memory by /proc/PID/mem.

Nobody traces it but inside of a stop, and for writes to read-only memory where the kernel asks for that. Memory is read
and written without a stop: what is written then is what nothing runs yet.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from oddtoc.errors import TargetError, WriteFaultError
from oddtoc.target.memory import check_read_back
from oddtoc.target.process import LARGEST_LIST, MissingFileError, ProcessTarget, StoppedProcess
from oddtoc.target.process_memory import ProcessMemory
from oddtoc.target.ptrace import Tracee, held_one, hold_all
from oddtoc.target.thread import PTRACE_LAYOUT, Thread, changed
from oddtoc.target.tracer import Tracer

_PIECE = 1 << 20
_UNKNOWN_TRAP = {"trap": 0}
"""No system call is to be started again when the kernel looks at where the thread has been sent."""


class LocalProcess(ProcessTarget):
    """A process of this machine.

    Args:
        pid: of it.

    Raises:
        TargetError: there is no such process, it may not be traced, or this is no ppc64le machine.
        TargetInUseError: another debugger traces it, or another oddtoc is at it.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        if platform.machine() != "ppc64le":
            raise TargetError(
                f"pid:{pid} is a process of this machine, which is {platform.machine()} and not ppc64le",
                advice="run oddtoc where the process runs, or a gdbserver there: gdb://HOST:PORT#PID",
            )
        self.pid = pid
        self._memory: ProcessMemory | None = None
        try:
            self.check_free()
            self._keep_others_out()
            self._memory = ProcessMemory(pid)
        except OSError as error:
            self.close()
            raise TargetError(
                f"process {pid} can't be reached: {error.strerror}", advice="be its user or root"
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """This machine."""
        return platform.node()

    @property
    def name(self) -> str:
        """``pid:N``."""
        return f"pid:{self.pid}"

    def close(self) -> None:
        """Let go; safe to call twice and after any error."""
        if self._memory is not None:
            self._memory.close()
        super().close()

    @contextmanager
    def _held(self) -> Iterator[HeldByPtrace]:
        tracees: dict[int, Tracee] = {}
        try:
            hold_all(self.pid, tracees)
            yield HeldByPtrace(self.pid, tracees, self)
        finally:
            for tracee in tracees.values():
                tracee.let_go()

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `StoppableTarget.read_many`, without a stop."""
        return [self._read(address, size) for address, size in requests]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """As `StoppableTarget.write_many`, without a stop."""
        for address, data in writes:
            self._write(address, data)
            check_read_back(address, data, self._read(address, len(data)))

    def read_file(self, path: str, most: int = LARGEST_LIST) -> bytes:
        """As `ProcessTarget.read_file`."""
        content = self.read_part(path, 0, most + 1)
        if len(content) > most:
            raise TargetError(f"{path} is longer than {most} bytes")
        return content

    def read_part(self, path: str, offset: int, size: int) -> bytes:
        """As `ProcessTarget.read_part`."""
        try:
            with Path(path).open("rb") as file:
                file.seek(offset)
                # in pieces: room for all that may be read is taken at once
                content = bytearray()
                while len(content) < size and (piece := file.read(min(_PIECE, size - len(content)))):
                    content += piece
                return bytes(content)
        except (FileNotFoundError, PermissionError, ProcessLookupError) as error:
            raise MissingFileError(f"{path} can't be opened: {error.strerror}") from error
        except OSError as error:
            raise TargetError(f"{path} can't be read: {error.strerror}") from error

    def _read(self, address: int, size: int) -> bytes:
        assert self._memory is not None
        return self._memory.read(address, size)

    def _write(self, address: int, data: bytes) -> None:
        assert self._memory is not None
        if self._memory.takes(address, data):
            return
        # kernels may leave read-only memory to those who trace the process (PROC_MEM_FORCE_PTRACE of fs/proc/base.c)
        with self._traced():
            if not self._memory.takes(address, data):
                raise WriteFaultError(f"{address:#x} can't be written", address=address, size=len(data))

    @contextmanager
    def _traced(self) -> Iterator[None]:
        """One of its threads traced, and standing still for that; in a stop all are."""
        if self._inside:
            yield
            return
        with held_one(self.pid):
            yield

    @contextmanager
    def stepper(self) -> Iterator[Tracer]:
        """As `ProcessTarget.stepper`: who traces it is another process, and outlives this one if that is killed."""
        if self._inside:
            raise TargetError("the target is stopped already: it can't be followed")
        tracer = Tracer(self.pid)
        self._inside = True
        with self._put_right(lambda: self._end(tracer)):
            yield tracer

    def _end(self, tracer: Tracer) -> None:
        try:
            tracer.end()
        finally:
            self._inside = False
            self._see_to_words(tracer.words)

    def lend(self, values: Mapping[str, int]) -> Thread:
        """As `ProcessTarget.lend`."""
        with held_one(self.pid) as tracee:
            return lent(tracee, values)


class HeldByPtrace(StoppedProcess):
    """A process whose threads all stand still, as `StoppedProcess`.

    Args:
        pid: of the process.
        tracees: its threads by number.
        memory: reads and writes its memory.
    """

    def __init__(self, pid: int, tracees: Mapping[int, Tracee], memory: LocalProcess) -> None:
        self._pid = pid
        self._tracees = tracees
        self._memory = memory
        self.round_trips = 0

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `StoppedProcess.read_many`."""
        self.round_trips += 1
        return self._memory.read_many(requests)

    def look(self, requests: Sequence[tuple[int, int]]) -> tuple[list[Thread], list[bytes]]:
        """As `StoppedProcess.look`."""
        return self.cpus(), self.read_many(requests)

    def unshare(self, words: Sequence[tuple[int, bytes]]) -> None:
        """Nothing: all threads stand still already."""

    def cpus(self) -> list[Thread]:
        """As `StoppedProcess.cpus`."""
        return [tracee.decoded() for tracee in self._tracees.values()]

    def write_many(self, writes: Sequence[tuple[int, bytes]], *, verify: bool = True) -> None:
        """As `StoppedProcess.write_many`; always read back."""
        del verify
        self.round_trips += 1
        self._memory.write_many(writes)


def lent(tracee: Tracee, values: Mapping[str, int]) -> Thread:
    """As `ProcessTarget.lend`, of a thread that is held. A signal that comes for it meanwhile waits."""
    before = tracee.decoded()
    try:
        tracee.registers = changed(PTRACE_LAYOUT, before, {**_UNKNOWN_TRAP, **values})
        tracee.step()
        return tracee.decoded()
    finally:
        # the kernel starts a system call again that it was stopped in
        if tracee.held:
            tracee.registers = before.raw
