"""Debian's kernel sources: the linux-source package of an exact version, unpacked once into the cache.

The package holds one compressed archive with Debian's patches applied. Left out are parts that no object file of a
ppc64le kernel is made of (Kconfig files of all architectures stay: they name each other).
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from oddtoc.debian.apt import ARCHITECTURE, Found, PrivateApt, Report
from oddtoc.debian.kernels import cache_folder, locked, suites_of
from oddtoc.errors import FetchError

_LEFT_OUT = (
    "Documentation/*/*",
    "arch/[!p]*/*.[cS]",
    # what the machine's own architecture gives to user space is needed for kbuild's own programs
    "arch/[!p]*/include/asm/*",
    "arch/[!p]*/mach-*",
    "arch/parisc/*.[chS]",
    "arch/*/boot/dts/*",
    "tools/testing/*",
    "tools/perf/*",
)
"""Patterns in which `*` stands for slashes too."""


def source_folder(series: str, version: str) -> Path:
    """Where the source of a version is kept, whether it is there or not."""
    return cache_folder() / "sources" / f"{_base(series)}-{version.replace(':', '%3a')}"


def fetch_source(series: str, version: str, *, report: Report | None = None) -> Path:
    """Get the source of a Debian kernel.

    Args:
        series: ``6.1``, ``6.12-64k``: page sizes share one source.
        version: of the Debian package, such as ``DebianKernel.version``.
        report: is told what is going on and how far it is, in per cent.

    Returns:
        The root of the unpacked tree.

    Raises:
        UsageError: the series is unknown.
        FetchError: the mirror has no such version, or it can't be unpacked.
    """
    folder = source_folder(series, version)
    if folder.exists():
        return folder
    tell = report or (lambda _what, _percent: None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f"{folder.name}.lock"):
            if not folder.exists():
                archive = _download(series, version, tell)
                tell("unpacking", 100)
                _unpack(archive, f"linux-source-{_base(series)}", folder)
                archive.unlink()
    except OSError as error:
        raise FetchError(f"the source can't be kept in {folder}: {error.strerror}") from error
    return folder


def source_versions(series: str) -> list[str]:
    """The versions of a series' source that the mirror has, in apt's order: newest first.

    Raises:
        UsageError: the series is unknown. FetchError: there is no apt.
    """
    apt = _own_architecture(series)
    apt.update()
    return apt.versions(f"linux-source-{_base(series)}")


def _download(series: str, version: str, tell: Report) -> Path:
    """The package, by the lists that the kernel came from, or by this machine's: mirrors update one by one."""
    package = Found(f"linux-source-{_base(series)}", version)
    first = PrivateApt(cache_folder() / "apt" / series, suites_of(series))
    for apt in (first, _own_architecture(series)):
        if apt is not first or version not in apt.versions(package.name):
            tell("reading package lists", 0)
            apt.update()
        if version in apt.versions(package.name):
            return apt.download([package], tell)[0]
    known = ", ".join(apt.versions(package.name)) or "none"
    raise FetchError(
        f"the mirror has no {package.name} {version}",
        advice=f"versions there: {known}; oddtoc kernel fetch --refresh gets a kernel that has its source",
    )


def _own_architecture(series: str) -> PrivateApt:
    printed = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False).stdout
    architecture = printed.strip() or ARCHITECTURE
    return PrivateApt(cache_folder() / "apt" / f"{_base(series)}-{architecture}", suites_of(series), architecture)


def _unpack(package: Path, top: str, folder: Path) -> None:
    """Unpack the archive in a package, whose files are all in `top`, into a folder that appears when it is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        root = Path(temporary, "root")
        root.mkdir()
        left_out = [f"--exclude={top}/{pattern}" for pattern in _LEFT_OUT]
        steps = (
            ["dpkg-deb", "--fsys-tarfile", str(package)],
            ["tar", "-xO", "--wildcards", "./usr/src/linux-source-*.tar.xz"],
            ["xz", "-dc", "-T0"],
            ["tar", "-x", "-C", str(root), "--strip-components=1", *left_out],
        )
        processes: list[subprocess.Popen[bytes]] = []
        for step in steps:
            stdin = processes[-1].stdout if processes else subprocess.DEVNULL
            processes.append(subprocess.Popen(step, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
            if len(processes) > 1 and (passed_on := processes[-2].stdout) is not None:
                passed_on.close()
        processes[-1].communicate()
        if any(process.wait() for process in processes) or not (root / "Kconfig").exists():
            raise FetchError(f"{package.name} can't be unpacked", advice=f"is there room in {folder.parent}?")
        root.rename(folder)


def _base(series: str) -> str:
    return series.removesuffix("-64k")
