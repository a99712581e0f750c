"""The gdb remote serial protocol: packets on a socket, many at a time.

Layout of a packet and its escapes: "Remote Protocol, Overview" in the gdb manual. Requests are pipelined: all are sent,
then all replies are read, so that a stopped target waits for one round trip and not for one per word. Replies are never
acknowledged: QEMU takes the next `$` for an acknowledgement, and any byte that reaches it while the guest runs stops
the guest.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from oddtoc.errors import TargetError, TargetGoneError, TargetInUseError

_BIGGEST_REPLY = 1 << 20
_CHUNK = 1 << 16
INTERRUPT = b"\x03"


class Connection:
    """One connection to a debug server.

    Args:
        endpoint: the path of a Unix socket, or (host, port).
        timeout: seconds to wait for any one reply.

    Raises:
        TargetError: nobody listens there.
    """

    def __init__(self, endpoint: Path | tuple[str, int], timeout: float) -> None:
        self.name = str(endpoint) if isinstance(endpoint, Path) else f"{endpoint[0]}:{endpoint[1]}"
        self.timeout = timeout
        self._socket = _connect(endpoint, timeout, self.name)
        self._received = bytearray()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; says nothing to the server."""
        self._socket.close()

    def send(self, *payloads: bytes) -> None:
        """Send packets without waiting for replies."""
        self.send_raw(b"".join(packet(payload) for payload in payloads))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are no packet, as the interrupt is."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._gone(str(error)) from error

    def receive(self, timeout: float | None = None) -> bytes:
        """The payload of the next packet, decoded.

        Raises:
            TargetGoneError: the connection ended, or nothing came in time.
            TargetError: what came is no packet, or its checksum is wrong.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            payload = self._next_packet()
            if payload is not None:
                return payload
            if len(self._received) > _BIGGEST_REPLY:
                raise TargetError(f"{self.name} sends a reply without end")
            self._fill(deadline)

    def exchange(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Send packets in one go and give a reply for each, in order: one round trip."""
        if not payloads:
            return []
        self.send(*payloads)
        return [self.receive() for _ in payloads]

    def _next_packet(self) -> bytes | None:
        start = self._received.find(b"$")
        noise = self._received if start < 0 else self._received[:start]
        if noise.strip(b"+"):
            raise TargetError(f"{self.name} does not speak the gdb remote protocol: it sends {bytes(noise[:20])!r}")
        end = self._received.find(b"#", start)
        if start < 0 or end < 0 or len(self._received) < end + 3:
            return None
        body, checksum = bytes(self._received[start + 1 : end]), bytes(self._received[end + 1 : end + 3])
        del self._received[: end + 3]
        if checksum.lower() != b"%02x" % (sum(body) & 0xFF):
            raise TargetError(f"{self.name} sends a packet with a wrong checksum")
        return _decode(body)

    def _fill(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self._gone("it does not answer")
        self._socket.settimeout(remaining)
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise self._gone("it does not answer") from None
        except OSError as error:
            raise self._gone(str(error)) from error
        if not data:
            raise self._gone("it closed the connection")
        self._received += data

    def _gone(self, why: str) -> TargetGoneError:
        return TargetGoneError(
            f"the target at {self.name} is gone: {why}", advice="look whether it still runs, then ask oddtoc status"
        )


def packet(payload: bytes) -> bytes:
    """A payload as it goes over the wire; it must hold none of `$ # } *`, as no request of ours does."""
    return b"$%b#%02x" % (payload, sum(payload) & 0xFF)


def _decode(body: bytes) -> bytes:
    """Undo escapes (`}` and the byte xor 0x20) and run lengths (`*` and the count + 29)."""
    if b"}" not in body and b"*" not in body:
        return body
    decoded = bytearray()
    bytes_left = iter(body)
    for byte in bytes_left:
        if byte == ord("}"):
            decoded.append(next(bytes_left, 0x20) ^ 0x20)
        elif byte == ord("*") and decoded:
            decoded += decoded[-1:] * max(next(bytes_left, 29) - 29, 0)
        else:
            decoded.append(byte)
        if len(decoded) > _BIGGEST_REPLY:
            raise TargetError("the target sends a reply without end")
    return bytes(decoded)


def _connect(endpoint: Path | tuple[str, int], timeout: float, name: str) -> socket.socket:
    try:
        if isinstance(endpoint, Path):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(timeout)
            connection.connect(str(endpoint))
        else:
            connection = socket.create_connection(endpoint, timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BlockingIOError as error:
        raise TargetInUseError(f"{name} takes no further client", advice="close the other debugger") from error
    except OSError as error:
        raise TargetError(
            f"nobody answers at {name}: {error.strerror or error}", advice="is the guest up? oddtoc guest list"
        ) from error
    return connection
