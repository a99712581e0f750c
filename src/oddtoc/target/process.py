"""A process as a target, whoever holds it: a gdbserver (`gdbserver.py`) or oddtoc itself, by ptrace (`local.py`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from oddtoc.errors import TargetError, TargetGoneError, TargetInUseError
from oddtoc.target.lock import TargetLock
from oddtoc.target.stepping import Stepping
from oddtoc.target.stoppable import StoppableTarget
from oddtoc.target.thread import Thread

LARGEST_LIST = 1 << 20
"""Bytes of the longest file that is read from /proc."""


class MissingFileError(TargetError):
    """There is no such file, or it may not be opened."""


class StoppedProcess(Protocol):
    """A process while it stands still; valid only inside its `stopped` block.

    Attributes:
        round_trips: how many were made so far, without those that hold it and let it go.
        began: when the stop was asked for, if that was after it was held.
    """

    round_trips: int
    began: float | None = None

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes).

        Raises:
            FaultError: nothing is mapped there.
        """

    def look(self, requests: Sequence[tuple[int, int]]) -> tuple[list[Thread], list[bytes]]:
        """All threads, and `read_many`.

        Raises:
            FaultError: as `read_many`.
        """

    def cpus(self) -> list[Thread]:
        """All threads with their registers."""

    def unshare(self, words: Sequence[tuple[int, bytes]]) -> None:
        """Write words that are to change over themselves, where they stand, if the process does not stand still yet.

        The page of its file that they are in becomes the process's own then (copy on write), and not in the stop. It is
        no test: what the commit writes is looked at there.
        """

    def write_many(self, writes: Sequence[tuple[int, bytes]], *, verify: bool = True) -> None:
        """Write several (address, bytes) in order, and read them back.

        Raises:
            WriteFaultError: nothing is mapped there, or what is read back differs (all that could be written was).
        """


class ProcessTarget(StoppableTarget[StoppedProcess], ABC):
    """A process. It runs, unless a `stopped` block is active, and nobody traces it then.

    Attributes:
        pid: its number.
    """

    pid: int
    _lock: TargetLock | None = None

    def close(self) -> None:
        """As `StoppableTarget.close`; each kind has more to end."""
        if self._lock is not None:
            self._lock.release()

    def _keep_others_out(self) -> None:
        """Lock the process itself, in whichever way it is reached from this machine.

        Raises:
            TargetInUseError: another oddtoc is at it.
        """
        self._lock = TargetLock(self._identity(), f"{self.place}, process {self.pid}")

    def _identity(self) -> str:
        """What tells the process from all others: the boot of its machine, its start, its number where it was born."""
        boot = self.read_file("/proc/sys/kernel/random/boot_id").decode(errors="replace").strip()
        start = self.read_file(f"/proc/{self.pid}/stat").decode(errors="replace").rpartition(")")[2].split()[19]
        born_as = self._status().get("NSpid", str(self.pid)).split()[-1]
        return f"process {born_as} of {boot}, started at {start}"

    @property
    @abstractmethod
    def place(self) -> str:
        """The server or the machine that it runs beside or on, for messages."""

    @abstractmethod
    def read_file(self, path: str, most: int = LARGEST_LIST) -> bytes:
        """A file as the machine of the process sees it.

        Args:
            path: absolute.
            most: bytes; a longer file is refused.

        Raises:
            MissingFileError: it can't be opened.
            TargetError: it is longer, or can't be read.
        """

    @abstractmethod
    def read_part(self, path: str, offset: int, size: int) -> bytes:
        """A part of a file as the machine of the process sees it, shorter where the file ends.

        Raises:
            MissingFileError: it can't be opened.
            TargetError: it can't be read.
        """

    @abstractmethod
    def stepper(self) -> AbstractContextManager[Stepping]:
        """For a block that follows one of its threads, while all others run.

        Raises:
            TargetError: it can't be traced.
        """

    @contextmanager
    def _put_right(self, how: Callable[[], None]) -> Iterator[None]:
        """Put the process right behind a block, however that ends; that it has gone is told whatever else fails.

        Args:
            how: does so.
        """
        try:
            yield
        except TargetGoneError:
            with suppress(TargetError):
                how()
            raise
        except BaseException:
            how()
            raise
        how()

    def _see_to_words(self, words: Mapping[int, bytes]) -> None:
        """A breakpoint that is still there ends the process: look what stands there, and write it back if need be.

        Args:
            words: address -> what has to stand there.
        """
        live = self.read_many([(address, len(word)) for address, word in words.items()]) if words else []
        wrong = [(address, word) for (address, word), now in zip(words.items(), live, strict=True) if word != now]
        if wrong:
            self.write_many(wrong)

    @abstractmethod
    def lend(self, values: Mapping[str, int]) -> Thread:
        """Have one thread execute one instruction with other registers; it goes on with its own, and all others run.

        A system call may be followed by one more instruction, as the processor's trace comes after one that ends in
        the process.

        Args:
            values: of the registers that are not to be its own, `pc` among them.

        Returns:
            The thread as it was behind the instruction.

        Raises:
            TargetError: it does not do so, or does not take its own registers.
        """

    def check_free(self) -> None:
        """Whether nobody traces the process.

        Raises:
            TargetInUseError: somebody does.
            TargetError: there is no such process.
        """
        tracer = self._status().get("TracerPid", "0")
        if tracer != "0":
            raise TargetInUseError(
                f"process {self.pid} is traced by process {tracer}", advice="close the other debugger first"
            )

    def _status(self) -> dict[str, str]:
        """proc(5), /proc/PID/status."""
        try:
            status = self.read_file(f"/proc/{self.pid}/status").decode(errors="replace")
        except MissingFileError:
            raise TargetError(f"there is no process {self.pid} at {self.place}") from None
        pairs = (line.partition(":")[::2] for line in status.splitlines())
        return {name: value.strip() for name, value in pairs}
