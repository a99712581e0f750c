"""What there is to scan in files, folders, packages and stores: one candidate after the other, read as late as
possible."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from oddtoc.errors import ImageError, OddtocError
from oddtoc.image.elf import Image
from oddtoc.scan import store
from oddtoc.scan.package import MAGIC, PACKAGE, looks_like_an_image, members
from oddtoc.scan.unpack import unpacked

_ELF: Final = b"\x7fELF"

Stamp = tuple[int | str, ...]
"""The size in bytes of a file and when it was written, or what a store says instead: another one is another file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that should be an image.

    Args:
        name: what to call it: its path, with the member behind a colon when it is in a package.
        path: where it is, if it is a file of its own.
        data: its bytes otherwise.
        stamp: of the file that it is from.
    """

    name: str
    path: Path | None = None
    data: bytes = b""
    stamp: Stamp = ()

    def open(self) -> Image:
        """The image, unpacked if need be.

        Raises:
            ImageError: it is none, or is damaged.
            LibraryError: it is compressed with zstd, and the library for that is not installed.
        """
        if self.path is not None and _magic(self.path)[: len(_ELF)] == _ELF:
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
        name: its path or URL.
        is_package: whether it is a Debian package; not known yet for a URL.
        is_named: whether somebody wants this very file, and it was not only found in a folder.
        stamp: tells this version of it from others.
    """

    name: str
    is_package: bool = False
    is_named: bool = True
    stamp: Stamp = ()

    @property
    def is_remote(self) -> bool:
        """Whether it is in a store, which every machine reads by itself."""
        return store.is_url(self.name)

    def is_here(self) -> bool:
        """Whether this machine has the file, the same one as where it was found."""
        try:
            return _stamp(Path(self.name)) == self.stamp
        except OSError:
            return False

    def loaded(self) -> Candidate | Failure:
        """A file of this machine, read, so that others can scan it."""
        try:
            return Candidate(self.name, data=_read(Path(self.name)), stamp=self.stamp)
        except ImageError as error:
            return Failure(self.name, error.message)

    def candidates(self) -> Iterator[Candidate | Failure]:
        """What is in it, in a fixed order; members of a package are read one by one."""
        try:
            yield from self._in_store() if self.is_remote else self._in_file()
        except OddtocError as error:
            yield Failure(self.name, error.message)

    def _in_file(self) -> Iterator[Candidate]:
        path = Path(self.name)
        if self.is_package:
            yield from self._members(path)
        else:
            yield Candidate(self.name, path)

    def _in_store(self) -> Iterator[Candidate]:
        magic = store.read(self.name, MAGIC)
        if magic == PACKAGE and (self.is_named or self.name.endswith(".deb")):
            with store.copied(self.name) as path:
                yield from self._members(path)
        elif self.is_named or looks_like_an_image(self.name, magic):
            yield Candidate(self.name, data=store.read(self.name))

    def _members(self, package: Path) -> Iterator[Candidate]:
        for member, data in members(package, self.name):
            yield Candidate(f"{self.name}:{member}", data=data, stamp=self.stamp)


def sources(path: Path) -> list[Source | Failure]:
    """All that is to be scanned at a path of this machine, in a fixed order.

    A file that is named is a source whatever it holds; in folders those are that look like images or are Debian
    packages. Symbolic links count when they are named, and not inside of folders.

    Args:
        path: a file, folder or Debian package.
    """
    if path.is_dir():
        found = (_source(inside, named=False) for inside in _files(path))
        return [source for source in found if source]
    source = _source(path, named=True)
    return [source] if source else []


def sources_in_store(url: str) -> list[Source | Failure]:
    """The same for a URL. What its files are is not looked at yet."""
    try:
        return [Source(one.url, is_named=one.is_named, stamp=one.stamp) for one in store.listed(url)]
    except ImageError as error:
        return [Failure(url, error.message)]


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _source(path: Path, *, named: bool) -> Source | Failure | None:
    try:
        magic, source = _magic(path), Source(str(path), is_named=named, stamp=_stamp(path))
    except ImageError as error:
        return Failure(str(path), error.message)
    if magic == PACKAGE and (named or path.suffix == ".deb"):
        return replace(source, is_package=True)
    return source if named or looks_like_an_image(path.name, magic) else None


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _magic(path: Path) -> bytes:
    try:
        # a named pipe would wait for its writer
        if path.exists() and not path.is_file():
            raise ImageError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return file.read(MAGIC)
    except OSError as error:
        raise ImageError(f"{path} can't be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} can't be read: {error.strerror}") from error
