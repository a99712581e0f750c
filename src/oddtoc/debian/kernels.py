"""Debian's ppc64el kernels: which suite has which series, and what a fetched one consists of."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from oddtoc.debian.apt import Found, PrivateApt, Report
from oddtoc.errors import FetchError, UsageError

SERIES: dict[str, tuple[str, ...]] = {
    "6.1": ("bookworm", "bookworm-security"),
    "6.12": ("trixie", "trixie-security"),
    "7.2": ("sid",),
}
"""Each series that oddtoc knows, and the suites that carry it."""
FLAVOURS = ("", "-64k")
"""Page sizes: the series' default, and 64 KiB where that is another one."""
Note = Callable[[str], None]
_MANIFEST = "kernel.json"


@dataclass(frozen=True)
class DebianKernel:
    """A fetched kernel.

    Attributes:
        series: as asked for, ``6.1`` or ``6.12-64k``.
        release: what `uname -r` says in it.
        version: of the Debian package.
        vmlinux: the kernel's ELF image with symbols.
        modules: the folder with its modules.
        config: the configuration it was built with.
        busybox: a static busybox of the same suite.
    """

    series: str
    release: str
    version: str
    vmlinux: Path
    modules: Path
    config: Path
    busybox: Path


def cache_folder() -> Path:
    """Where fetched things are kept: oddtoc in $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "oddtoc"


def keep_file(path: Path, content: Callable[[], bytes]) -> Path:
    """A file of the cache, made if need be; nobody sees a part of it.

    Args:
        path: in the cache.
        content: gives what is in it, if there is no such file.
    """
    if not path.exists():
        made = content()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(made)
        Path(file.name).replace(path)
    return path


def find_kernel(series: str) -> DebianKernel | None:
    """The kernel of a series that was fetched before; None if none was. No network is used.

    Raises:
        UsageError: the series is unknown.
    """
    suites_of(series)
    manifest = cache_folder() / "kernels" / series / _MANIFEST
    try:
        plain = json.loads(manifest.read_text())
        paths = {key: manifest.parent / plain[key] for key in ("vmlinux", "modules", "config", "busybox")}
        kernel = DebianKernel(plain["series"], plain["release"], plain["version"], **paths)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kernel if all(path.exists() for path in paths.values()) else None


def fetched_kernels() -> list[DebianKernel]:
    """Every kernel that was fetched before."""
    labels = [series + flavour for series in SERIES for flavour in FLAVOURS]
    return [kernel for kernel in map(find_kernel, labels) if kernel]


def fetch_kernel(
    series: str, *, refresh: bool = False, report: Report | None = None, note: Note | None = None
) -> DebianKernel:
    """Get Debian's newest kernel of a series that the mirror has, with its modules and a static busybox.

    Args:
        series: ``6.1``, ``6.12`` or ``7.2``; with ``-64k`` behind for 64 KiB pages.
        refresh: look for a newer one although one was fetched before.
        report: is told what is going on and how far it is, in per cent.
        note: is told, in a line each, what went wrong without being in the way: a suite that could not be asked,
            or a kernel that the mirror lists and does not have.

    Raises:
        UsageError: the series is unknown; the error names those that are known.
        FetchError: there is no apt, no network, no room, or no such package.
    """
    suites = suites_of(series)
    known = find_kernel(series)
    if known and not refresh:
        return known
    tell = report or (lambda _what, _percent: None)
    warn = note or (lambda _line: None)
    folder = cache_folder() / "kernels" / series
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f"{series}.lock"):
            # another process may have fetched it while this one waited
            waited_for = None if known else find_kernel(series)
            return waited_for or _fetch(series, suites, folder, tell, warn)
    except OSError as error:
        raise FetchError(f"the kernel can't be kept in {folder}: {error.strerror}") from error


def suites_of(series: str) -> tuple[str, ...]:
    """The suites that carry a series.

    Raises:
        UsageError: the series is unknown.
    """
    base, *flavour = series.partition("-64k")
    if base not in SERIES or flavour[1]:
        raise UsageError(f"unknown kernel series {series}", advice=f"known: {', '.join(SERIES)}, each also with -64k")
    return SERIES[base]


def _fetch(series: str, suites: Sequence[str], folder: Path, tell: Report, warn: Note) -> DebianKernel:
    tell("reading package lists", 0)
    apt = PrivateApt(cache_folder() / "apt" / series, suites)
    complaint = apt.update()
    choices = _choices(apt, series)
    if not choices:
        raise FetchError(
            f"no ppc64el kernel {series} is in {', '.join(suites)}" + (f": {complaint}" if complaint else ""),
            advice="is the network there? run it again",
        )
    if complaint:
        warn(f"going on without one of the package lists: {complaint}")
    packages, archives = _download(apt, choices, find_kernel(series), tell, warn)
    if archives:
        tell("unpacking", 100)
        _install(series, packages[0], archives, folder)
        for archive in archives:
            archive.unlink()
    found = find_kernel(series)
    if found is None:
        raise FetchError(f"{folder} is incomplete", advice="run it again")
    return found


def _download(
    apt: PrivateApt, choices: Sequence[list[Found]], known: DebianKernel | None, tell: Report, warn: Note
) -> tuple[list[Found], list[Path]]:
    """The first choice that can be had, and its archives; none when it is the kernel that is known already."""
    packages, *older = choices
    if known and (known.release, known.version) == (_release(packages[0]), packages[0].version):
        return packages, []
    try:
        return packages, apt.download(packages, tell)
    except FetchError as error:
        # lists may name what the mirror does not have yet, or no longer
        if not older:
            raise
        warn(f"going on with the next older one: {error.message}")
    return _download(apt, older, known, tell, warn)


def _install(series: str, package: Found, archives: Sequence[Path], folder: Path) -> None:
    """Unpack archives into a new folder that then, all at once, takes the place of the old one."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{series}-") as temporary:
        root = Path(temporary, "root")
        for archive in archives:
            unpacked = subprocess.run(["dpkg-deb", "-x", archive, root], capture_output=True, text=True, check=False)
            if unpacked.returncode:
                reason = unpacked.stderr.strip().splitlines()[-1:] or ["no reason given"]
                raise FetchError(f"{archive.name} can't be unpacked: {reason[0]}", advice=f"is there room in {folder}?")
        kernel = _describe(series, package, root)
        plain = {key: str(value) for key, value in asdict(kernel).items()}
        (root / _MANIFEST).write_text(json.dumps(plain, indent=2) + "\n")
        if folder.exists():
            folder.rename(Path(temporary, "old"))
        root.rename(folder)


def _release(package: Found) -> str:
    """What `uname -r` will say: linux-image-RELEASE, linux-binary-RELEASE."""
    return package.name.split("-", 2)[2]


def _choices(apt: PrivateApt, series: str) -> list[list[Found]]:
    """The packages that make up each kernel of a series, newest first: newer series keep image and modules apart."""
    base = series.removesuffix("-64k")
    name = rf"{re.escape(base)}[.+-][^ ]*-powerpc64le{'-64k' if series != base else ''}"
    busybox = apt.newest("busybox-static")
    if not busybox:
        return []
    if split := apt.newest_first(f"linux-binary-{name}"):
        return [[binary, *_beside(apt, binary), busybox] for binary in split]
    return [[image, busybox] for image in apt.newest_first(f"linux-image-{name}")]


def _beside(apt: PrivateApt, binary: Found) -> list[Found]:
    release = re.escape(_release(binary))
    others = (apt.newest(f"linux-{part}-{release}") for part in ("modules", "base"))
    return [package for package in others if package]


def _describe(series: str, package: Found, root: Path) -> DebianKernel:
    """Find the parts in an unpacked tree; paths are relative to it."""

    def one(what: str, *patterns: str) -> Path:
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                return path.relative_to(root)
        raise FetchError(f"{package.name} {package.version} holds no {what}")

    vmlinux = one("vmlinux", "boot/vmlinux-*", "usr/lib/modules/*/vmlinu[xz]")
    with (root / vmlinux).open("rb") as file:
        if file.read(4) != b"\x7fELF":
            raise FetchError(f"{vmlinux} of {package.name} is no ELF image")
    return DebianKernel(
        series,
        _release(package),
        package.version,
        vmlinux,
        one("modules", "lib/modules/*/kernel", "usr/lib/modules/*/kernel"),
        one("config", "boot/config-*", "usr/lib/modules/*/config"),
        one("busybox", "bin/busybox", "usr/bin/busybox"),
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a second fetch of the same thing waiting, with a lock on a file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
