"""Files in stores that have URLs, through fsspec: S3 and its like, HTTP, a folder that all machines mount (file://).

Where a store wants credentials or an address of its own, fsspec's configuration says so (~/.config/fsspec), on every
machine that reads.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from oddtoc.errors import ImageError, LibraryError, OddtocError, UsageError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_PASSWORD = re.compile(r"[^/@]*:[^/]*@")
_VERSION_KEYS = ("ETag", "LastModified", "mtime", "created")
"""What stores say about the version of a file, the best first."""


class Stored(NamedTuple):
    """A file in a store: its URL, whether it was named itself, and what tells its version (size in bytes first)."""

    url: str
    is_named: bool
    stamp: tuple[int | str, ...]


def is_url(text: str) -> bool:
    """Whether a text names something in a store: a scheme and ``://``.

    Raises:
        UsageError: a password stands in it, which tables, data sets and workers would get to see.
    """
    scheme = _SCHEME.match(text)
    if scheme and _PASSWORD.match(text, scheme.end()):
        raise UsageError(
            f"a password stands in the URL of {text.rpartition('@')[2]}",
            advice="put it into fsspec's configuration: ~/.config/fsspec",
        )
    return bool(scheme)


def _our_errors(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """For a function whose first argument is a URL: every store has errors of its own."""

    @wraps(read)
    def translate(*args: _P.args, **options: _P.kwargs) -> _R:
        try:
            return read(*args, **options)
        except OddtocError:
            raise
        except ImportError as error:
            raise LibraryError(f"{args[0]} needs a library: {error}") from error
        except Exception as error:
            raise ImageError(f"{args[0]} can't be read: {_reason(error)}") from error

    return translate


@_our_errors
def listed(url: str) -> list[Stored]:
    """The files at a URL: itself, or everything below it if it is a folder, in the order of a folder on this machine.

    Raises:
        ImageError: the store does not answer, or there is nothing.
        LibraryError: fsspec, or what it needs for this store, is not installed.
    """
    system, path = _opened(url)
    if not url.endswith("/"):
        information = system.info(path)
        if information["type"] != "directory":
            return [Stored(url, True, _stamp(information))]
    found = system.find(path, detail=True)
    if not found:
        raise ImageError(f"there is nothing at {url}")
    return [
        Stored(system.unstrip_protocol(name), False, _stamp(information))
        for name, information in sorted(found.items(), key=lambda item: _as_walked(item[0]))
        if not information.get("islink")
    ]


@_our_errors
def read(url: str, size: int | None = None) -> bytes:
    """The bytes of a file, or the first of them.

    Raises:
        ImageError: it can't be read.
        LibraryError: a library is missing.
    """
    system, path = _opened(url)
    # not every server knows ranges: some send the whole file
    data: bytes = system.cat_file(path, start=0 if size else None, end=size)
    return data if size is None else data[:size]


@contextmanager
def copied(url: str) -> Iterator[Path]:
    """A copy of a file on this machine, for programs that want one.

    Raises:
        ImageError: it can't be read.
        LibraryError: a library is missing.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-") as folder:
        path = Path(folder, "copy")
        _copy(url, path)
        yield path


@_our_errors
def _copy(url: str, path: Path) -> None:
    system, inside = _opened(url)
    system.get_file(inside, str(path))


def _opened(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise LibraryError(f"{url} needs fsspec", advice="pip install 'oddtoc[cluster]'") from error
    system, path = url_to_fs(url)
    return system, path


def _stamp(information: dict[str, Any]) -> tuple[int | str, ...]:
    version = next((str(information[key]) for key in _VERSION_KEYS if information.get(key)), "")
    return information.get("size") or 0, version


def _as_walked(name: str) -> list[tuple[bool, str]]:
    """Sorts the files of a folder before those of the folders in it."""
    *folders, file = name.split("/")
    return [*((True, folder) for folder in folders), (False, file)]


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        # some stores say so of a server that does not answer, too
        return f"there is no such file ({error.__cause__})" if error.__cause__ else "there is no such file"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
