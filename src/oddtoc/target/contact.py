"""A new connection to a debug server, with the lock that keeps other oddtocs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oddtoc.target.lock import TargetLock, lock_key
from oddtoc.target.server import ServerConnection


class Contact:
    """Both, ended together.

    Args:
        endpoint: the path of a Unix socket, or (host, port).
        lock: whether to keep other oddtocs out; False only for tests.
        timeout: seconds to wait for the replies to any one round trip.

    Attributes:
        endpoint, timeout: as given.
        connection: the connection.

    Raises:
        TargetError: nobody listens there.
        TargetInUseError: another debugger or another oddtoc is connected.
    """

    def __init__(self, endpoint: Path | tuple[str, int], timeout: float, *, lock: bool = True) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._lock = TargetLock(lock_key(endpoint)) if lock else None
        try:
            self.connection = ServerConnection(endpoint, timeout)
        except BaseException:
            self._release()
            raise

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """For a block that makes a target of it: both end if that fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def renew(self) -> None:
        """Connect again; the lock is kept.

        Raises:
            TargetError: nobody listens there any more.
            TargetInUseError: another debugger was faster.
        """
        self.connection.close()
        self.connection = ServerConnection(self.endpoint, self.timeout)

    def close(self) -> None:
        """End both; safe to call twice and after any error."""
        try:
            self.connection.close()
        finally:
            self._release()

    def _release(self) -> None:
        if self._lock:
            self._lock.release()
