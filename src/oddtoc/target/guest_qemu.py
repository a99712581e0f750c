"""The command that starts a guest's QEMU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oddtoc.errors import GuestError
from oddtoc.target.console import AGENT_SOCKET, STDERR_SOCKET, STDOUT_SOCKET

QEMU = "qemu-system-ppc64"
CONSOLE_LOG = "console.log"
CONSOLE_SOCKET = "console.sock"
DEBUG_CHARDEV = "gdb"
DEBUG_SOCKET = "debug.sock"
GUARDIAN_SOCKET = "guardian.sock"
INITRAMFS = "initramfs"
PID_FILE = "pid"
QMP_SOCKET = "qmp.sock"
UNDO_FILE = "undo.json"
SOCKETS = (AGENT_SOCKET, CONSOLE_SOCKET, DEBUG_SOCKET, GUARDIAN_SOCKET, QMP_SOCKET, STDERR_SOCKET, STDOUT_SOCKET)

_MACHINE = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"
"""TCG offers none of these capabilities and refuses to start a machine that promises them."""
_SMALL_FIRMWARE = "vof.bin"
_TERMINALS = ("console", "agent", "stdout", "stderr")
"""In this order hvc0 to hvc3: Linux numbers them by their address (`reg`)."""
_TERMINAL_REG = 0x30000000
_TERMINAL_STEP = 0x1000
"""Closer together their interrupts collide; left to itself, QEMU numbers them backwards."""


@dataclass(frozen=True)
class Machine:
    """What a guest is made of.

    Args:
        vmlinux: the kernel's ELF image.
        smp: how many vCPUs.
        memory: as QEMU takes it, ``1G``.
        append: more for the kernel's command line.
        arguments: more for QEMU's.
    """

    vmlinux: Path
    smp: int = 2
    memory: str = "1G"
    append: str = ""
    arguments: Sequence[str] = ()


def qemu_command(machine: Machine, folder: Path) -> list[str]:
    """The command that starts a guest in the background, word by word.

    Args:
        machine: what it is made of.
        folder: where its sockets, its log and its process number go, and where its initramfs is.

    Raises:
        GuestError: QEMU is not installed.
    """
    return [
        *(QEMU, *_firmware(), "-cpu", "power9", "-accel", "tcg", "-smp", str(machine.smp), "-m", machine.memory),
        *("-nodefaults", "-display", "none", "-daemonize", "-pidfile", str(folder / PID_FILE), "-no-reboot"),
        *("-kernel", str(machine.vmlinux), "-initrd", str(folder / INITRAMFS)),
        *("-append", f"console=hvc0 panic=-1 {machine.append}".strip()),
        *_terminals(folder),
        *("-chardev", _socket(DEBUG_CHARDEV, folder / DEBUG_SOCKET), "-gdb", f"chardev:{DEBUG_CHARDEV}"),
        *("-chardev", _socket("qmp", folder / QMP_SOCKET), "-mon", "chardev=qmp,mode=control"),
        *("-chardev", _socket("guardian", folder / GUARDIAN_SOCKET), "-mon", "chardev=guardian,mode=control"),
        *machine.arguments,
    ]


def _firmware() -> list[str]:
    """QEMU's small firmware is in the kernel after half a second, where the full one takes several."""
    if not shutil.which(QEMU):
        raise GuestError(f"{QEMU} is not installed", advice="on Debian: apt-get install qemu-system-ppc")
    listed = subprocess.run([QEMU, "-L", "help"], capture_output=True, text=True, check=False).stdout
    if any(Path(folder, _SMALL_FIRMWARE).exists() for folder in listed.splitlines()):
        return ["-M", f"{_MACHINE},x-vof=on", "-bios", _SMALL_FIRMWARE]
    return ["-M", _MACHINE]


def _terminals(folder: Path) -> list[str]:
    words = []
    for number, name in enumerate(_TERMINALS):
        log = f",logfile={_escaped(folder / CONSOLE_LOG)}" if name == "console" else ""
        words += ["-chardev", _socket(name, folder / f"{name}.sock") + log]
        words += ["-device", f"spapr-vty,chardev={name},reg={_TERMINAL_REG + number * _TERMINAL_STEP:#x}"]
    return words


def _socket(name: str, path: Path) -> str:
    return f"socket,id={name},path={_escaped(path)},server=on,wait=off"


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
