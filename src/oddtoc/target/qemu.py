"""A QEMU guest, stopped through its gdb server.

Memory is read and written by physical address (`Qqemu.PhyMemMode`): that works whatever mode the stopped vCPU is in,
ignores page permissions, and drops translated code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from oddtoc.target.contact import Contact
from oddtoc.target.handshake import Greeting, get_to_know, greeting_of
from oddtoc.target.memory import LINEAR_MAP, MemoryMapping
from oddtoc.target.pause import Pause
from oddtoc.target.stepper import Stepper
from oddtoc.target.stoppable import StoppableTarget
from oddtoc.target.stopped import Cpu, Stopped
from oddtoc.target.undo import Undo

__all__ = ["LINEAR_MAP", "Cpu", "Pause", "QemuTarget", "Stopped"]


class QemuTarget(StoppableTarget[Stopped]):
    """A connection to the gdb server of a QEMU guest. The guest runs whenever no `stopped` block is active.

    Use `connect`. The first of its pauses is the one that connecting takes.

    Args:
        contact: with its debug server, which has stopped the guest.
        greeting: what the server has said already.

    Attributes:
        mapping: tells where memory is that the kernel maps elsewhere than in its linear map; set by who knows it.
    """

    def __init__(self, contact: Contact, greeting: Greeting | None = None) -> None:
        super().__init__()
        self.mapping: MemoryMapping | None = None
        self._stop: Stopped | None = None
        self._stays = False
        self._contact = contact
        self._connection = connection = contact.connection
        self._undo = Undo.beside(contact.endpoint)
        greeting = greeting or greeting_of(connection, contact.timeout)
        with connection.within(contact.timeout):
            self._server = get_to_know(connection, greeting.packet_size)
            if self._undo:
                self._undo.carry_out(lambda: Stopped(connection, self._server))
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
        contact = Contact(endpoint, timeout, lock=lock)
        with contact.handed_over():
            return cls(contact)

    @property
    def name(self) -> str:
        """Its debug server: host:port, or the path of its socket."""
        return self._connection.name

    def close(self) -> None:
        """Let go; safe to call twice and after any error. QEMU does not stop a running guest when a client leaves."""
        self._contact.close()

    @contextmanager
    def _held(self) -> Iterator[Stopped]:
        if self._stays:
            yield Stopped(self._connection, self._server, self.mapping)
            return
        # the stop is asked for and not waited for: all that is asked of the target then finds it standing still
        try:
            self._connection.stop()
            self._stop = Stopped(self._connection, self._server, self.mapping)
            yield self._stop
        finally:
            self._stop = None
            self._connection.resume()

    @contextmanager
    def stepper(self) -> Iterator[Stepper]:
        """Stopped for the length of a block, to be run in it a little."""
        with self.stopped() as stopped:
            stepper = stopped.stepper()
            with stepper.prepared():
                yield stepper

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Inside of a stop: for the length of a block, further stops are part of it, and the guest does not run on."""
        self._stays, self._inside = True, False
        try:
            yield
        finally:
            self._stays, self._inside = False, True

    @contextmanager
    def undoable(self, cpus: Sequence[Cpu], writes: Sequence[tuple[int, bytes]]) -> Iterator[None]:
        """As `StoppableTarget.undoable`; a guest of `oddtoc boot` is looked after."""
        # whoever undoes them knows of no mapping
        linear = self._stop.in_linear_map(writes) if self._stop else writes
        with self._undo.kept(cpus, linear) if self._undo else nullcontext():
            yield
