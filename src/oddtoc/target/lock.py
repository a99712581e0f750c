"""One oddtoc per target: a lock on the host."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from oddtoc.errors import TargetError, TargetInUseError
from oddtoc.target.folders import private_folder

_LONGEST_NUMBER = 32


class TargetLock:
    """Held from construction until `release` or the end of the process.

    Args:
        key: names the target: its socket's path, or host and port.
        name: what messages call it, if not that.

    Raises:
        TargetInUseError: another oddtoc holds it; names its process.
        TargetError: the lock can't be taken at all.
    """

    def __init__(self, key: str, name: str = "") -> None:
        path = private_folder("locks") / hashlib.sha256(key.encode()).hexdigest()[:32]
        try:
            # a file object closes itself, also when the user interrupts before anybody holds this
            self._file = os.fdopen(_open(path), "r+b", buffering=0)
        except OSError as error:
            raise TargetError(f"{path} can't be opened: {error.strerror}", advice="remove it") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n".encode())
        except BlockingIOError:
            holder = self._file.read(_LONGEST_NUMBER).decode(errors="replace").strip() or "unknown"
            self.release()
            raise TargetInUseError(
                f"another oddtoc (process {holder}) is using the target at {name or key}",
                advice="wait until it has finished",
            ) from None
        except OSError as error:
            self.release()
            raise TargetError(f"{path} can't be locked: {error.strerror}") from error

    def release(self) -> None:
        """Let others use the target."""
        self._file.close()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def lock_key(endpoint: Path | tuple[str, int]) -> str:
    """The name of a target: the same for every way to write a socket's path. Two names of one host make two targets."""
    return str(endpoint.resolve()) if isinstance(endpoint, Path) else f"{endpoint[0].lower()}:{endpoint[1]}"
