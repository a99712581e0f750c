"""Guests with Debian's programs in them and a gdbserver that attaches to any of their processes."""

from __future__ import annotations

import base64
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oddtoc.debian import fetch_kernel
from oddtoc.debian.programs import program_files
from oddtoc.errors import GuestError
from oddtoc.target.guest import Guest, boot
from oddtoc.target.modules import load_order

PACKAGES = ("gdbserver", "redis-server", "redis-tools", "zlib1g", "python3.11-minimal")
PROGRAMS = (
    "usr/bin/gdbserver",
    "usr/bin/redis-server",
    "usr/bin/redis-benchmark",
    "usr/bin/redis-cli",
    "usr/bin/python3.11",
    "usr/lib/python3.11",
)
_PORT = 3333


@dataclass(frozen=True)
class ProcessGuest:
    """A guest, and the address of the gdbserver in it, to which ``#PID`` makes a target.

    Attributes:
        guest: the guest.
        endpoint: of its gdbserver, on this machine.
    """

    guest: Guest
    endpoint: tuple[str, int]

    @property
    def server(self) -> str:
        """The gdbserver as a target's address begins: ``gdb://127.0.0.1:PORT``."""
        return f"gdb://{self.endpoint[0]}:{self.endpoint[1]}"

    def run(self, command: str, *, timeout: float = 60.0) -> str:
        """What a command prints in the guest."""
        return self.guest.run(command, timeout=timeout).stdout.decode(errors="replace")

    def start(self, command: str, log: str = "/dev/null") -> int:
        """Start something in the background of the guest, for a shell's quotes not to be in its way; its process."""
        quoted = "'" + command.replace("'", "'\\''") + "'"
        return int(self.run(f"cd /; sh -c {quoted} > {log} 2>&1 < /dev/null & echo $!"))

    def put(self, file: Path, path: str) -> None:
        """Copy a file into the guest."""
        text = base64.b64encode(file.read_bytes()).decode()
        self.run(f"base64 -d > {path} <<'END'\n{text}\nEND")


def boot_with_gdbserver(
    series: str,
    name: str,
    *,
    files: Mapping[str, Path] | None = None,
    arguments: Sequence[str] = (),
    append: str = "",
    smp: int = 2,
    timeout: float = 90.0,
) -> ProcessGuest:
    """Boot a kernel with redis, python and a gdbserver that this machine reaches through QEMU's user network.

    Args:
        series: of the kernel, ``6.1``.
        name: of the guest.
        files: more for the guest: path there -> file here.
        arguments: more for QEMU's command line.
        append: more for the kernel's command line.
        smp: how many vCPUs.
        timeout: seconds for it to come up.

    Raises:
        FetchError: a kernel or a program can't be had.
        GuestError: it did not come up.
    """
    kernel = fetch_kernel(series)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    network = ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:{_PORT}", "-device", "spapr-vlan,netdev=net"]
    guest = boot(
        kernel.vmlinux,
        kernel.busybox,
        name=name,
        smp=smp,
        modules=load_order(kernel.modules, ["ibmveth"]),
        files=program_files(PACKAGES, PROGRAMS) | dict(files or {}),
        kernel_label=kernel.release,
        timeout=timeout,
        arguments=[*network, *arguments],
        append=append,
    )
    made = ProcessGuest(guest, ("127.0.0.1", port))
    try:
        made.run("ifconfig lo 127.0.0.1 up; ifconfig eth0 10.0.2.15 up")
        # what waits for a CPU while a process stands still makes it stand longer
        made.start(f"renice -n -20 -p $$; while :; do gdbserver --multi 0.0.0.0:{_PORT}; done", "/tmp/gdbserver.log")
        made.run("until grep -qs Listening /tmp/gdbserver.log; do sleep 0.1; done")
    except GuestError:
        guest.stop()
        raise
    return made
