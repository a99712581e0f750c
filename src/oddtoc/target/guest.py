"""Guests: Linux kernels that run in QEMU, in the background, for this user."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oddtoc.errors import GuestError, UsageError
from oddtoc.target import console, guardian
from oddtoc.target.console import Completed, Sink
from oddtoc.target.folders import make_private, private_folder
from oddtoc.target.guest_qemu import (
    CONSOLE_LOG,
    DEBUG_SOCKET,
    INITRAMFS,
    PID_FILE,
    QMP_SOCKET,
    SOCKETS,
    Machine,
    qemu_command,
)
from oddtoc.target.initramfs import initramfs
from oddtoc.target.interrupts import interrupts_held

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}\Z")
_LONGEST_SOCKET_PATH = 107
_STATE = "guest.json"
_CONSOLE_LINES = 12
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")


@dataclass(frozen=True)
class Guest:
    """A guest that `boot` started.

    Attributes:
        name: as it was started.
        folder: holds its sockets, log and state; only the user can enter it.
        vmlinux: the image of its kernel.
        label: what kernel it is, for people.
        pid: QEMU's process.
        started: when that started, in clock ticks, so that a number used again is noticed.
        smp: how many vCPUs.
        memory: as QEMU takes it, ``1G``.
    """

    name: str
    folder: Path
    vmlinux: Path
    label: str
    pid: int
    started: int
    smp: int
    memory: str

    @property
    def debug_socket(self) -> Path:
        """The Unix socket of its gdb server."""
        return self.folder / DEBUG_SOCKET

    @property
    def qmp_socket(self) -> Path:
        """The Unix socket of its QMP monitor."""
        return self.folder / QMP_SOCKET

    @property
    def console_log(self) -> Path:
        """What its kernel printed."""
        return self.folder / CONSOLE_LOG

    @property
    def alive(self) -> bool:
        """Whether its QEMU still runs."""
        return self.pid > 0 and _start_time(self.pid) == self.started

    @classmethod
    def find(cls, name: str, *, ended: bool = False) -> Guest:
        """The guest of that name.

        Args:
            name: as given to `boot`.
            ended: one that ended by itself will do, too.

        Raises:
            GuestError: there is none, or it has ended; the error names those that run.
        """
        known = {guest.name: guest for guest in cls.all()}
        guest = known.get(name)
        if guest and (ended or guest.alive):
            make_private(guest.folder, "XDG_RUNTIME_DIR")
            return guest
        running = [other.name for other in known.values() if other.alive]
        raise GuestError(
            f"the guest {name} has ended" if guest else f"there is no guest {name}",
            advice=f"running: {', '.join(running)}" if running else "oddtoc boot 6.1 starts one",
        )

    @classmethod
    def all(cls) -> list[Guest]:
        """All guests of this user, those that ended by themselves too."""
        found = (_load(folder) for folder in sorted(private_folder("guests").iterdir()))
        return [guest for guest in found if guest]

    def run(
        self, command: str, *, timeout: float = 60.0, stdout: Sink | None = None, stderr: Sink | None = None
    ) -> Completed:
        """Give a command to the guest's shell; commands from several processes queue.

        Args:
            command: any shell command line or script; its standard input is empty. What it leaves in the background
                goes on; what that prints is lost, or heard by a later command: redirect it.
            timeout: seconds after which it is killed, waiting in the queue not counted.
            stdout: also gets standard output as it comes.
            stderr: also gets standard error as it comes.

        Raises:
            UsageError: the command has a NUL byte.
            GuestError: it did not end in time, or the guest does not answer.
        """
        return console.run(self.folder, command, timeout=timeout, stdout=stdout, stderr=stderr)

    def console_end(self) -> list[str]:
        """The last lines that its kernel printed, or the first of its panic."""
        return _console_end(self.folder)

    def stop(self) -> None:
        """End the guest and remove its folder."""
        if self.alive:
            _end(self)
        shutil.rmtree(self.folder, ignore_errors=True)


def boot(
    vmlinux: Path,
    busybox: Path,
    *,
    name: str,
    smp: int = 2,
    memory: str = "1G",
    modules: Sequence[tuple[str, bytes]] = (),
    append: str = "",
    files: Mapping[str, Path] | None = None,
    timeout: float = 90.0,
    kernel_label: str = "",
    arguments: Sequence[str] = (),
) -> Guest:
    """Start a guest in the background, and its guardian, and return when it is up.

    Args:
        vmlinux: the kernel's ELF image.
        busybox: a static busybox for ppc64le, the guest's programs.
        name: by which it is found again; letters, digits and ``._+-``.
        smp: how many vCPUs.
        memory: as QEMU takes it, ``1G``.
        modules: (name, content) of kernel modules, loaded in this order (see `modules.load_order`).
        append: more for the kernel's command line.
        files: path in the guest -> file on the host.
        timeout: seconds for it to come up.
        kernel_label: what kernel it is, for people.
        arguments: more for QEMU's command line.

    Raises:
        GuestError: a guest of that name runs, QEMU is missing or refuses, or the guest did not come up: then with the
            last lines of its console, and nothing is left running.
    """
    machine = Machine(vmlinux.resolve(), smp, memory, append, tuple(arguments))
    with _new_folder(name) as folder:
        command = qemu_command(machine, folder)
        (folder / INITRAMFS).write_bytes(initramfs(busybox, modules=modules, files=files))
        guest = None
        try:
            # QEMU goes into the background here: who is interrupted meanwhile would leave it behind
            with interrupts_held():
                label = kernel_label or vmlinux.name
                guest = Guest(name, folder, machine.vmlinux, label, *_start(command, folder), smp, memory)
                _store(guest)
            guardian.start(folder)
            _await(guest, timeout)
        except BaseException:
            if guest is not None:
                guest.stop()
            raise
    return guest


def planned_command(machine: Machine, name: str) -> list[str]:
    """The command that `boot` would start QEMU with."""
    return qemu_command(machine, _folder(name))


def _folder(name: str) -> Path:
    if not _NAME.match(name):
        raise UsageError(f"{name!r} is no name for a guest", advice="use letters, digits and . _ + -, 41 at most")
    folder = private_folder("guests") / name
    if max(len(os.fsencode(folder / socket)) for socket in SOCKETS) > _LONGEST_SOCKET_PATH:
        raise GuestError(f"{folder} is too long a path for sockets", advice="set XDG_RUNTIME_DIR to a shorter one")
    return folder


@contextmanager
def _new_folder(name: str) -> Iterator[Path]:
    """A fresh folder for a guest, removed again if what is done with it fails. One process at a time has the name."""
    folder = _folder(name)
    with (folder.parent / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GuestError(f"a guest named {name} is being started", advice="give another --name") from None
        old = _load(folder)
        if old and old.alive:
            raise GuestError(
                f"a guest named {name} is running", advice=f"oddtoc guest stop {name}, or give another --name"
            )
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield private_folder("guests", name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _start(command: Sequence[str], folder: Path) -> tuple[int, int]:
    """Start QEMU; its process and start time."""
    # Ctrl-C at a terminal would reach it, too
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "warning:" not in line]
        reason = lines[-1].removeprefix(f"{command[0]}: ") if lines else f"status {result.returncode}"
        raise GuestError(f"QEMU does not start: {reason}")
    pid = int((folder / PID_FILE).read_text())
    return pid, _start_time(pid) or 0


def _await(guest: Guest, timeout: float) -> None:
    try:
        failed = console.wait_until_ready(guest.folder, lambda: guest.alive, time.monotonic() + timeout)
        if failed:
            raise GuestError(f"the guest could not load {', '.join(failed)}")
    except GuestError as error:
        last = "\n".join(["its console:", *(guest.console_end() or ["(nothing)"])])
        raise GuestError(f"{guest.name}: {error.message} (after {timeout:g} s at most)", advice=last) from error


def _console_end(folder: Path) -> list[str]:
    try:
        text = (folder / CONSOLE_LOG).read_text(errors="replace")
    except OSError:
        return []
    lines = [_ESCAPES.sub("", line).rstrip() for line in text.splitlines()]
    said = [line for line in lines if line]
    panic = next((number for number, line in enumerate(said) if "Kernel panic" in line), None)
    return said[-_CONSOLE_LINES:] if panic is None else said[panic:][:_CONSOLE_LINES]


def _store(guest: Guest) -> None:
    plain = {**guest.__dict__, "folder": str(guest.folder), "vmlinux": str(guest.vmlinux)}
    (guest.folder / _STATE).write_text(json.dumps(plain, indent=2) + "\n")


def _load(folder: Path) -> Guest | None:
    try:
        plain = json.loads((folder / _STATE).read_text())
        return Guest(**{**plain, "folder": folder, "vmlinux": Path(plain["vmlinux"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)), in clock ticks; None when the process has gone or is a zombie."""
    try:
        # the name in field 2 may hold anything, so count from its end
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(fields[18])


def _end(guest: Guest) -> None:
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        try:
            os.kill(guest.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not guest.alive:
                return
            time.sleep(0.01)
    raise GuestError(f"the guest {guest.name} (process {guest.pid}) does not end")
