"""The log: every apply and revert, as JSON lines, one write each.

An operation has a line when it begins to write to its target, and one when it ends, well or not. The first of them
is why a log that can't be written refuses the operation, and it is what is left of an oddtoc that was killed.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oddtoc.errors import LogError
from oddtoc.target.folders import make_private
from oddtoc.trust.policy import Policy

_NAME = "log.jsonl"


class Operation:
    """One operation on a target, while it goes on. `details` are part of all lines that are written from now on."""

    def __init__(self, path: Path, details: dict[str, Any]) -> None:
        self._path = path
        self.details = details

    def begin(self, **details: Any) -> None:
        """Say that now something will be written to the target.

        Raises:
            LogError: the log can't be written; nothing may be done then.
        """
        self.details |= details
        self.write("begun")

    def write(self, result: str) -> None:
        """Append one line.

        Raises:
            LogError: that did not work.
        """
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        _append(self._path, json.dumps({"time": moment, **self.details, "result": result}).encode() + b"\n")


@contextmanager
def logged(policy: Policy, action: str, target: str, patch: str) -> Iterator[Operation]:
    """Log an operation on a target, however it ends.

    Args:
        policy: says where the log is.
        action: apply, revert, or room (memory for patches of modules).
        target: as the user wrote it.
        patch: the patch's name.

    Raises:
        LogError: the log can't be written.
    """
    operation = Operation(log_path(policy), {**_who(), "action": action, "target": target, "patch": patch})
    try:
        yield operation
    except BaseException as error:
        operation.details["error"] = (str(error) or type(error).__name__).splitlines()[0]
        if not isinstance(error, LogError):
            operation.write("failed")
        raise
    operation.write("done")


def log_path(policy: Policy) -> Path:
    """Where the log is: what the policy says, or $XDG_STATE_HOME/oddtoc/log.jsonl (~/.local/state without that).

    Raises:
        LogError: its folder can't be made, or others can enter it.
    """
    if policy.log is not None:
        return policy.log
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "oddtoc"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"{folder.parent} can't be made: {error.strerror}", advice="set XDG_STATE_HOME") from error
    make_private(folder, "XDG_STATE_HOME")
    return folder / _NAME


def _who() -> dict[str, Any]:
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = ""
    return {"uid": uid, "user": user, "host": socket.gethostname(), "pid": os.getpid()}


def _append(path: Path, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = os.open(path, flags, 0o600)
        try:
            _check(path, os.fstat(file))
            if os.write(file, line) != len(line):
                raise LogError(f"the log {path} takes no more", advice="make room there")
        finally:
            os.close(file)
    except OSError as error:
        raise LogError(
            f"the log {path} can't be written: {error.strerror}", advice="nothing is written to a target without it"
        ) from error


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise LogError(f"the log {path} is not a regular file")
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o077:
        raise LogError(f"others than its owner have access to the log {path}", advice=f"chmod 600 {path}")
