"""Folders of ours that only the user can enter."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from oddtoc.errors import GuestError


def runtime_folder() -> Path:
    """Where sockets and locks live: $XDG_RUNTIME_DIR/oddtoc, or oddtoc-UID in the folder for temporary files."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base, "oddtoc") if base else Path(tempfile.gettempdir(), f"oddtoc-{os.getuid()}")


def private_folder(*parts: str) -> Path:
    """A folder below `runtime_folder`, made if need be, mode 0700 all the way down.

    Raises:
        GuestError: it is somebody else's, or others can enter it.
    """
    folder = runtime_folder()
    _make(folder)
    for part in parts:
        folder = folder / part
        _make(folder)
    return folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=False, exist_ok=True)
    except OSError as error:
        raise GuestError(f"{folder} can't be made: {error.strerror}", advice="set XDG_RUNTIME_DIR") from error
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise GuestError(
            f"{folder} is not a folder that only you can enter",
            advice="remove it, or set XDG_RUNTIME_DIR to another place",
        )
