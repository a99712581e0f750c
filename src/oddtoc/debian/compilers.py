"""The compilers that Debian's kernels were built with: cross compilers of other suites, beside the system's.

They are unpacked into the cache with all libraries that they need, the C library too, and run with those: each program
through a script that starts it with its suite's own loader (ld.so(8), --library-path), so that a suite newer than the
machine's works as well.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from oddtoc.debian.apt import PrivateApt
from oddtoc.debian.kernels import DebianKernel, cache_folder, locked, suites_of
from oddtoc.debian.packages import fetch_packages
from oddtoc.errors import FetchError

TRIPLE = "powerpc64le-linux-gnu"
_BUILT_BY = re.compile(r'^CONFIG_CC_VERSION_TEXT="(?P<text>.*gcc\S* .*\b(?P<version>\d+\.\d+\.\d+))"$', re.MULTILINE)
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = f"{_LIBRARIES}/ld-linux-x86-64.so.2"
_BINUTILS = ("ar", "as", "ld", "nm", "objcopy", "objdump", "readelf", "strip")
_HOSTS = ("amd64",)
"""Architectures whose packages of cross compilers this has been tried with."""
_READY = ".scripts"

Note = Callable[[str], None]


@dataclass(frozen=True)
class BuiltBy:
    """The compiler that built a kernel.

    Attributes:
        text: what it calls itself.
        version: such as ``14.2.0``.
    """

    text: str
    version: str

    @property
    def package(self) -> str:
        """Debian's package of it as a cross compiler."""
        return f"gcc-{self.version.split('.')[0]}-{TRIPLE}"


def built_by(config: Path) -> BuiltBy | None:
    """The compiler that a kernel's configuration names; None if it names none."""
    found = _BUILT_BY.search(config.read_text(errors="replace"))
    return BuiltBy(found["text"], found["version"]) if found else None


def fetch_compiler(kernel: DebianKernel, compiler: BuiltBy, note: Note) -> str:
    """Get the compiler that built a kernel, from the suite that the kernel is in.

    Args:
        kernel: as fetched.
        compiler: what built it.
        note: is told what takes time.

    Returns:
        What stands before `gcc`, `ld` and the like in the paths of its programs.

    Raises:
        FetchError: the suite has no such version of it for this machine, or there is no network.
    """
    suite = suites_of(kernel.series)[0]
    folder = cache_folder() / "compilers" / f"{suite}-{compiler.version}"
    prefix = f"{folder / 'bin' / TRIPLE}-"
    if not (folder / _READY).exists():
        apt = _apt(suite)
        if not any(version.split("-")[0] == compiler.version for version in _versions(apt, compiler.package)):
            raise FetchError(f"{suite} has no {compiler.package} {compiler.version}")
        note(f"fetching gcc {compiler.version} of {suite}, which built this kernel")
        fetch_packages(folder / "root", apt, [compiler.package])
        with locked(folder / ".lock"):
            _write_scripts(folder, compiler.version.split(".")[0])
            (folder / _READY).touch()
    return prefix


def _apt(suite: str) -> PrivateApt:
    printed = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False).stdout
    architecture = printed.strip()
    if architecture not in _HOSTS:
        raise FetchError(f"compilers of other suites run on {', '.join(_HOSTS)} alone")
    return PrivateApt(cache_folder() / "apt" / f"compilers-{suite}", (suite,), architecture)


def _versions(apt: PrivateApt, package: str) -> list[str]:
    return apt.versions(package) or (apt.update(), apt.versions(package))[1]


def _write_scripts(folder: Path, major: str) -> None:
    """A script for each program; those that the compiler calls are in a folder of their own, which it is told of."""
    root = folder / "root"
    for kind, name, program in _programs(root, major):
        place = folder / kind / name
        place.parent.mkdir(exist_ok=True)
        told = f' -B"{folder}/inner/"' if name.endswith("-gcc") else ""
        start = (
            f'exec "{root / _LOADER}" --library-path "{root / _LIBRARIES}" --argv0 "{program}" "{program}"{told} "$@"'
        )
        place.write_text(f"#!/bin/sh\n{start}\n")
        place.chmod(0o755)


def _programs(root: Path, major: str) -> Iterator[tuple[str, str, Path]]:
    """Folder, name and program of each script."""
    yield "bin", f"{TRIPLE}-gcc", root / "usr/bin" / f"{TRIPLE}-gcc-{major}"
    for tool in _BINUTILS:
        yield "bin", f"{TRIPLE}-{tool}", root / "usr/bin" / f"{TRIPLE}-{tool}"
    for tool in ("as", "ld"):
        yield "inner", tool, root / "usr/bin" / f"{TRIPLE}-{tool}"
    cores = sorted(root.glob(f"usr/lib*/gcc-cross/{TRIPLE}/{major}/cc1"))
    if not cores:
        raise FetchError(f"the package of gcc {major} has no cc1", advice="remove its folder, and try again")
    for tool in ("cc1", "collect2"):
        yield "inner", tool, cores[0].with_name(tool)
