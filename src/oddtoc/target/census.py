"""How many threads a process has, asked of its gdbserver in one request.

It lists them one by one: for each a request, and as many while the process stands still. Where the kernel counts as
many as are known, and all of those answer, there are no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from oddtoc.errors import TargetError
from oddtoc.target.files import RemoteFile
from oddtoc.target.server import ServerConnection

_SIZE = 1 << 10
_COUNT = 17
"""proc(5), /proc/PID/stat: field 20, num_threads; the fields are counted from the state on, the third."""


class Census:
    """The file that has the number, open.

    Args:
        file: /proc/PID/stat.

    Attributes:
        request: what asks for it.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self.request = file.request(0, _SIZE)

    @classmethod
    @contextmanager
    def of(cls, connection: ServerConnection, pid: int) -> Iterator[Census]:
        """Have the file open for a block.

        Args:
            connection: to the gdbserver.
            pid: of the process.

        Raises:
            MissingFileError: there is no such process.
        """
        file = RemoteFile(connection, f"/proc/{pid}/stat")
        try:
            yield cls(file)
        finally:
            # a connection that broke meanwhile has been told of already
            with suppress(TargetError):
                file.close()

    def count(self, reply: bytes) -> int:
        """The number of threads in the reply to `request`; 0 where it can't be told."""
        with suppress(TargetError, IndexError, ValueError):
            return int(self._file.content(reply).rpartition(b")")[2].split()[_COUNT])
        return 0
