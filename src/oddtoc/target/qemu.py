"""A QEMU guest, stopped through its gdb server.

Memory is read and written by physical address (`Qqemu.PhyMemMode`): that works whatever mode the stopped vCPU is in,
ignores page permissions, and drops translated code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType

from oddtoc.errors import TargetError
from oddtoc.target.handshake import Greeting, get_to_know, greeting_of
from oddtoc.target.lock import TargetLock, lock_key
from oddtoc.target.memory import LINEAR_MAP, MemoryMapping, batches, pieces, pieces_of_data
from oddtoc.target.pause import Pause
from oddtoc.target.rsp import Connection
from oddtoc.target.stopped import Cpu, Stopped
from oddtoc.target.undo import Undo

__all__ = ["LINEAR_MAP", "Cpu", "Pause", "QemuTarget", "Stopped"]


class QemuTarget:
    """A connection to the gdb server of a QEMU guest. The guest runs whenever no `stopped` block is active.

    Use `connect`. A context manager: leaving it lets the guest run on.

    Attributes:
        pauses: every stop that has ended, in order; the first is the one that connecting takes.
        mapping: tells where memory is that the kernel maps elsewhere than in its linear map; set by who knows it.
    """

    def __init__(
        self,
        connection: Connection,
        lock: TargetLock | None,
        undo: Undo | None,
        timeout: float,
        greeting: Greeting | None = None,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._undo = undo
        self._session: Stopped | None = None
        self.mapping: MemoryMapping | None = None
        self.pauses: list[Pause] = []
        greeting = greeting or greeting_of(connection, timeout)
        with connection.within(timeout):
            self._server = get_to_know(connection, greeting.packet_size)
            if undo:
                undo.carry_out(lambda: Stopped(connection, self._server))
        connection.resume()
        self.pauses.append(Pause(time.monotonic() - greeting.began, 0))

    @classmethod
    def connect(cls, endpoint: Path | tuple[str, int], *, lock: bool = True, timeout: float = 5.0) -> QemuTarget:
        """Connect to a gdb server.

        QEMU stops the guest when a client connects; it runs again when this returns or fails, also when it stood
        still before, as after a client that was killed.

        Args:
            endpoint: the path of a Unix socket, or (host, port).
            lock: whether to keep other oddtocs out; False only for tests.
            timeout: seconds to wait for the replies to any one round trip.

        Raises:
            TargetError: nobody listens there, or it is no QEMU with a 64-bit Power guest.
            TargetInUseError: another debugger or another oddtoc is connected.
        """
        held = TargetLock(lock_key(endpoint)) if lock else None
        connection = None
        try:
            connection = Connection(endpoint, timeout)
            return cls(connection, held, Undo.beside(endpoint), timeout)
        except BaseException:
            if connection:
                connection.close()
            if held:
                held.release()
            raise

    def __enter__(self) -> QemuTarget:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Its debug server: host:port, or the path of its socket."""
        return self._connection.name

    def close(self) -> None:
        """Let go; safe to call twice and after any error. QEMU does not stop a running guest when a client leaves."""
        try:
            self._connection.close()
        finally:
            if self._lock:
                self._lock.release()

    @contextmanager
    def stopped(self) -> Iterator[Stopped]:
        """Stop the guest for the length of a block; it runs on afterwards, however the block ends.

        The stop is asked for and not waited for: all that the block asks of the target finds it standing still.

        Raises:
            TargetGoneError: the connection broke, now or before: connect again.
        """
        if self._session:
            raise TargetError("the target is stopped already: a stop inside a stop")
        session = Stopped(self._connection, self._server, self.mapping)
        started = time.monotonic()
        try:
            self._session = session
            self._connection.stop()
            yield session
        finally:
            self._session = None
            self._connection.resume()
            self.pauses.append(Pause(time.monotonic() - started, session.round_trips))

    @contextmanager
    def undoable(self, cpus: Sequence[Cpu], writes: Sequence[tuple[int, bytes]]) -> Iterator[None]:
        """Inside of a stop: whoever looks after the target undoes the writes of a block if this process dies in it.

        Nobody looks after a target that `oddtoc boot` did not start.

        Args:
            cpus: of this stop.
            writes: (address, old bytes) each: what undoes them.
        """
        # the guardian knows of no other memory
        linear = self._session.in_linear_map(writes) if self._session else writes
        with self._undo.kept(cpus, linear) if self._undo else nullcontext():
            yield

    def read(self, address: int, size: int) -> bytes:
        """Memory of the running guest, in pieces, the guest running in between."""
        return self.read_many([(address, size)])[0]

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes) of the running guest, in as few short stops as they need.

        Raises:
            FaultError: an address has no memory, or nothing is known of it.
        """
        parts = [part for address, size in requests for part in pieces(address, size)]
        answers: list[bytes] = []
        for batch in batches([size for _, size in parts]):
            with self.stopped() as stopped:
                answers += stopped.read_many(parts[batch])
        remaining = iter(answers)
        return [b"".join(next(remaining) for _ in pieces(address, size)) for address, size in requests]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write to the running guest, in pieces, the guest running in between; each piece is read back.

        Raises:
            WriteFaultError: there is no memory, or it did not take the bytes; pieces before that one are written.
        """
        parts = [part for address, data in writes for part in pieces_of_data(address, data)]
        for batch in batches([len(data) for _, data in parts]):
            with self.stopped() as stopped:
                stopped.write_many(parts[batch])
