"""Debian's ppc64el programs for a guest: fetched like kernels, and packed with the libraries that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from oddtoc.debian.apt import PrivateApt
from oddtoc.debian.kernels import cache_folder
from oddtoc.debian.packages import fetch_packages
from oddtoc.errors import FetchError

_SUITES = ("bookworm",)
_LIBRARY_FOLDERS = ("lib/powerpc64le-linux-gnu", "usr/lib/powerpc64le-linux-gnu")
_ALTERNATIVES = ("blas", "lapack")


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
    fetch_packages(folder, PrivateApt(cache_folder() / "apt" / "programs", _SUITES), packages)
    _link_alternatives(folder)
    return folder


def _link_alternatives(root: Path) -> None:
    """Make the links to libraries that scripts of packages make, with update-alternatives."""
    for folder in _LIBRARY_FOLDERS:
        for library in (library for name in _ALTERNATIVES for library in (root / folder / name).glob("*.so.*")):
            link = root / folder / library.name
            if not link.exists():
                link.symlink_to(library.relative_to(link.parent))


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
