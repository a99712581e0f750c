"""The wire to a gdb server: bytes sent, packets received, each within a time limit."""

from __future__ import annotations

import math
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oddtoc.errors import TargetError, TargetGoneError, TargetInUseError
from oddtoc.target.packets import BIGGEST_PAYLOAD, decode

_CHUNK = 1 << 16
_CONNECT_TIMEOUT = 1.5
_STUCK = 0.5
"""Seconds without a byte in the middle of a packet."""
_CUT = "try again; a gdbserver loses what a signal cuts off on a serial line, and nothing on a network's port"
_NOTIFIED = b"%Stop:"
_NOTIFICATION = re.compile(rb"%(?P<text>[^#$]*)(?:(?P<end>#..)|(?=\$))", re.DOTALL)
_AFTERWARDS = "look whether it still runs, then ask oddtoc status"


class NoAnswerError(TargetGoneError):
    """Nothing came in time."""


class CutError(TargetError):
    """A packet came without its end. What comes next is whole again.

    A gdbserver on a serial line sends such ones: a signal that it gets while it writes ends the write early, and the
    threads that it holds send it one whenever they stop (n_tty_write in drivers/tty/n_tty.c of Linux takes 16 bytes at
    a time of an hvc line; putpkt_binary_1 in gdbserver/remote-utils.cc does not send the rest).
    """


class Wire:
    """A socket with packets on it.

    Args:
        endpoint: the path of a Unix socket, or (host, port).
        timeout: seconds to wait for the replies to any one round trip.
        farewell: sent when connecting ends early.

    Attributes:
        name: of the endpoint, for errors.
        notifications: what a gdbserver has said unasked, oldest first.

    Raises:
        TargetError: nobody listens there.
        TargetInUseError: it takes no more clients.
    """

    def __init__(self, endpoint: Path | tuple[str, int], timeout: float, farewell: bytes) -> None:
        self.name = str(endpoint) if isinstance(endpoint, Path) else f"{endpoint[0]}:{endpoint[1]}"
        self.notifications: list[bytes] = []
        self._timeout = timeout
        self._last_moment = math.inf
        self._received = bytearray()
        self._socket = _connect(endpoint, min(timeout, _CONNECT_TIMEOUT), self.name, farewell)

    @property
    def number(self) -> int:
        """The file descriptor of the socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()

    def hang_up(self) -> None:
        """Say that nothing more will come, and wait until the other side has closed too; never fails."""
        deadline = self.deadline()
        with suppress(OSError, TargetError):
            self._socket.shutdown(socket.SHUT_WR)
            while True:
                self.fill(deadline)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A time limit for all that is sent and received in a block."""
        before, self._last_moment = self._last_moment, min(self._last_moment, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._last_moment = before

    def deadline(self) -> float:
        """The moment (of `time.monotonic`) until which a round trip that begins now has to be done."""
        return min(time.monotonic() + self._timeout, self._last_moment)

    def send(self, data: bytes, deadline: float) -> None:
        """Send bytes.

        Raises:
            TargetGoneError: the connection broke, or nobody took them in time.
        """
        try:
            self._limit(deadline)
            self._socket.sendall(data)
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise self.gone(error.strerror or str(error)) from error

    def receive(self, deadline: float, noise: bytes = b"+", when_stuck: Callable[[], None] | None = None) -> bytes:
        """Wait for the next packet.

        Args:
            deadline: until when.
            noise: bytes that may come before it.
            when_stuck: has the other side send something more. It is called once if the packet has begun and its end
                does not come, which tells one that was cut from one that is slow.

        Returns:
            Its payload, decoded.

        Raises:
            TargetGoneError: the connection broke, or there was none in time.
            CutError: it was cut.
            TargetError: what came is no packet, or one without end.
        """
        while True:
            payload = self.next_packet(noise)
            if payload is not None:
                return payload
            if len(self._received) > BIGGEST_PAYLOAD:
                raise self.endless()
            if when_stuck and self._received and not self.has_more(_STUCK):
                when_stuck()
                when_stuck = None
            self.fill(deadline)

    def next_packet(self, noise: bytes = b"+") -> bytes | None:
        """As `receive`, of what has come already; None if that is no whole packet."""
        self.take_notifications(noise)
        begin = self._begin(noise)
        if self._received[begin : begin + 1] == b"%":
            return None
        start = self._received.find(b"$")
        before = self._received if start < 0 else self._received[:start]
        if before.strip(noise):
            raise TargetError(f"{self.name} does not speak the gdb remote protocol: it sends {bytes(before[:20])!r}")
        end = self._received.find(b"#", start)
        if start < 0 or end < 0 or len(self._received) < end + 3:
            return None
        body, checksum = bytes(self._received[start + 1 : end]), bytes(self._received[end + 1 : end + 3])
        is_whole = checksum.lower() == b"%02x" % (sum(body) & 0xFF)
        # within a packet a $ is escaped
        if b"$" in body or (not is_whole and _NOTIFIED in body):
            next_begin = body.find(b"$") if b"$" in body else body.find(_NOTIFIED)
            del self._received[: start + 1 + next_begin]
            raise self.cut()
        del self._received[: end + 3]
        if not is_whole:
            raise TargetError(f"{self.name} sends a packet with a wrong checksum")
        return decode(body)

    def take_notifications(self, noise: bytes) -> None:
        """What a gdbserver says unasked of threads that have stopped ("Notification Packets" in the gdb manual).

        One that was cut counts, and is empty.
        """
        while (found := _NOTIFICATION.match(self._received, self._begin(noise))) is not None:
            text = bytes(found["text"]) if found["end"] else b""
            del self._received[: found.end()]
            self.notifications.append(decode(text).removeprefix(b"Stop:"))

    def _begin(self, noise: bytes) -> int:
        """Where noise ends in what has come; what stands behind it may be long, and is not copied for that."""
        match = re.match(rb"[%b]*" % re.escape(noise), self._received)
        return match.end() if match else 0

    def has_more(self, seconds: float) -> bool:
        """Wait for something to come; False if nothing did."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def fill(self, deadline: float) -> None:
        """Take what comes next.

        Raises:
            TargetGoneError: the connection broke, or nothing came in time.
        """
        try:
            self._limit(deadline)
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise self.gone(error.strerror or str(error)) from error
        if not data:
            raise self.gone("it closed the connection")
        self._received += data

    def _limit(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)

    def gone(self, why: str) -> TargetGoneError:
        """The error that says so."""
        return TargetGoneError(f"the target at {self.name} is gone: {why}", advice=_AFTERWARDS)

    def cut(self) -> CutError:
        """The error of a packet without its end."""
        return CutError(f"{self.name} has sent only the begin of a packet", advice=_CUT)

    def endless(self) -> TargetError:
        """The error of a server that sends more than anybody asked for."""
        return TargetError(f"{self.name} sends a reply without end")

    def _silent(self) -> NoAnswerError:
        return NoAnswerError(f"the target at {self.name} is gone: it does not answer", advice=_AFTERWARDS)


def _connect(endpoint: Path | tuple[str, int], timeout: float, name: str, farewell: bytes) -> socket.socket:
    try:
        if not isinstance(endpoint, Path):
            connection = socket.create_connection(endpoint, timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(str(endpoint))
        except BaseException:
            with suppress(OSError):
                connection.sendall(farewell)
            connection.close()
            raise
    except BlockingIOError as error:
        raise TargetInUseError(f"{name} takes no further client", advice="close the other debugger") from error
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise TargetError(f"nobody answers at {name}: {why}", advice="is the guest up? oddtoc guest list") from error
    return connection
