"""A connection that may be to a gdbserver, which looks after processes and says more than it is asked for.

On a serial line it loses what a signal cuts off while it writes (see `CutError`); then it is asked again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from oddtoc.errors import TargetError
from oddtoc.target.packets import packet
from oddtoc.target.rsp import NO_ACKNOWLEDGEMENTS, Connection
from oddtoc.target.wire import CutError

_ACKNOWLEDGED = b"vStopped"
_MOST_TRIES = 4
_ONCE_ONLY = (b"vCont", b"vAttach", b"vFile:open", b"vFile:close", b"D", b"z")
"""Requests that do something else the second time."""
_GOES_ON = b"qsThreadInfo"
STOPPED_THREAD = re.compile(rb"thread:(p[0-9a-f]{1,8}\.[0-9a-f]{1,8});")
"""The thread in a stop packet."""
STOP = 17
"""SIGSTOP, as the protocol numbers it (include/gdb/signals.def of gdb), not the kernel. gdbserver 13 stops threads with
it, and may tell one that it has forgotten: a process that got it back would stand still for good."""


class ServerConnection(Connection):
    """As `Connection`: like one to a QEMU, until it is known who answers.

    Args:
        endpoint: the path of a Unix socket, or (host, port).
        timeout: seconds to wait for the replies to any one round trip.
    """

    def __init__(self, endpoint: Path | tuple[str, int], timeout: float) -> None:
        self._serves_processes = False
        self._nudges = 0
        super().__init__(endpoint, timeout)

    def looks_after_process(self, leaving: bytes) -> None:
        """Take the server for a gdbserver from now on: its process runs on when it is let go, and may run now.

        Args:
            leaving: the request that lets it go. A second copy goes with it where the server may wait for the rest of a
                packet; what it is not attached to is none of its business.
        """
        self._serves_processes = True
        self.parts_with([leaving])
        self._may_stand_still = False

    def parts_with(self, requests: Sequence[bytes]) -> bytes:
        """Choose what a gdbserver is told where the two sides can only part.

        Args:
            requests: each is sent twice: the first copy may be taken for the end of something else.

        Returns:
            The bytes.
        """
        self._resume_anyhow = b"".join(packet(request) * 2 for request in requests)
        return self._resume_anyhow

    @contextmanager
    def holding(self, attach: Sequence[bytes], detach: Sequence[bytes]) -> Iterator[list[bytes]]:
        """Have a gdbserver hold its process for the length of a block, however that ends.

        Args:
            attach: the requests that make it do so.
            detach: those that let it go.

        Yields:
            The replies to `attach`. If one is an error the connection ends with the block: gdbserver 13 wants its last
            reply, and all others from then on, acknowledged (captured_main in its server.cc). It listens then as well:
            for one who came before it has read the end of this connection it would keep the old socket, read from it
            for ever, and tell of no stops (handle_accept_event in its remote-utils.cc).
        """
        self._may_stand_still = True
        refused = False
        try:
            # one that was told the last time and not acknowledged would keep the others back
            self.exchange([_ACKNOWLEDGED])
            self._wire.notifications = []
            replies = self.exchange(attach)
            refused = any(reply[:1] == b"E" for reply in replies)
            yield replies
        finally:
            try:
                if refused:
                    self._may_stand_still = False
                    self._wire.send(b"+", self._wire.deadline())
                    self._wire.hang_up()
                    self.close()
                else:
                    self.exchange(detach)
                    self._may_stand_still = False
            except TargetError:
                self.close()
                raise

    def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """As `Connection.exchange`; they are sent again if a part of a reply is lost, where that only asks once more.

        Raises:
            CutError: a part of a reply was lost.
        """
        goes_on = any(request.startswith(_GOES_ON) for request in requests[:1])
        can_repeat = not goes_on and not any(request.startswith(_ONCE_ONLY) for request in requests)
        for _ in range(_MOST_TRIES if can_repeat else 1):
            replies = self._pipeline(requests, self._unless_cut)
            whole = [reply for reply in replies if reply is not None]
            if len(whole) == len(requests):
                return whole
        raise self._wire.cut()

    def stops(self, count: int, seconds: float) -> list[bytes]:
        """Wait for threads to stop, of a gdbserver in non-stop mode.

        Args:
            count: of the threads.
            seconds: how long.

        Returns:
            Their stop packets, as far as they have come; one of which a part was lost is empty.

        Raises:
            TargetGoneError: the connection broke.
        """
        found: list[bytes] = []
        limit = time.monotonic() + seconds
        while len(found) < count and self._is_notified(limit):
            found += self._wire.notifications
            self._wire.notifications = []
            replies: list[bytes | None] = []
            # one is told at a time, and the next when that was acknowledged
            while b"OK" not in replies:
                replies = self._pipeline([_ACKNOWLEDGED] * max(1, count - len(found)), self._unless_cut)
                found += [reply or b"" for reply in replies if reply != b"OK"]
        return found

    def stop_of(self, thread: str, seconds: float) -> bytes | None:
        """Wait for one thread to stop, of a gdbserver in non-stop mode, which was asked for that.

        Another one may be told of before: gdbserver 13 was seen to stop one for a signal that came while it attached,
        and passes on all later ones. That thread gets its signal now, and goes on.

        Args:
            thread: its id.
            seconds: how long.

        Returns:
            Its stop packet, empty if a part of that was lost; None if it did not stop in time.

        Raises:
            TargetGoneError: the connection broke.
        """
        limit = time.monotonic() + seconds
        found = None
        while found is None and (left := limit - time.monotonic()) > 0:
            for said in self.stops(1, left):
                match = STOPPED_THREAD.search(said)
                if match is None or match[1] == thread.encode():
                    found = said
                else:
                    self.go_on(match[1].decode("ascii"), int(said[1:3], 16))
        return found

    def go_on(self, thread: str, signal: int = 0) -> None:
        """Let one thread go on, of a gdbserver in non-stop mode.

        Args:
            thread: its id.
            signal: what it gets, as the protocol numbers it; 0 and SIGSTOP are none.
        """
        action = b"C%02x" % signal if signal not in (0, STOP) else b"c"
        self.exchange([b"vCont;%b:%b" % (action, thread.encode())])

    def _is_notified(self, limit: float) -> bool:
        self._wire.take_notifications(b"+")
        while not self._wire.notifications:
            remaining = limit - time.monotonic()
            if remaining <= 0 or not self._wire.has_more(remaining):
                return False
            with self._step():
                self._wire.fill(self._wire.deadline())
                self._wire.take_notifications(b"+")
        return True

    def _unless_cut(self, deadline: float) -> bytes | None:
        """The next reply; None for one of which a part was lost."""
        try:
            return self._receive(deadline, when_stuck=self._nudge if self._serves_processes else None)
        except CutError:
            return None

    def _nudge(self) -> None:
        """Have a gdbserver say something short behind all the replies that it still owes."""
        self._wire.send(packet(NO_ACKNOWLEDGEMENTS), self._wire.deadline())
        self._nudges += 1

    def _window_done(self, deadline: float) -> None:
        while self._nudges:
            self._nudges -= 1
            self._receive(deadline)
