"""Debian's ppc64el programs for a guest: fetched like kernels, and packed with the libraries that they need."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from oddtoc.debian.apt import Found, PrivateApt
from oddtoc.debian.kernels import cache_folder, locked
from oddtoc.errors import FetchError

_SUITES = ("bookworm",)
_LIBRARY_FOLDERS = ("lib/powerpc64le-linux-gnu", "usr/lib/powerpc64le-linux-gnu")
_ALTERNATIVES = ("blas", "lapack")
_INSTALLED = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) ", re.MULTILINE)
_NEVER_NEEDED = re.compile(r"(?:dpkg|tar|perl-base|debconf|passwd|adduser|lsb-base|lib(?:pam|semanage|sepol).*)\Z")
"""What scripts of packages ask for: a guest only runs the programs."""


def program_files(packages: Sequence[str], programs: Sequence[str]) -> dict[str, Path]:
    """Programs of Debian 12 for ppc64el with all libraries that they need.

    Args:
        packages: that hold them; fetched with what they depend on, once.
        programs: paths in the guest, ``usr/bin/gdbserver``; or of folders, for all that is in them.

    Returns:
        Path in the guest -> file on the host, for `boot`.

    Raises:
        FetchError: there is no apt or no network, or no such program or library in the packages.
    """
    root = _fetched(packages)
    files: dict[str, Path] = {}
    wanted = list(programs)
    while wanted:
        path = wanted.pop()
        if (root / path).is_dir():
            wanted += [str(file.relative_to(root)) for file in (root / path).rglob("*") if file.is_file()]
        elif path not in files:
            files[path] = _real(root, path)
            wanted += _needed(root, files[path])
    return files


def _fetched(packages: Sequence[str]) -> Path:
    """The folder that the packages were unpacked into."""
    folder = cache_folder() / "programs" / "-".join(sorted(packages))
    done = folder / ".complete"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f"{folder.name}.lock"):
        if not done.exists():
            apt = PrivateApt(cache_folder() / "apt" / "programs", _SUITES)
            complaint = apt.update()
            found = list(_closure(apt, packages, complaint))
            for archive in apt.download(found, lambda _what, _percent: None):
                unpacked = subprocess.run(["dpkg-deb", "-x", archive, folder], capture_output=True, check=False)
                if unpacked.returncode:
                    raise FetchError(f"{archive.name} can't be unpacked", advice=f"is there room in {folder}?")
                archive.unlink()
            _link_alternatives(folder)
            done.touch()
    return folder


def _link_alternatives(root: Path) -> None:
    """Make the links to libraries that scripts of packages make, with update-alternatives."""
    for folder in _LIBRARY_FOLDERS:
        for library in (library for name in _ALTERNATIVES for library in (root / folder / name).glob("*.so.*")):
            link = root / folder / library.name
            if not link.exists():
                link.symlink_to(library.relative_to(link.parent))


def _closure(apt: PrivateApt, packages: Sequence[str], complaint: str) -> Iterator[Found]:
    printed = apt.simulated(packages)
    found = [Found(match["name"], match["version"]) for match in _INSTALLED.finditer(printed)]
    if not found:
        raise FetchError(f"no {', '.join(packages)} for ppc64el: {complaint or printed.strip()[-200:]}")
    return (package for package in found if not _NEVER_NEEDED.match(package.name))


def _real(root: Path, path: str) -> Path:
    """The file behind a path, links in the packages followed."""
    for candidate in (path, f"usr/{path}", path.removeprefix("usr/")):
        place = root / candidate
        for _ in range(8):
            if not place.is_symlink():
                break
            target = place.readlink()
            place = root / target.relative_to("/") if target.is_absolute() else place.parent / target
        if place.is_file():
            return place
    raise FetchError(f"the packages hold no {path}")


def _needed(root: Path, file: Path) -> Iterable[str]:
    """Libraries and the loader that a program or library names, as paths in the guest."""
    try:
        with file.open("rb") as stream:
            elf = ELFFile(stream)
            loaders = [s.get_interp_name().lstrip("/") for s in elf.iter_segments() if isinstance(s, InterpSegment)]
            tables = [s for s in elf.iter_sections() if isinstance(s, DynamicSection)]
            tags = [tag for table in tables for tag in table.iter_tags("DT_NEEDED")]
            # the name is an attribute that pyelftools adds to tags of this kind
            names = [str(vars(tag)["needed"]) for tag in tags]
    except ELFError:
        return ()
    return (*loaders, *(_library(root, name) for name in names))


def _library(root: Path, name: str) -> str:
    for folder in _LIBRARY_FOLDERS:
        if (root / folder / name).is_symlink() or (root / folder / name).exists():
            return f"{folder}/{name}"
    raise FetchError(f"the packages hold no library {name}")
