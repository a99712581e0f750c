"""Debian packages with what they depend on, unpacked into a folder of the cache."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from oddtoc.debian.apt import Found, PrivateApt
from oddtoc.debian.kernels import locked
from oddtoc.errors import FetchError

_COMPLETE = ".complete"
_INSTALLED = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) ", re.MULTILINE)
_NEVER_NEEDED = re.compile(r"(?:dpkg|tar|perl-base|debconf|passwd|adduser|lsb-base|lib(?:pam|semanage|sepol).*)\Z")
"""What scripts of packages ask for: none of them runs here."""


def fetch_packages(folder: Path, apt: PrivateApt, packages: Sequence[str]) -> bool:
    """Fetch packages and what they depend on, once, and unpack them into one folder.

    Args:
        folder: where to; made if need be.
        apt: that knows them.
        packages: names.

    Returns:
        Whether they were fetched now.

    Raises:
        FetchError: there is no network, no room, or no such package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f"{folder.name}.lock"):
        if (folder / _COMPLETE).exists():
            return False
        complaint = apt.update()
        for archive in apt.download(list(_closure(apt, packages, complaint)), lambda _what, _percent: None):
            unpacked = subprocess.run(["dpkg-deb", "-x", archive, folder], capture_output=True, check=False)
            if unpacked.returncode:
                raise FetchError(f"{archive.name} can't be unpacked", advice=f"is there room in {folder}?")
            archive.unlink()
        (folder / _COMPLETE).touch()
    return True


def _closure(apt: PrivateApt, packages: Sequence[str], complaint: str) -> Iterator[Found]:
    printed = apt.simulated(packages)
    found = [Found(match["name"], match["version"]) for match in _INSTALLED.finditer(printed)]
    if not found:
        raise FetchError(f"no {', '.join(packages)} for {apt.architecture}: {complaint or printed.strip()[-200:]}")
    return (package for package in found if not _NEVER_NEEDED.match(package.name))
