"""A guest whose executed instructions are counted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bench.cost.plugin import Event, compile_plugin, plugin_argument, read_events

from oddtoc.errors import GuestError
from oddtoc.places import Span
from oddtoc.target.guest import boot

_BOOT_SECONDS = 300.0


class Machine:
    """A guest under the counting plugin, up when the constructor returns. A context manager: leaving it ends QEMU.

    It has one vCPU: a call that moves to another one is two halves of a call.

    Args:
        vmlinux: the kernel's ELF image.
        busybox: a static busybox for ppc64le.
        watches: the addresses whose instructions are logged.
        files: path in the guest -> file on the host.

    Raises:
        GuestError: it did not come up.
    """

    def __init__(
        self, vmlinux: Path, busybox: Path, watches: Sequence[Span], files: Mapping[str, Path] | None = None
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="oddtoc-cost-"))
        self._log = self._folder / "events"
        try:
            plugin = plugin_argument(compile_plugin(self._folder), self._log, watches)
            self.guest = boot(
                vmlinux,
                busybox,
                name=f"cost-{os.getpid()}",
                smp=1,
                files=files,
                arguments=["-plugin", plugin],
                timeout=_BOOT_SECONDS,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.guest.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def target(self) -> str:
        """Its address for `Session.open`."""
        return f"guest:{self.guest.name}"

    def run(self, command: str) -> str:
        """Run a command in the guest and give its output.

        Raises:
            GuestError: it failed, or took too long.
        """
        done = self.guest.run(command)
        if done.status:
            raise GuestError(f"{command} gives status {done.status} in the guest", advice=done.stderr.decode().strip())
        return done.stdout.decode()

    def events_of(self, command: str) -> list[Event]:
        """The events while a command runs in the guest."""
        before = len(read_events(self._log))
        self.run(command)
        return read_events(self._log)[before:]
