"""A process, reached through a gdbserver that is attached to it only for as long as it stands still.

Between two stops the server has let go of the process, so that nothing is left behind when oddtoc dies there, and
signals take their usual way. Stopping by attaching works for a process that blocks SIGINT, too, which is what the
protocol's own interrupt sends, and to a whole process group.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from oddtoc.errors import TargetError, TargetInUseError, UsageError
from oddtoc.target.files import MissingFileError, RemoteFile
from oddtoc.target.handshake import Greeting, documents, greeting_of
from oddtoc.target.held import StoppedProcess
from oddtoc.target.lock import TargetLock, lock_key
from oddtoc.target.memory import batches, pieces, pieces_of_data
from oddtoc.target.pause import Pause
from oddtoc.target.rsp import Connection
from oddtoc.target.thread import ProcessLayout, Thread, read_process_layout

_LARGEST_LIST = 1 << 20
_FEATURES = b"qSupported:multiprocess+;swbreak+"


class ProcessTarget:
    """A connection to a gdbserver for one of the processes beside it. The process runs, unless a `stopped` block is
    active, and nobody is attached to it then.

    Use `connect`. A context manager: leaving it closes the connection.

    Attributes:
        pid: of the process.
        pauses: every stop that has ended, in order.
    """

    def __init__(
        self, connection: Connection, lock: TargetLock | None, greeting: Greeting, pid: int | None, timeout: float
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._packet_size = greeting.packet_size
        self._layout: ProcessLayout | None = None
        self._threads: list[str] = []
        self._inside = False
        self.pauses: list[Pause] = []
        connection.looks_after_process()
        with connection.within(timeout):
            self.pid = self._take_over(pid)
            self._check_free()

    @classmethod
    def connect(
        cls, endpoint: Path | tuple[str, int], pid: int | None = None, *, lock: bool = True, timeout: float = 5.0
    ) -> ProcessTarget:
        """Connect to a gdbserver.

        Args:
            endpoint: (host, port), or the path of a serial line's Unix socket.
            pid: of the process; not needed if the server was started for one.
            lock: whether to keep other oddtocs out; False only for tests.
            timeout: seconds to wait for the replies to any one round trip.

        Raises:
            TargetError: nobody listens there, or it is no gdbserver.
            TargetInUseError: another debugger is connected, or attached to the process.
            UsageError: it is not clear which process is meant.
        """
        held = TargetLock(lock_key(endpoint)) if lock else None
        connection = None
        try:
            connection = Connection(endpoint, timeout)
            greeting = greeting_of(connection, timeout)
            if not greeting.runs_processes:
                raise TargetError(f"{connection.name} is no gdbserver, so it has no processes")
            return cls(connection, held, greeting, pid, timeout)
        except BaseException:
            if connection:
                connection.close()
            if held:
                held.release()
            raise

    def __enter__(self) -> ProcessTarget:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Its server and process: host:port#PID."""
        return f"{self._connection.name}#{self.pid}"

    def close(self) -> None:
        """Let go; safe to call twice and after any error."""
        try:
            self._connection.close()
        finally:
            if self._lock:
                self._lock.release()

    @contextmanager
    def stopped(self) -> Iterator[StoppedProcess]:
        """Stop all threads of the process for the length of a block; they run on afterwards, however the block ends.

        Raises:
            TargetInUseError: another debugger is attached.
            TargetGoneError: the connection broke.
        """
        if self._inside:
            raise TargetError("the target is stopped already: a stop inside a stop")
        started = time.monotonic()
        round_trips = 0
        self._inside = True
        try:
            with self._connection.holding(b"vAttach;%x" % self.pid, b"D;%x" % self.pid) as reply:
                if reply[:1] not in (b"T", b"S"):
                    self._check_free()
                    raise TargetError(f"process {self.pid} can't be stopped: {reply[:40]!r}")
                if self._layout is None:
                    self._layout = read_process_layout(documents(self._connection, self._packet_size))
                session = StoppedProcess(self._connection, self._layout, self._threads)
                try:
                    yield session
                finally:
                    round_trips = session.round_trips
                    self._threads = session.threads
        finally:
            self._inside = False
            self.pauses.append(Pause(time.monotonic() - started, round_trips))

    @contextmanager
    def undoable(self, cpus: Sequence[Thread], writes: Sequence[tuple[int, bytes]]) -> Iterator[None]:
        """Nobody looks after a process whose oddtoc has died."""
        del cpus, writes
        yield

    def read(self, address: int, size: int) -> bytes:
        """Memory of the running process."""
        return self.read_many([(address, size)])[0]

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes) of the running process, in as few short stops as they need.

        Raises:
            FaultError: nothing is mapped there.
        """
        parts = [part for address, size in requests for part in pieces(address, size)]
        answers: list[bytes] = []
        for batch in batches([size for _, size in parts]):
            with self.stopped() as stopped:
                answers += stopped.read_many(parts[batch])
        remaining = iter(answers)
        return [b"".join(next(remaining) for _ in pieces(address, size)) for address, size in requests]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write to the running process, in pieces, each in a short stop; each piece is read back.

        Raises:
            WriteFaultError: nothing is mapped there; pieces before that one are written.
        """
        parts = [part for address, data in writes for part in pieces_of_data(address, data)]
        for batch in batches([len(data) for _, data in parts]):
            with self.stopped() as stopped:
                stopped.write_many(parts[batch])

    def read_file(self, path: str, most: int = _LARGEST_LIST) -> bytes:
        """A file as the machine of the process sees it.

        Args:
            path: absolute.
            most: bytes; a longer file is refused.

        Raises:
            MissingFileError: it can't be opened.
            TargetError: it is longer, or can't be read.
        """
        file = RemoteFile(self._connection, path)
        try:
            return file.whole(most)
        finally:
            file.close()

    def read_part(self, path: str, offset: int, size: int) -> bytes:
        """A part of a file as the machine of the process sees it, shorter where the file ends.

        Raises:
            MissingFileError: it can't be opened.
            TargetError: it can't be read.
        """
        file = RemoteFile(self._connection, path)
        try:
            return file.part(offset, size)
        finally:
            file.close()

    def _take_over(self, pid: int | None) -> int:
        """Find out which process is meant, and let go of the one that the server was started for."""
        _, extended, stop = self._connection.exchange([_FEATURES, b"!", b"?"])
        current = int(stop.partition(b"thread:p")[2].partition(b".")[0] or b"0", 16)
        if current:
            # it would end with its last process if it had not been told to stay
            self._connection.exchange([b"D;%x" % current])
        if pid is None and not current:
            raise UsageError(
                f"which process at {self._connection.name}?", advice="write its number behind the address: #PID"
            )
        if extended != b"OK":
            raise TargetError(f"{self._connection.name} does not attach to processes")
        return pid or current

    def _check_free(self) -> None:
        """Whether nobody else traces the process.

        Raises:
            TargetInUseError: somebody does.
            TargetError: there is no such process.
        """
        try:
            status = self.read_file(f"/proc/{self.pid}/status").decode(errors="replace")
        except MissingFileError:
            raise TargetError(f"there is no process {self.pid} at {self._connection.name}") from None
        fields = dict(line.partition(":")[::2] for line in status.splitlines())
        tracer = fields.get("TracerPid", "0").strip()
        if tracer != "0":
            raise TargetInUseError(
                f"process {self.pid} is traced by process {tracer}", advice="close the other debugger first"
            )
