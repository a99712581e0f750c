"""A QEMU that is known by its QMP socket: which gdb server it has, or a new one.

A QEMU has one gdb server at most. Opening a second one ends the first for good, its client included, and QEMU 7.2
crashes when told to open the same one again. So one that is there is used. Its chardev is named `gdb`, except after
`-gdb chardev:NAME`: that one can't be told apart from other sockets, and is left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qemu.qmp import QMPClient, QMPError

from oddtoc.errors import TargetError, TargetInUseError
from oddtoc.target.folders import private_folder

_TIMEOUT = 1.5
"""Seconds for all of it. QEMU lets a second client connect and does not answer it."""
_SERVER = "gdb"
"""The label of a gdb server's chardev."""
_MONITOR_OF_SERVER = "gdb"
"""The file name that QEMU gives to the inside of a gdb server, once there was one."""
_UNIX = re.compile(r"(?:disconnected:)?unix:(?P<path>.+?),server=on\Z")
_TCP = re.compile(r"(?:disconnected:)?tcp:(?P<host>\[[^\]]+\]|[^:,]+):(?P<port>\d+),")
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def open_debug_server(qmp: Path) -> Path | tuple[str, int]:
    """The gdb server of a QEMU, asked for through its QMP socket; one is opened if there was none.

    Returns:
        (host, port), or the path of a Unix socket; a new one is in a folder that only the user can enter.

    Raises:
        TargetError: nobody answers there, QEMU refuses, or its gdb server can't be recognised.
        TargetInUseError: another client is connected to the QMP socket.
    """
    path = new_socket(qmp)
    try:
        # in a thread of its own: the caller may be in an event loop
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(asyncio.run, asyncio.wait_for(_ask(qmp, path), _TIMEOUT)).result()
    except TimeoutError:
        raise TargetInUseError(
            f"QEMU does not answer at {qmp}: another client is connected", advice="close it, or is that no QMP socket?"
        ) from None
    except (QMPError, OSError) as error:
        raise TargetError(f"QEMU does not answer at {qmp}: {error}", advice="is that its QMP socket?") from error


def new_socket(qmp: Path) -> Path:
    """Where the new gdb server of the QEMU at a QMP socket is put: always the same place."""
    return private_folder("debug") / f"{hashlib.sha256(str(qmp.absolute()).encode()).hexdigest()[:16]}.gdb"


async def _ask(qmp: Path, path: Path) -> Path | tuple[str, int]:
    client = QMPClient("oddtoc")
    await client.connect(str(qmp))
    try:
        chardevs = {str(one["label"]): str(one["filename"]) for one in await _chardevs(client)}
        if _SERVER in chardevs:
            return _endpoint(chardevs[_SERVER])
        if _MONITOR_OF_SERVER in chardevs.values():
            raise TargetError(
                f"the QEMU at {qmp} has a debug server of its own",
                advice="give its address: gdb://HOST:PORT, or the path of its socket",
            )
        command = f"gdbserver {_quoted(f'unix:{_option(path)},server=on,wait=off')}"
        answer = str(await client.execute("human-monitor-command", {"command-line": command}))
        if not any(one["label"] == _SERVER for one in await _chardevs(client)):
            raise TargetError(f"the QEMU at {qmp} opens no debug server: {' '.join(answer.split())}")
        return path
    finally:
        await client.disconnect()


async def _chardevs(client: QMPClient) -> Sequence[dict[str, object]]:
    answer = await client.execute("query-chardev")
    if not isinstance(answer, list):
        raise TargetError("QEMU does not list its chardevs")
    return answer


def _endpoint(name: str) -> Path | tuple[str, int]:
    if unix := _UNIX.match(name):
        return Path(unix["path"])
    if tcp := _TCP.match(name):
        host = tcp["host"].strip("[]")
        return _EVERY_ADDRESS.get(host, host), int(tcp["port"])
    raise TargetError(f"QEMU's debug server is at {name}, which oddtoc can't reach")


def _option(path: Path) -> str:
    """As a value in a list of QEMU's options."""
    return str(path).replace(",", ",,")


def _quoted(word: str) -> str:
    """As a word of QEMU's monitor."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
