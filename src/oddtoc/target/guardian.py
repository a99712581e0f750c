"""The guardian of a guest: a process that lets the guest run on when the debugger that stopped it has gone.

QEMU leaves a guest standing when its debugger dies, half a packet in its buffer and breakpoints in place. The guardian
hears of every stop through a QMP monitor of its own. It acts only on a stop that nobody holds: no client is connected
to the debug server. It then becomes that client itself, ends the broken packet, undoes what the debugger has left
unfinished (see `undo`), and detaches, which removes every breakpoint and lets the guest run. A debug server has one
client at a time, so a living debugger can't be disturbed: QEMU hears the guardian when that one has left.

Run as `python -m oddtoc.target.guardian FOLDER`, it returns when it watches, and ends with the guest.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from oddtoc.errors import GuestError, OddtocError
from oddtoc.target.guest_qemu import DEBUG_CHARDEV, DEBUG_SOCKET, GUARDIAN_SOCKET, UNDO_FILE
from oddtoc.target.monitor import Monitor

_PATIENCE = 0.05
"""Seconds after a stop before anything is asked: nearly all are over by then."""
_INTERVAL = 0.1
"""Seconds between two looks at a guest that stands still."""
_TIMEOUT = 2.0
_STOPPED_BY_DEBUGGER = ("paused", "debug")
"""Not those in which a guest has ended, is saved, or has not begun."""
_LET_GO = b"$#00$D#44"
"""An empty packet, which ends a broken one, and: remove breakpoints, detach, run. QEMU 7.2 falls over a second `D`."""
_DONE = b"$OK#9a"


def start(folder: Path) -> None:
    """Start the guardian of the guest in a folder; it watches when this returns.

    Raises:
        GuestError: it does not start.
    """
    command = [sys.executable, "-P", "-m", __spec__.name, str(folder)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True
    )
    if result.returncode:
        reason = (result.stderr.splitlines() or [f"status {result.returncode}"])[-1]
        raise GuestError(f"the guardian of {folder.name} does not start: {reason}")


def watch(monitor: Monitor, folder: Path) -> None:
    """Watch the guest of a folder until it ends.

    Raises:
        OSError: it has ended.
    """
    while True:
        if not _stands_still(monitor):
            monitor.wait()
            time.sleep(_PATIENCE)
        elif _has_debugger(monitor):
            time.sleep(_INTERVAL)
        else:
            _undo(folder)
            _let_go(folder / DEBUG_SOCKET)


def _stands_still(monitor: Monitor) -> bool:
    return monitor.ask("query-status")["status"] in _STOPPED_BY_DEBUGGER


def _has_debugger(monitor: Monitor) -> bool:
    names = [one["filename"] for one in monitor.ask("query-chardev") if one["label"] == DEBUG_CHARDEV]
    return not any(name.startswith("disconnected:") for name in names)


def _undo(folder: Path) -> None:
    """Undo what the last debugger has left unfinished, if it did."""
    if (folder / UNDO_FILE).exists():
        from oddtoc.target.qemu import QemuTarget  # seldom needed, and slow to load

        # where it can't be undone the guest goes on as it is, and `oddtoc status` says what that is
        with suppress(OddtocError, OSError):
            QemuTarget.connect(folder / DEBUG_SOCKET, lock=False).close()


def _let_go(debug_socket: Path) -> None:
    """Be the debugger for a moment. When another one was faster, QEMU hears this when that has left."""
    # whatever fails here is tried again, until the monitor says that the guest has ended
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as debugger, suppress(OSError):
        debugger.settimeout(_TIMEOUT)
        debugger.connect(str(debug_socket))
        debugger.sendall(_LET_GO)
        received = b""
        while _DONE not in received and (data := debugger.recv(4096)):
            received = received[-len(_DONE) :] + data
        return
    time.sleep(_INTERVAL)


def _main(folder: Path) -> None:
    monitor = Monitor(folder / GUARDIAN_SOCKET)
    if os.fork():
        os._exit(0)
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    # the guest has ended, and so does its guardian
    with suppress(OSError):
        watch(monitor, folder)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
