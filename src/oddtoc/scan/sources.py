"""What there is to scan in files, folders and packages: one candidate after the other, read as late as possible."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oddtoc.errors import ImageError, LibraryError, OddtocError
from oddtoc.image.elf import Image

_ELF: Final = b"\x7fELF"
_PACKAGE: Final = b"!<arch>\n"
_MAGIC: Final = 8
_XZ, _GZIP, _ZSTD = b"\xfd7zXZ\x00", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED: Final = (".xz", ".gz", ".zst")
_LARGEST: Final = 2 << 30
"""Bytes that a compressed image may have when it is unpacked: more would be an attack."""
_ENOUGH: Final = "no image has that many bytes"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that should be an image.

    Args:
        name: what to call it: its path, with the member behind a colon when it is in a package.
        path: where it is, if it is a file of its own.
        data: its bytes otherwise.
    """

    name: str
    path: Path | None = None
    data: bytes = b""

    def open(self) -> Image:
        """The image, unpacked if need be.

        Raises:
            ImageError: it is none, or is damaged.
            LibraryError: it is compressed with zstd, and the library for that is not installed.
        """
        if self.path is not None and _magic(self.path)[:4] == _ELF:
            return Image.open(self.path)
        data = self.data
        if self.path is not None:
            data = _read(self.path)
        return Image.of_bytes(self.name, unpacked(self.name, data))


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be scanned, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is an image or holds images.

    Args:
        path: where it is.
        is_package: whether it is a Debian package.
    """

    path: Path
    is_package: bool = False

    def candidates(self) -> Iterator[Candidate | Failure]:
        """What is in it, in a fixed order; members of a package are read one by one."""
        if not self.is_package:
            yield Candidate(str(self.path), self.path)
            return
        try:
            yield from _members(self.path)
        except OddtocError as error:
            yield Failure(str(self.path), error.message)


def sources(paths: Iterable[Path]) -> list[Source | Failure]:
    """All that is to be scanned, in a fixed order.

    A file that is named is a source whatever it holds; in folders those are that look like images or are Debian
    packages. Symbolic links count when they are named, and not inside of folders.

    Args:
        paths: files, folders and Debian packages.
    """
    found: list[Source | Failure] = []
    for path in paths:
        if path.is_dir():
            sources_inside = (_source(inside) for inside in _files(path))
            found += [source for source in sources_inside if source]
        else:
            found.append(_source(path, named=True) or Source(path))
    return found


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _source(path: Path, *, named: bool = False) -> Source | Failure | None:
    try:
        magic = _magic(path)
    except ImageError as error:
        return Failure(str(path), error.message)
    if magic == _PACKAGE and (named or path.suffix == ".deb"):
        return Source(path, is_package=True)
    return Source(path) if _looks_like_an_image(path.name, magic) else None


def _magic(path: Path) -> bytes:
    try:
        # a named pipe would wait for its writer
        if path.exists() and not path.is_file():
            raise ImageError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return file.read(_MAGIC)
    except OSError as error:
        raise ImageError(f"{path} can't be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} can't be read: {error.strerror}") from error


def _looks_like_an_image(name: str, magic: bytes) -> bool:
    if magic.startswith(_ELF):
        return True
    path = Path(name)
    return path.suffix in _PACKED and (path.stem.endswith(".ko") or path.stem.startswith("vmlinu"))


def _members(package: Path) -> Iterator[Candidate]:
    """The images in a Debian package, read one by one.

    Raises:
        ImageError: it is damaged.
        LibraryError: dpkg-deb is not there.
    """
    if not shutil.which("dpkg-deb"):
        raise LibraryError(f"{package} is a Debian package, and there is no dpkg-deb to read it")
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    yield from _of_member(package, archive, member)
        except tarfile.TarError as error:
            process.kill()
            raise ImageError(f"{package} is a damaged package: {_reason(process.stderr.read(), error)}") from error
        finally:
            process.stdout.close()
        if process.wait():
            raise ImageError(f"{package} is a damaged package: {_reason(process.stderr.read())}")


def _of_member(package: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Candidate]:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        return
    start = file.read(_MAGIC)
    if _looks_like_an_image(Path(member.name).name, start):
        yield Candidate(f"{package}:{member.name.removeprefix('./')}", data=start + file.read())


def _reason(output: bytes, error: Exception | None = None) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("dpkg-deb: error: ") if lines else str(error or "no reason given")


def unpacked(name: str, data: bytes) -> bytes:
    """The bytes of a file, decompressed if they are compressed with xz, gzip or zstd.

    Raises:
        ImageError: they are damaged.
        LibraryError: the library for zstd is not installed.
    """
    ways: dict[bytes, Callable[[bytes], bytes]] = {_XZ: _from_xz, _GZIP: _from_gzip, _ZSTD: _from_zstd}
    way = next((way for magic, way in ways.items() if data.startswith(magic)), None)
    if way is None:
        return data
    try:
        return way(data)
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile, ValueError) as error:
        raise ImageError(f"{name} is compressed, and damaged: {error}") from error
    except ImportError as error:
        raise LibraryError(
            f"{name} is compressed with zstd, and the library zstandard is not installed",
            advice="pip install 'oddtoc[scan]'",
        ) from error


def _from_xz(data: bytes) -> bytes:
    way = lzma.LZMADecompressor()
    return _whole(way.decompress(data, _LARGEST), at_end=way.eof)


def _from_gzip(data: bytes) -> bytes:
    way = zlib.decompressobj(wbits=31)
    return _whole(way.decompress(data, _LARGEST), at_end=way.eof)


def _from_zstd(data: bytes) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            found: bytes = stream.read(_LARGEST)
            return _whole(found, at_end=not stream.read(1))
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _whole(data: bytes, *, at_end: bool) -> bytes:
    if not at_end:
        raise EOFError("it ends too early" if len(data) < _LARGEST else _ENOUGH)
    return data
