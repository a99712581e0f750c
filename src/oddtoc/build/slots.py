"""Where in the cache what the compiler makes of a file is kept, and whether that still holds.

Changed trees differ from each other in a few files. So there is a folder for each command, whatever tree it takes its
files from, and in it one for each tree. Where the files that were used in another tree are the same in this one, what
was made there is taken over. As with every list of dependencies, a new file that would be found in front of a used one
is not seen: nothing is put into the changed trees but under the names that files have in the newer tree.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from oddtoc.debian import cache_folder

_ROOT = "<root>"
_NAME = "used.json"
_SETTLED = 2.0
"""Seconds after which a file that is changed once more has another time of its last change."""
_digests: dict[tuple[int, int, int, int], str] = {}
_Arguments = ParamSpec("_Arguments")
_Found = TypeVar("_Found")
Used = dict[str, str]
"""File -> digest of its content; files of the tree are named relative to its root, others from the top."""


class Slot:
    """A folder for what one command makes of one file.

    Args:
        command: the compiler's.
        file: relative to the root.
        build: the folder that the command runs in.
        root: of the tree that the file is taken from.

    Attributes:
        folder: that folder; nobody else may write to it.
    """

    def __init__(self, command: Sequence[str], file: str, build: Path, root: Path) -> None:
        words = [word.replace(str(root), _ROOT) for word in command]
        self._root = root
        self._family = cache_folder() / "objects" / _short("\0".join([*words, file, str(build)]))
        self.folder = self._family / _short(str(root))

    def is_filled(self) -> bool:
        """Whether there is what comes of the files as they are now; taken over from another tree if need be."""
        # of the tree that it was made in
        if self._holds(_used_in(self.folder), _kept()):
            return True
        with suppress(FileNotFoundError):
            others = [path for path in self._family.iterdir() if path != self.folder and path.name[0] != "."]
            for other in others:
                used = _used_in(other)
                if self._holds(used):
                    self._put(partial(_take_over, other, self._root, used))
                    return True
        return False

    def fill(self, make: Callable[[Path], Iterable[str]]) -> None:
        """Fill it anew; if that fails nothing has changed.

        Args:
            make: puts what is to be kept into a folder, and tells which files it was made of.
        """

        def write(work: Path) -> None:
            below = f"{self._root}/"
            used = {path.removeprefix(below): _digest(path) for path in sorted({*make(work)})}
            _write(work, self._root, used)

        self._put(write)

    def _holds(self, used: Used, kept: tuple[str, ...] = ()) -> bool:
        below = f"{self._root}/"
        paths = ((name if name.startswith("/") else below + name, digest) for name, digest in used.items())
        try:
            return bool(used) and all(path.startswith(kept) or _digest(path) == digest for path, digest in paths)
        except OSError:
            return False

    def _put(self, make: Callable[[Path], None]) -> None:
        self._family.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._family, prefix=".unit-") as temporary:
            work = Path(temporary, "slot")
            work.mkdir()
            make(work)
            shutil.rmtree(self.folder, ignore_errors=True)
            try:
                work.rename(self.folder)
            except OSError:
                # another run was faster, with the same result
                if not (self.folder / _NAME).exists():
                    raise


def used_files(unit: Path) -> list[Path]:
    """The files that a compiled unit was made of: its source and all headers."""
    content = json.loads((unit.parent / _NAME).read_text())
    return [Path(content["root"], name) for name in content["used"]]


def _used_in(folder: Path) -> Used:
    """What is noted in a slot; nothing if it is empty or broken."""
    try:
        used: Used = json.loads((folder / _NAME).read_text())["used"]
        return used
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _write(folder: Path, root: Path, used: Used) -> None:
    (folder / _NAME).write_text(json.dumps({"root": str(root), "used": used}))


def _take_over(other: Path, root: Path, used: Used, folder: Path) -> None:
    for file in other.iterdir():
        if file.name != _NAME:
            (folder / file.name).hardlink_to(file)
    _write(folder, root, used)


def in_tree(find: Callable[_Arguments, _Found]) -> Callable[_Arguments, _Found]:
    """Remember what a function finds in a tree that oddtoc itself has unpacked or made: such a one never changes.

    Args:
        find: the root of the tree is its last argument.
    """
    remembered = cast(Callable[_Arguments, _Found], lru_cache(maxsize=4096)(find))

    @wraps(find)
    def found(*args: _Arguments.args, **named: _Arguments.kwargs) -> _Found:
        is_kept = str(args[-1]).startswith(_kept())
        return remembered(*args, **named) if is_kept else find(*args, **named)

    return found


def _kept() -> tuple[str, ...]:
    return tuple(f"{cache_folder() / folder}/" for folder in ("sources", "changed"))


def _digest(path: str) -> str:
    status = os.stat(path)  # noqa: PTH116 - of some 1,500 files for each object
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    found = _digests.get(identity)
    if found is None:
        found = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
        if time.time() - status.st_mtime > _SETTLED:
            _digests[identity] = found
    return found


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
