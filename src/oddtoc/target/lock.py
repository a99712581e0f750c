"""One oddtoc per target: a lock on the host."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from oddtoc.errors import TargetInUseError
from oddtoc.target.folders import private_folder


class TargetLock:
    """Held from construction until `release` or the end of the process.

    Args:
        key: names the target: its socket's path, or host and port.

    Raises:
        TargetInUseError: another oddtoc holds it; names its process.
    """

    def __init__(self, key: str) -> None:
        path = private_folder("locks") / hashlib.sha256(key.encode()).hexdigest()[:32]
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise TargetInUseError(
                f"another oddtoc (process {holder}) is using the target at {key}", advice="wait until it has finished"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others use the target."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def lock_key(endpoint: Path | tuple[str, int]) -> str:
    """The name of a target: the same for every way to write its address."""
    return str(endpoint.resolve()) if isinstance(endpoint, Path) else f"{endpoint[0]}:{endpoint[1]}"
