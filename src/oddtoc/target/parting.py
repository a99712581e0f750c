"""Somebody who says farewell to a gdbserver for an oddtoc that was killed.

A gdbserver whose client has gone passes on what its process stops with: a breakpoint that stays would end the process
at the next call (handle_target_event in gdbserver/server.cc). So while there are breakpoints a second process has the
connection open as well. It reads from a pipe what there would be to say, and says that when the pipe ends too early.

Run as `python -m oddtoc.target.parting NUMBER`, with the number of the connection's socket.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress

from oddtoc.errors import TargetError

_QUIET = 1.0
"""Seconds without a word from the server after which it has heard everything."""
_PATIENCE = 10.0
_CHUNK = 1 << 16


class Parting:
    """That process.

    Args:
        number: of the connection's socket, a file descriptor.

    Raises:
        TargetError: it does not start.
    """

    def __init__(self, number: int) -> None:
        command = [sys.executable, "-P", "-m", __spec__.name, str(number)]
        try:
            # signals for the user's terminal are none for it
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[number], start_new_session=True
            )
        except OSError as error:
            raise TargetError(f"nobody can be started to look after the connection: {error.strerror}") from error

    def tell(self, farewell: bytes) -> None:
        """Have it know what there would be to say from now on; nothing if that is empty.

        Raises:
            TargetError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(farewell.hex().encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise TargetError("the process that looks after the connection has ended") from error

    def end(self) -> None:
        """Dismiss it: whoever uses the connection leaves in good order."""
        with suppress(TargetError):
            self.tell(b"")
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()


def _say(number: int, farewell: bytes) -> None:
    limit = time.monotonic() + _PATIENCE
    with socket.socket(fileno=number) as connection, suppress(OSError):
        connection.settimeout(_PATIENCE)
        connection.sendall(farewell)
        # closed before all is read, the rest might be lost on the way
        connection.settimeout(_QUIET)
        while connection.recv(_CHUNK) and time.monotonic() < limit:
            pass


def _main(number: int) -> None:
    farewell = b""
    for line in sys.stdin:
        # one that was cut off was to be said before something that has not been done
        if line.endswith("\n"):
            farewell = bytes.fromhex(line)
    if farewell:
        _say(number, farewell)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
