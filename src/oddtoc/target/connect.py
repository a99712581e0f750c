"""Target addresses: what the user writes, and the connection it stands for."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from oddtoc.errors import TargetError, UsageError
from oddtoc.target.guest import Guest
from oddtoc.target.qemu import QemuTarget

KNOWN = "guest:NAME, gdb://HOST:PORT, qmp:PATH or the path of a debug server's Unix socket"
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]/]+)):(?P<port>\d{1,5})\Z")


@dataclass(frozen=True)
class TargetAddress:
    """One target.

    Attributes:
        text: as the user wrote it.
        endpoint: of its gdb server; None for `qmp:`, which has yet to be asked for one.
        vmlinux: the image of the kernel that runs there, where the address tells (`guest:NAME`).
        qmp: the QMP socket, for `qmp:PATH`.
    """

    text: str
    endpoint: Path | tuple[str, int] | None = None
    vmlinux: Path | None = None
    qmp: Path | None = None


def parse_target(text: str) -> TargetAddress:
    """Understand a target address.

    Raises:
        UsageError: it is none; the error names the forms there are.
        GuestError: no guest has that name.
    """
    scheme, separator, rest = text.partition(":")
    if separator and scheme == "guest" and rest:
        guest = Guest.find(rest)
        return TargetAddress(text, endpoint=guest.debug_socket, vmlinux=guest.vmlinux)
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


def connect(address: TargetAddress, *, remote: bool = False) -> QemuTarget:
    """Connect to a target.

    Args:
        address: the target.
        remote: whether it may be on another machine.

    Raises:
        TargetError: nobody answers, or the debug server is on another machine; TargetInUseError: somebody else is
            connected.
    """
    endpoint = address.endpoint
    if endpoint is None:
        if address.qmp is None:
            raise UsageError(f"unknown target {address.text}", advice=f"a target is {KNOWN}")
        from oddtoc.target.qmp import open_debug_server  # slow to load, and seldom needed

        endpoint = open_debug_server(address.qmp)
    if not remote and isinstance(endpoint, tuple) and not _is_loopback(endpoint[0]):
        raise TargetError(
            f"the debug server at {endpoint[0]}:{endpoint[1]} is not on this machine: no loopback address",
            advice="forward its port with ssh -L, or say --remote: then all on the way can read and patch that kernel",
        )
    return QemuTarget.connect(endpoint)


def _is_loopback(host: str) -> bool:
    """Other names than `localhost` are not asked for: who answers for them says what they are."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower() == "localhost"
