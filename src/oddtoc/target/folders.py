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
    make_private(folder, "XDG_RUNTIME_DIR")
    for part in parts:
        folder = folder / part
        make_private(folder, "XDG_RUNTIME_DIR")
    return folder


def make_private(folder: Path, variable: str) -> None:
    """Make a folder of mode 0700, if it is not there.

    Args:
        folder: its parent is there.
        variable: of the environment, which decides where it is.

    Raises:
        GuestError: it is somebody else's, or others can enter it.
    """
    try:
        folder.mkdir(mode=0o700, parents=False, exist_ok=True)
    except OSError as error:
        raise GuestError(f"{folder} can't be made: {error.strerror}", advice=f"set {variable}") from error
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise GuestError(
            f"{folder} is not a folder that only you can enter",
            advice=f"remove it, or set {variable} to another place",
        )
