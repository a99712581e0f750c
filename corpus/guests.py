"""The guest that a file of the corpus is tried in: one for the kernel proper, and one for each module."""

from __future__ import annotations

import os

from oddtoc.debian import DebianKernel
from oddtoc.errors import GuestError
from oddtoc.target.guest import Guest, boot
from oddtoc.target.modules import load_order

_ON_A_DISK = {"ext4": "mke2fs -q /tmp/disk", "vfat": "mkfs.vfat /tmp/disk", "minix": "mkfs.minix /tmp/disk"}
"""File systems that busybox can make."""
_MORE = {"ext4": ("loop",), "fat": ("vfat", "loop", "nls_cp437", "nls_ascii"), "jbd2": ("ext4", "loop")}
"""Modules to load beside one, so that it has something to do."""


class Guests:
    """Gives the guest for a module, one at a time.

    Args:
        kernel: what runs in them.
    """

    def __init__(self, kernel: DebianKernel) -> None:
        self._kernel = kernel
        self._module: str | None = None
        self._guest: Guest | None = None
        self._count = 0

    def of(self, module: str) -> Guest | None:
        """The guest that a module is loaded in, or none for the kernel proper; None where it can't be loaded."""
        if module != self._module or (self._guest is not None and not self._guest.alive):
            self.stop()
            self._module, self._guest = module, self._boot(module)
        return self._guest

    def stop(self) -> None:
        """Stop the guest, if there is one."""
        if self._guest is not None:
            self._guest.stop()
        self._module = self._guest = None

    def _boot(self, module: str) -> Guest | None:
        kernel = self._kernel
        self._count += 1
        names = [*_MORE.get(module, ()), *([module] if module else [])]
        try:
            return boot(
                kernel.vmlinux,
                kernel.busybox,
                name=f"corpus-{os.getpid()}-{self._count}",
                modules=load_order(kernel.modules, names),
                timeout=300,
                kernel_label=kernel.release,
            )
        except GuestError as error:
            if "could not load" not in error.message:
                raise
            return None


def exercise_of(module: str) -> str:
    """What a guest does beside what every guest does: it mounts a file system, where busybox can make one."""
    kind = {"fat": "vfat", "jbd2": "ext4"}.get(module, module)
    if kind not in _ON_A_DISK:
        return ""
    return f"""
dd if=/dev/zero of=/tmp/disk bs=1M count=8 2> /dev/null && {_ON_A_DISK[kind]} > /dev/null && mkdir -p /tmp/d
mount -t {kind} -o loop /tmp/disk /tmp/d && echo a > /tmp/d/f && mv /tmp/d/f /tmp/d/g && sync && rm /tmp/d/g
umount /tmp/d
"""
