"""A connection to a gdb server: requests and replies, many at a time; stop and go.

Requests are pipelined: many are sent, then their replies are read, so that a stopped target waits for one round trip
and not for one per word. Replies are never acknowledged: QEMU takes the next `$` for an acknowledgement, and any byte
that reaches it while the guest runs stops the guest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from oddtoc.errors import TargetError
from oddtoc.target.packets import packet
from oddtoc.target.wire import CutError, NoAnswerError, Wire

_Reply = TypeVar("_Reply")
_MOST_PACKETS = 1 << 12
"""Packets that may come for one reply: stop packets before a handshake's, or printed text before the OK."""
_WINDOW = 64
"""Requests on their way at once. With more, their replies fill the socket: QEMU waits for us and we for QEMU."""
_CLOSE_TIMEOUT = 1.0
_INTERRUPT = b"\x03"
NO_ACKNOWLEDGEMENTS = b"QStartNoAckMode"
_RESUME = b"$c#63"
_RESUME_ANYHOW = (b"+" + _RESUME) * 2
"""For a target that may stand still, run, or wait for the rest of a packet: `+` stops a running one and is nothing to
one that stands still, and the first copy ends a broken packet."""
_DETACH_ANYHOW = b"+$qC#b4$D#44"
"""The same, and every breakpoint goes. Only one copy detaches: QEMU 7.2 falls over a second one."""


class Connection:
    """One connection to a debug server whose target is taken to stand still: QEMU stops it for every client.

    After an error, an interrupt by the user among them, the two sides may disagree about which reply belongs to which
    request: then `stop` and `exchange` refuse, while `resume` and `close` still let the target run on.

    Args:
        endpoint: the path of a Unix socket, or (host, port).
        timeout: seconds to wait for the replies to any one round trip.

    Attributes:
        has_breakpoints: there may be some, which have to go too when the two sides can only part.

    Raises:
        TargetError: nobody listens there.
        TargetInUseError: it takes no more clients.
    """

    def __init__(self, endpoint: Path | tuple[str, int], timeout: float) -> None:
        self._in_step = True
        self._may_stand_still = True
        self._stopping = False
        self.has_breakpoints = False
        self._resume_anyhow = _RESUME_ANYHOW
        self._wire = Wire(endpoint, timeout, _RESUME_ANYHOW)

    def __del__(self) -> None:
        # an interrupt by the user may come before anybody holds this
        if getattr(self, "_wire", None) is not None:
            self.close()

    def close(self) -> None:
        """Close the socket, and if need be let the target run on. Never fails.

        A server that serves somebody else will look at this connection when they have gone, and stop its target for
        it: the packets that let it run on wait there together with it.
        """
        try:
            self._in_step = False
            with suppress(TargetError), self.within(_CLOSE_TIMEOUT):
                self.resume()
        finally:
            self._may_stand_still = False
            self._wire.close()

    @property
    def name(self) -> str:
        """Of the endpoint."""
        return self._wire.name

    @property
    def number(self) -> int:
        """The file descriptor of its socket."""
        return self._wire.number

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """A time limit for all that is sent and received in a block."""
        return self._wire.within(seconds)

    def stop(self) -> None:
        """Stop the running target, without waiting: what is exchanged next finds it standing still.

        Raises:
            TargetGoneError: the connection broke.
        """
        with self._step():
            self._may_stand_still = True
            self._wire.send(_INTERRUPT, self._wire.deadline())
            self._stopping = True

    def next_stop(self, seconds: float) -> bytes | None:
        """Wait for the running target to stop by itself, as it does at a breakpoint.

        Returns:
            The stop packet; None when none came in time: then the target runs, as far as anybody knows, and `stop` is
            what has to come next, or this again.

        Raises:
            TargetGoneError: the connection broke or the target has ended.
        """
        limit = time.monotonic() + seconds
        with self._step():
            # what can be read may be nothing but the acknowledgement of a request
            while (reply := self._wire.next_packet()) is None:
                remaining = limit - time.monotonic()
                if remaining <= 0 or not self._wire.has_more(remaining):
                    return None
                self._wire.fill(self._wire.deadline())
            self._may_stand_still = True
            if reply[:1] not in (b"T", b"S"):
                raise self._wire.gone(f"it has ended or says {reply[:40]!r}")
        return reply

    def resume(self) -> None:
        """Let the target run on, if it may stand still.

        Raises:
            TargetGoneError: the connection broke.
        """
        if self.has_breakpoints and not self._in_step:
            self._may_stand_still = self.has_breakpoints = False
            self._wire.send(_DETACH_ANYHOW, self._wire.deadline())
        if not self._may_stand_still:
            return
        try:
            if self._stopping and self._in_step:
                with self._step():
                    self._await_stop(self._wire.deadline())
        finally:
            self._wire.send(_RESUME if self._in_step else self._resume_anyhow, self._wire.deadline())
            self._may_stand_still = False

    def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests, pipelined, and give a reply for each, in order: one round trip for every 64.

        Raises:
            TargetGoneError: the connection broke, the target has ended, or replies did not come in time.
            TargetError: the target did not stop, or what came is no packet, or one without end.
        """
        return self._pipeline(requests, self._receive)

    def monitor(self, commands: Sequence[str]) -> list[str]:
        """Give commands to QEMU's monitor, pipelined, and return what each printed.

        Raises:
            TargetGoneError: the connection broke, or replies did not come in time.
            TargetError: the server has no monitor.
        """
        return self._pipeline([b"qRcmd," + command.encode().hex().encode() for command in commands], self._printed)

    def hello(self, request: bytes, mark: bytes) -> bytes:
        """Send the first request, and give its reply: what comes before it is passed over.

        That is for somebody else: stop packets, or replies to a client that has gone. The reply is known by a mark in
        it; if none has that, the last one that was there is given.

        A client that was killed may have left a part of a packet, which the server puts ours behind. Another packet
        goes first: it ends a broken one, which is refused with a `-`. It asks for what is done here anyhow, not to
        acknowledge replies: QEMU answers with an empty packet, gdbserver with OK.

        Raises:
            NoAnswerError: there was none in time.
            TargetError: what came is no packet of the protocol.
        """
        with self._step():
            deadline = self._wire.deadline()
            # an empty packet would do for QEMU, and crash gdbserver 13
            self._wire.send(packet(NO_ACKNOWLEDGEMENTS) + packet(request), deadline)
            others: list[bytes] = []
            for _ in range(_MOST_PACKETS):
                try:
                    reply = self._receive(deadline, noise=b"+-")
                except CutError:
                    continue
                except NoAnswerError:
                    # the first was for the packet that goes first
                    if len(others) < 2:
                        raise
                    return others[-1]
                if mark in reply:
                    return reply
                if reply[:1] not in (b"T", b"S"):
                    others.append(reply)
            raise self._wire.endless()

    def _pipeline(self, requests: Sequence[bytes], receive: Callable[[float], _Reply]) -> list[_Reply]:
        replies: list[_Reply] = []
        for start in range(0, len(requests), _WINDOW):
            window = requests[start : start + _WINDOW]
            with self._step():
                deadline = self._wire.deadline()
                self._wire.send(b"".join(packet(request) for request in window), deadline)
                self._await_stop(deadline)
                replies += [receive(deadline) for _ in window]
                self._window_done(deadline)
        return replies

    def _window_done(self, deadline: float) -> None:
        """All replies to what was sent at once have come."""

    def _await_stop(self, deadline: float) -> None:
        if not self._stopping:
            return
        reply = self._receive(deadline)
        self._stopping = False
        if reply[:1] in (b"W", b"X"):
            raise self._wire.gone("it has ended")
        if reply[:1] not in (b"T", b"S"):
            raise TargetError(f"the target at {self._wire.name} did not stop but says {reply[:40]!r}")

    def _printed(self, deadline: float) -> str:
        text = bytearray()
        for _ in range(_MOST_PACKETS):
            reply = self._receive(deadline)
            if reply == b"OK":
                return text.decode("utf-8", "replace")
            if reply[:1] != b"O":
                raise TargetError(f"{self._wire.name} has no monitor", advice="is it a QEMU guest?")
            try:
                text += bytes.fromhex(reply[1:].decode("ascii"))
            except ValueError as error:
                raise TargetError(f"{self._wire.name} prints {reply[:40]!r}, which is not hexadecimal") from error
        raise self._wire.endless()

    def _receive(self, deadline: float, noise: bytes = b"+", when_stuck: Callable[[], None] | None = None) -> bytes:
        """The next reply."""
        return self._wire.receive(deadline, noise, when_stuck)

    @contextmanager
    def _step(self) -> Iterator[None]:
        """A request and its replies: whatever ends it early leaves the two sides out of step."""
        if not self._in_step:
            raise self._wire.gone("it was left in the middle of a request")
        self._in_step = False
        yield
        self._in_step = True
