"""The guest that files of the corpus are tried in, with their modules; and what it does with them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from oddtoc.debian import DebianKernel
from oddtoc.target.guest import Guest, boot
from oddtoc.target.modules import load_order

NEVER = ("f2fs",)
"""Modules that a kernel with pages of 64 KiB does not load."""
_TOGETHER = 30
_BESIDE = ("crc32c_generic", "pcbc", "fcrypt", "loop")
"""Modules that others ask for when they are loaded, or used."""
_MAKERS = {"ext4": "mke2fs -F -q"}
"""Module -> what makes a file system for it, where busybox can."""


def together(modules: Iterable[str]) -> list[list[str]]:
    """The modules that one guest has at a time, for each guest."""
    names = sorted({*modules} - {"", *NEVER})
    return [names[start : start + _TOGETHER] for start in range(0, len(names), _TOGETHER)]


class Guests:
    """One guest at a time, which has the modules that the files in hand are parts of.

    Args:
        kernel: what runs in them.
        modules: those of all files. Too many at once, and some are far from where the kernel gives room for patches.
    """

    def __init__(self, kernel: DebianKernel, modules: Iterable[str]) -> None:
        self._kernel = kernel
        self._groups = together(modules)
        self._there: list[str] = []
        self._guest: Guest | None = None

    def of(self, module: str, others: Iterable[str] = ()) -> Guest:
        """The guest for a file of a module, or of the kernel proper if that is empty; with other modules beside it."""
        group = next((group for group in self._groups if module in group), [])
        wanted = [*group, *sorted({*others} - {*group})]
        if self._guest is None or not {*wanted} <= {*self._there} or not self._guest.alive:
            self.stop()
            self._there, self._guest = wanted, boot_with(self._kernel, wanted)
        return self._guest

    def stop(self) -> None:
        """Stop the guest that there is."""
        if self._guest is not None:
            self._guest.stop()
            self._guest = None


def boot_with(kernel: DebianKernel, modules: Iterable[str]) -> Guest:
    """A guest in which these modules are loaded."""
    wanted = list(modules)
    return boot(
        kernel.vmlinux,
        kernel.busybox,
        name=f"corpus-{os.getpid()}",
        modules=load_order(kernel.modules, [*_BESIDE, *wanted]) if wanted else (),
        memory="2G",
        timeout=600,
        kernel_label=kernel.release,
    )


def exercise_of(module: str) -> str:
    """What a guest does beside what every guest does: it mounts a file system, where busybox can make one."""
    if module not in _MAKERS:
        return ""
    return f"""
dd if=/dev/zero of=/tmp/disk bs=1M count=8 2> /dev/null; {_MAKERS[module]} /tmp/disk > /dev/null; mkdir -p /tmp/d
mount -t ext4 -o loop /tmp/disk /tmp/d && echo d > /tmp/d/f && sync && cat /tmp/d/f
mkdir /tmp/d/e && mv /tmp/d/f /tmp/d/e/g && rm -r /tmp/d/e && umount /tmp/d || echo failed
"""
