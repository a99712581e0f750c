"""The initial file system of a guest: busybox, the agent, kernel modules and whatever the caller adds.

Written in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst of the Linux source):
per entry a header of 110 ASCII bytes, the name with its NUL, padding to 4 bytes, the content, padding to 4 bytes. It is
not compressed: the kernel of an emulated machine is quicker at copying 3 MB than at inflating them.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath

from oddtoc.errors import GuestError

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin", "lib/modules")
_CONSOLE = (5, 1)
"""Character device numbers of /dev/console, which the kernel opens for /init before devtmpfs is mounted."""


@dataclass
class Archive:
    """A newc archive in the making. Paths are those inside the archive; a leading slash makes no difference."""

    _entries: list[bytes] = field(default_factory=list)
    _folders: set[str] = field(default_factory=set)

    def folder(self, path: str) -> None:
        """Add a folder (mode 0755) and those above it, each once."""
        for ancestor in reversed([PurePosixPath(path), *PurePosixPath(path).parents]):
            name = _name(str(ancestor))
            if name and name not in self._folders:
                self._folders.add(name)
                self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file with the permissions `mode`, and the folders above it."""
        self.folder(str(PurePosixPath(path).parent))
        self._add(_name(path), stat.S_IFREG | mode, content)

    def character_device(self, path: str, major: int, minor: int) -> None:
        """Add a character device (mode 0600), and the folders above it."""
        self.folder(str(PurePosixPath(path).parent))
        self._add(_name(path), stat.S_IFCHR | 0o600, b"", (major, minor))

    def finish(self) -> bytes:
        """The whole archive, with its trailer."""
        return b"".join(self._entries) + _entry(0, _TRAILER, 0, b"", (0, 0))

    def _add(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._entries.append(_entry(len(self._entries) + 1, name, mode, content, device))


def _name(path: str) -> str:
    name = path.strip("/")
    return "" if name == "." else name


def _entry(inode: int, name: str, mode: int, content: bytes, device: tuple[int, int]) -> bytes:
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device of the file system (2), device number (2), name, checksum
    numbers = (inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
    header = _MAGIC + b"".join(b"%08X" % number for number in numbers)
    return _padded(header + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def initramfs(
    busybox: Path, *, modules: Sequence[tuple[str, bytes]] = (), files: Mapping[str, Path] | None = None
) -> bytes:
    """The initial file system of a guest.

    Args:
        busybox: a static busybox for ppc64le.
        modules: name and content of each kernel module, in the order in which the guest shall load them.
        files: path in the guest -> file on the host; permissions are kept.

    Raises:
        GuestError: a file can't be read.
    """
    archive = Archive()
    for folder in _FOLDERS:
        archive.folder(folder)
    archive.character_device("dev/console", *_CONSOLE)
    archive.file("bin/busybox", _read(busybox), 0o755)
    archive.file("init", _script("guest_init.sh"), 0o755)
    archive.file("sbin/agent", _script("guest_agent.sh"), 0o755)
    for position, (name, content) in enumerate(modules):
        archive.file(f"lib/modules/{position:03}/{name}.ko", content)
    for path, source in (files or {}).items():
        archive.file(path, _read(source), stat.S_IMODE(source.stat().st_mode))
    return archive.finish()


def _script(name: str) -> bytes:
    return resources.files("oddtoc.target").joinpath(name).read_bytes()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GuestError(f"{path} can't be read for the guest: {error.strerror}") from error
