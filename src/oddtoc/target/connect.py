"""Target addresses: what the user writes, and the connection it stands for."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from oddtoc.errors import TargetError, UsageError
from oddtoc.target.contact import Contact
from oddtoc.target.gdbserver import GdbserverProcess
from oddtoc.target.guest import Guest
from oddtoc.target.handshake import greeting_of
from oddtoc.target.process import ProcessTarget
from oddtoc.target.qemu import QemuTarget

KNOWN = (
    "guest:NAME, gdb://HOST:PORT, qmp:PATH or the path of a debug server's Unix socket, "
    "of a gdbserver with #PID behind it; or pid:N for a process of this machine"
)
_PROCESS = re.compile(r"(?P<server>[^#]+)#(?P<pid>[1-9]\d{0,6})\Z")
_NUMBER = re.compile(r"[1-9]\d{0,6}\Z")
_TIMEOUT = 5.0
"""Seconds to wait for the replies to any one round trip."""
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]/]+)):(?P<port>\d{1,5})\Z")


@dataclass(frozen=True)
class TargetAddress:
    """One target.

    Attributes:
        text: as the user wrote it.
        endpoint: of its gdb server; None for `qmp:`, which has yet to be asked for one, and for `pid:`.
        vmlinux: the image of the kernel that runs there, where the address tells (`guest:NAME`).
        qmp: the QMP socket, for `qmp:PATH`.
        pid: of a process, for ``pid:N`` and for the address of a gdbserver with ``#PID`` behind it.
    """

    text: str
    endpoint: Path | tuple[str, int] | None = None
    vmlinux: Path | None = None
    qmp: Path | None = None
    pid: int | None = None


def parse_target(text: str) -> TargetAddress:
    """Understand a target address.

    Raises:
        UsageError: it is none; the error names the forms there are.
        GuestError: no guest has that name.
    """
    if match := _PROCESS.match(text):
        server = parse_target(match["server"])
        if server.endpoint is None or server.vmlinux:
            raise UsageError(f"{match['server']} is no address of a gdbserver", advice=f"a target is {KNOWN}")
        return replace(server, text=text, pid=int(match["pid"]))
    scheme, separator, rest = text.partition(":")
    if separator and scheme == "guest" and rest:
        guest = Guest.find(rest)
        return TargetAddress(text, endpoint=guest.debug_socket, vmlinux=guest.vmlinux)
    if scheme == "pid" and _NUMBER.match(rest):
        return TargetAddress(text, pid=int(rest))
    if separator and scheme == "qmp" and rest:
        return TargetAddress(text, qmp=Path(rest))
    if text.startswith("gdb://"):
        match = _HOST_PORT.match(text.removeprefix("gdb://"))
        if match and int(match["port"]) < 1 << 16:
            return TargetAddress(text, endpoint=(match["v6"] or match["host"], int(match["port"])))
        raise UsageError(f"{text} names no host and port", advice="write gdb://HOST:PORT or gdb://[V6]:PORT")
    if _is_socket(text):
        return TargetAddress(text, endpoint=Path(text))
    if not separator or "/" in scheme:
        raise UsageError(f"there is no socket {text}", advice=f"a target is {KNOWN}")
    raise UsageError(f"unknown target {text}", advice=f"a target is {KNOWN}")


def _is_socket(text: str) -> bool:
    try:
        return Path(text).is_socket()
    except OSError:  # too long for a path, say
        return False


def connect(address: TargetAddress, *, remote: bool = False) -> QemuTarget | ProcessTarget:
    """Connect to a target. Which kind of debug server answers there is found out by asking.

    Args:
        address: the target.
        remote: whether it may be on another machine.

    Raises:
        TargetError: nobody answers, or the debug server is on another machine; TargetInUseError: somebody else is
            connected.
    """
    endpoint = address.endpoint
    if endpoint is None:
        if address.pid is not None:
            from oddtoc.target.local import LocalProcess  # on ppc64le alone

            return LocalProcess(address.pid)
        if address.qmp is None:
            raise UsageError(f"unknown target {address.text}", advice=f"a target is {KNOWN}")
        from oddtoc.target.qmp import open_debug_server  # slow to load, and seldom needed

        endpoint = open_debug_server(address.qmp)
    if not remote and isinstance(endpoint, tuple) and not _is_loopback(endpoint[0]):
        raise TargetError(
            f"the debug server at {endpoint[0]}:{endpoint[1]} is not on this machine: no loopback address",
            advice="forward its port with ssh -L, or say --remote: then all on the way can read and patch that kernel",
        )
    return open_server(endpoint, address.pid)


def open_server(endpoint: Path | tuple[str, int], pid: int | None = None) -> QemuTarget | ProcessTarget:
    """Connect to a debug server, and find out by asking which kind it is.

    Args:
        endpoint: the path of a Unix socket, or (host, port).
        pid: of the process that is meant, for a gdbserver.

    Raises:
        UsageError: the server has no processes, or it is not clear which one is meant.
        TargetError, TargetInUseError: as `connect`.
    """
    contact = Contact(endpoint, _TIMEOUT)
    with contact.handed_over():
        greeting = greeting_of(contact.connection, _TIMEOUT)
        if greeting.runs_processes:
            return GdbserverProcess(contact, greeting, pid)
        if pid is not None:
            raise UsageError(
                f"{contact.connection.name} is the debug server of a QEMU, which knows no processes",
                advice=f"leave #{pid} away to patch the kernel; a process is reached through a gdbserver inside",
            )
        return QemuTarget(contact, greeting)


def _is_loopback(host: str) -> bool:
    """Other names than `localhost` are not asked for: who answers for them says what they are."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower() == "localhost"
