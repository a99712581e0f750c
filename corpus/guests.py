"""The guest that files of the corpus are tried in, with their modules; and what it does with them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from oddtoc.debian import DebianKernel
from oddtoc.target.guest import Guest, boot
from oddtoc.target.modules import load_order

NEVER = ("f2fs",)
"""Modules that a kernel with pages of 64 KiB does not load."""
_BESIDE = ("crc32c_generic", "pcbc", "fcrypt", "loop", "vfat", "nls_cp437", "nls_ascii")
"""Modules that others ask for when they are loaded, or used."""
_FILE_SYSTEMS = {"ext4": "mke2fs -q", "jbd2": "mke2fs -q -j", "fat": "mkfs.vfat", "minix": "mkfs.minix"}
"""Module -> what makes a file system for it, of those that busybox can make."""
_TYPES = {"jbd2": "ext4", "fat": "vfat"}


def boot_with(kernel: DebianKernel, modules: Iterable[str]) -> Guest:
    """A guest in which these modules are loaded, but for those that can't be."""
    wanted = sorted({*modules} - {"", *NEVER})
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
    if module not in _FILE_SYSTEMS:
        return ""
    return f"""
dd if=/dev/zero of=/tmp/disk bs=1M count=8 2> /dev/null; {_FILE_SYSTEMS[module]} /tmp/disk > /dev/null; mkdir -p /tmp/d
mount -t {_TYPES.get(module, module)} -o loop /tmp/disk /tmp/d && echo d > /tmp/d/f && sync && cat /tmp/d/f
rm /tmp/d/f && umount /tmp/d || echo failed
"""
