"""A process, reached through a gdbserver that is attached to it only for moments.

In between the server has let go of the process, so that nothing is left behind when oddtoc dies there, and signals take
their usual way. The server attaches in non-stop mode: threads are interrupted one by one and go on at once, where they
would have to stand still for as long as it takes to get hold of the last. Memory is read and written while they run.

To stop or to let go of a thread takes gdbserver longer than all that oddtoc does meanwhile: it reads the thread's
registers of every kind, and writes them all back. So all threads but one are stopped first (`vCont;t`), and looked at,
while that one runs on. Then all of them are, in one request, by what gdb does when it comes back to a running process:
all-stop mode, and `?` ("Non-Stop", "Packets" in the gdb manual; handle_status in gdbserver/server.cc). That works for
a process that blocks SIGINT, too, which is what the protocol's own interrupt sends, and to a whole process group.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from oddtoc.errors import TargetError, TargetInUseError, UsageError
from oddtoc.target.census import Census
from oddtoc.target.contact import Contact
from oddtoc.target.files import RemoteFile, read_each
from oddtoc.target.handshake import Greeting, documents, greeting_of
from oddtoc.target.held import HeldByGdbserver
from oddtoc.target.process import LARGEST_LIST, ProcessTarget, StoppedProcess
from oddtoc.target.process_stepper import ProcessStepper
from oddtoc.target.server import STOP
from oddtoc.target.thread import ProcessLayout, Thread, read_process_layout
from oddtoc.target.thread_stepper import TRAP

_ALL_STOP, _NON_STOP = b"QNonStop:0", b"QNonStop:1"
_FEATURES = b"qSupported:multiprocess+;swbreak+"
_NEW_PROCESSES = b";fork-events+;vfork-events+;exec-events+"
"""Nothing takes these back but another connection."""
_MOST_LOOKED_AT = 64
_SIGNALS = 152
"""One more than the last, as the protocol numbers them."""
_OTHERS = b";".join(b"%x" % number for number in range(1, _SIGNALS) if number not in (TRAP, STOP))
_AT_ONCE = b"QPassSignals:" + _OTHERS
"""What a thread gets at once while it runs, without our being asked."""
_PASS_ON = b"QProgramSignals:" + _OTHERS
"""What a thread gets when it is let go while a signal waits for it. gdbserver stops threads with SIGSTOP: one that had
another signal first would be left with that, and the process would stand still for good. Not told, it also drops
SIGINT (get_detach_signal in gdbserver/linux-low.cc)."""


class GdbserverProcess(ProcessTarget):
    """A connection to a gdbserver for one of the processes beside it.

    Use `connect`.

    Args:
        contact: with the server.
        greeting: what it has said.
        pid: of the process; not needed if the server was started for one.
        lock: whether to keep other oddtocs out; False only for tests.
    """

    def __init__(self, contact: Contact, greeting: Greeting, pid: int | None, *, lock: bool = True) -> None:
        super().__init__()
        self._contact = contact
        self._connection = contact.connection
        self._packet_size = greeting.packet_size
        self._layout: ProcessLayout | None = None
        with self._connection.within(contact.timeout):
            self.pid = self._take_over(pid, _FEATURES)
            self.check_free()
            if lock:
                self._keep_others_out()

    @classmethod
    def connect(
        cls, endpoint: Path | tuple[str, int], pid: int | None = None, *, lock: bool = True, timeout: float = 5.0
    ) -> GdbserverProcess:
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
        contact = Contact(endpoint, timeout, lock=lock)
        with contact.handed_over():
            greeting = greeting_of(contact.connection, timeout)
            if not greeting.runs_processes:
                raise TargetError(f"{contact.connection.name} is no gdbserver, so it has no processes")
            return cls(contact, greeting, pid, lock=lock)

    @property
    def place(self) -> str:
        """Its server: host:port, or the path of its socket."""
        return self._connection.name

    @property
    def name(self) -> str:
        """Its server and process: host:port#PID."""
        return f"{self.place}#{self.pid}"

    def close(self) -> None:
        """Let go; safe to call twice and after any error."""
        try:
            self._contact.close()
        finally:
            super().close()

    @contextmanager
    def _held(self) -> Iterator[HeldByGdbserver]:
        with Census.of(self._connection, self.pid) as census, self._attached((_ALL_STOP, b"?"), census) as session:
            last = self._busiest(session.meet_threads())
            session.peek(last)
            session.look_early(session.stop_early(last))
            yield session

    def _busiest(self, threads: Sequence[str]) -> str:
        """One that runs, so that the process does something for as long as it can; the first if none does."""
        some = threads[:_MOST_LOOKED_AT]
        folder = f"/proc/{self.pid}/task"
        paths = [f"{folder}/{int(thread.rpartition('.')[2], 16)}/stat" for thread in some]
        # proc(5): the state stands behind the name, which is in brackets
        states = [content.rpartition(b") ")[2][:1] for content in read_each(self._connection, paths)]
        running = [thread for thread, state in zip(some, states, strict=True) if state == b"R"]
        return [*running, *some, ""][0]

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `StoppableTarget.read_many`; it stands still only while the server lets go of it."""
        with self.exclusively() as session:
            return session.read_many(requests)

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """As `StoppableTarget.write_many`; it stands still only while the server lets go of it."""
        with self.exclusively() as session:
            session.write_many(writes)

    def exclusively(self) -> AbstractContextManager[StoppedProcess]:
        """As `StoppableTarget.exclusively`: it runs, with the server attached to it."""
        return self._timed(self._running_on)

    @contextmanager
    def _running_on(self) -> Iterator[HeldByGdbserver]:
        with self._attached() as session:
            yield session
            # the server stops those that run before it lets go
            session.stop_early(self._busiest(session.meet_threads()))

    def lend(self, values: Mapping[str, int]) -> Thread:
        """As `ProcessTarget.lend`."""
        with self.exclusively() as session:
            assert isinstance(session, HeldByGdbserver)
            return session.lend(values)

    @contextmanager
    def stepper(self) -> Iterator[ProcessStepper]:
        """As `ProcessTarget.stepper`: the process runs, with the server attached to it."""
        on_a_line = isinstance(self._contact.endpoint, Path)
        # what its server was told for once it would do for everybody who comes later
        features = _FEATURES if on_a_line else _FEATURES + _NEW_PROCESSES
        self._connect_again(features)
        words: Mapping[int, bytes] = {}
        with self._put_right(lambda: self._come_back(words)), self.exclusively() as session:
            assert isinstance(session, HeldByGdbserver)
            with session.stepper(self.pid) as stepper:
                words = stepper.words
                yield stepper

    def _come_back(self, words: Mapping[int, bytes]) -> None:
        self._connect_again(_FEATURES)
        self._see_to_words(words)

    def _connect_again(self, features: bytes) -> None:
        self._contact.renew()
        self._connection = self._contact.connection
        with self._connection.within(self._contact.timeout):
            greeting_of(self._connection, self._contact.timeout)
            self._take_over(self.pid, features)
            self.check_free()

    @contextmanager
    def _attached(self, stop: Sequence[bytes] = (), census: Census | None = None) -> Iterator[HeldByGdbserver]:
        attach = [_NON_STOP, b"vAttach;%x" % self.pid, b"Hgp%x.0" % self.pid]
        with self._connection.holding(attach, [_ALL_STOP, b"D;%x" % self.pid]) as replies:
            if replies != [b"OK"] * len(attach):
                raise TargetInUseError(
                    f"{self.name} can't be attached to: somebody else traces it, or it has ended",
                    advice="close the other debugger, or wait for the other oddtoc, and try again",
                )
            if self._layout is None:
                self._layout = read_process_layout(documents(self._connection, self._packet_size))
            session = HeldByGdbserver(self._connection, self._layout, stop, census)
            try:
                yield session
            finally:
                session.began = session.began or time.monotonic()

    def read_file(self, path: str, most: int = LARGEST_LIST) -> bytes:
        """As `ProcessTarget.read_file`."""
        file = RemoteFile(self._connection, path)
        try:
            return file.whole(most)
        finally:
            file.close()

    def read_part(self, path: str, offset: int, size: int) -> bytes:
        """As `ProcessTarget.read_part`."""
        file = RemoteFile(self._connection, path)
        try:
            return file.part(offset, size)
        finally:
            file.close()

    def _take_over(self, pid: int | None, features: bytes) -> int:
        """Find out which process is meant, and let go of the one that the server was started for."""
        self._connection.looks_after_process(b"D")
        # somebody who was killed may have left it in non-stop mode
        requests = [features, _AT_ONCE, _PASS_ON, b"!", _ALL_STOP, b"?"]
        _, *taken, stop = self._connection.exchange(requests)
        current = int(stop.partition(b"thread:p")[2].partition(b".")[0] or b"0", 16)
        if current:
            # it would end with its last process if it had not been told to stay
            self._connection.exchange([b"D;%x" % current])
        if pid is None and not current:
            raise UsageError(
                f"which process at {self._connection.name}?", advice="write its number behind the address: #PID"
            )
        if taken != [b"OK"] * len(taken):
            raise TargetError(f"{self._connection.name} does not attach to processes")
        chosen = pid or current
        self._connection.looks_after_process(b"D;%x" % chosen)
        return chosen
