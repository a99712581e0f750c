"""Files of the machine that a gdbserver runs on, read through it ("File-I/O", vFile, in the gdb manual).

Offsets are 32 bits wide in gdbserver, so that /proc/PID/mem is out of reach.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from oddtoc.errors import TargetError
from oddtoc.target.process import MissingFileError
from oddtoc.target.server import ServerConnection

_PIECE = 8 << 10
"""Bytes in one request: escaped they may be twice as many, and a packet of gdbserver holds 18,431."""
_AHEAD = 16


def read_each(connection: ServerConnection, paths: Sequence[str]) -> list[bytes]:
    """The beginnings of several files, in three round trips; nothing of those that can't be read."""
    opened = connection.exchange([_open_request(path) for path in paths])
    numbers = [_result(reply)[0] for reply in opened]
    there = [number for number in numbers if number >= 0]
    content = iter(connection.exchange([b"vFile:pread:%x,%x,0" % (number, _PIECE) for number in there]))
    found = [_attachment(next(content)) or b"" if number >= 0 else b"" for number in numbers]
    connection.exchange([b"vFile:close:%x" % number for number in there])
    return found


class RemoteFile:
    """An open file.

    Args:
        connection: to the gdbserver.
        path: of the file, there.

    Raises:
        MissingFileError: it can't be opened.
    """

    def __init__(self, connection: ServerConnection, path: str) -> None:
        self._connection = connection
        self.path = path
        (reply,) = connection.exchange([_open_request(path)])
        self._number, error = _result(reply)
        if self._number < 0:
            raise MissingFileError(f"{path} can't be opened on the target: {os.strerror(error)}")

    def close(self) -> None:
        """Close it there."""
        self._connection.exchange([b"vFile:close:%x" % self._number])

    def part(self, offset: int, size: int) -> bytes:
        """Some bytes at an offset; fewer where it ends.

        Raises:
            TargetError: it can't be read.
        """
        places = range(offset, offset + size, _PIECE)
        requests = [self.request(place, min(_PIECE, offset + size - place)) for place in places]
        return b"".join(self.content(reply) for reply in self._connection.exchange(requests))

    def request(self, offset: int, size: int) -> bytes:
        """What asks for some bytes at an offset, to be sent with other requests; no more than 8 KiB."""
        return b"vFile:pread:%x,%x,%x" % (self._number, size, offset)

    def whole(self, most: int) -> bytes:
        """All that is in it.

        Args:
            most: bytes; a longer file is refused.

        Raises:
            TargetError: it is longer, or can't be read.
        """
        content = bytearray()
        while len(content) <= most:
            places = range(len(content), len(content) + _AHEAD * _PIECE, _PIECE)
            for reply in self._connection.exchange([self.request(place, _PIECE) for place in places]):
                data = self.content(reply)
                content += data
                if len(data) < _PIECE:
                    return bytes(content)
        raise TargetError(f"{self.path} is longer than {most} bytes on the target")

    def content(self, reply: bytes) -> bytes:
        """The bytes in the reply to a `request`.

        Raises:
            TargetError: it can't be read.
        """
        data = _attachment(reply)
        if data is None:
            raise TargetError(f"{self.path} can't be read on the target: {os.strerror(_result(reply)[1])}")
        return data


def _open_request(path: str) -> bytes:
    return b"vFile:open:%b,0,0" % path.encode().hex().encode()


def _attachment(reply: bytes) -> bytes | None:
    """The data in the reply to a read; None if there is none."""
    count, separator, data = reply.partition(b";")
    return data if separator and _result(count)[0] == len(data) else None


def _result(reply: bytes) -> tuple[int, int]:
    """The result of a call, and its error number."""
    try:
        result, _, error = reply.removeprefix(b"F").partition(b",")
        return int(result, 16), int(error or b"0", 16)
    except ValueError:
        return -1, errno.ENOSYS
