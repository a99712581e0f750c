"""A changed source tree that costs nothing: real files where it differs, symbolic links to the old tree elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from oddtoc.build.headers import HeaderChange, MergedHeaders
from oddtoc.build.items import split_items
from oddtoc.build.layouts import InPadding
from oddtoc.build.reach import FOR_ALL
from oddtoc.build.segments import put_together
from oddtoc.build.slots import used_files
from oddtoc.debian import cache_folder
from oddtoc.errors import BuildError

_HEADER = re.compile(r"^(?:---|\+\+\+) (?:[ab]/)?([^\t\n]+)", re.MULTILINE)
_CHUNK = re.compile(r"^(?=diff --git )|^(?=--- [^\n]*\n\+\+\+ )", re.MULTILINE)
_FORM = "folders beside changed headers are real"
"""What trees in the cache are like: one that is made otherwise is another one."""
_NO_CODE = re.compile(r"(Documentation|tools|samples|LICENSES)/|MAINTAINERS|CREDITS|.*\.(rst|txt|yaml|dts|dtsi|md)\Z")


@dataclass(frozen=True)
class Overlay:
    """A new tree.

    Attributes:
        root: of the new tree.
        old: the root of the tree that it was made from.
        changed: the files that differ, relative to both.
        ignored: files of the diff that no code is made of.
        merged: headers that differ for these files alone, and what they took of newer ones and left.
        in_padding: structures that the files have with new members in their padding, and these.
    """

    root: Path
    old: Path
    changed: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    merged: MergedHeaders | None = None
    in_padding: InPadding = field(default_factory=dict)

    @property
    def units(self) -> list[str]:
        """The C files among what differs."""
        return [file for file in self.changed if file.endswith(".c")]

    @property
    def headers(self) -> list[str]:
        """The headers among what differs."""
        return [file for file in self.changed if not file.endswith(".c")]

    @property
    def taken(self) -> list[HeaderChange]:
        """What the files took of newer headers."""
        return self.merged.taken if self.merged else []

    @property
    def left(self) -> list[HeaderChange]:
        """What they left of newer headers."""
        return self.merged.left if self.merged else []

    def check_used(self, unit: Path) -> None:
        """Whether a unit of the new tree was compiled with the new files.

        Raises:
            BuildError: a header was reached by a path through the old tree.
        """
        merged = self.merged.texts() if self.merged else ()
        olds = (self.old / file for file in (*self.changed, *merged))
        changed = {_identity(path) for path in olds if path.exists()}
        for path in used_files(unit):
            if _identity(path) in changed:
                raise BuildError(f"{path} includes the old {path.resolve().name} by a path around the changed one")


def apply_diff(old: Path, diff: Path) -> Overlay:
    """The tree that a diff makes of another.

    Args:
        old: the root of the old tree.
        diff: unified, its names relative to the root, with or without `a/` and `b/`.

    Raises:
        BuildError: it can't be read, does not apply, or changes what is neither C source nor documentation.
    """
    try:
        text = diff.read_text(errors="surrogateescape")
    except OSError as error:
        raise BuildError(f"{diff} can't be read: {error.strerror}") from error
    chunks = [(name, chunk) for chunk in _CHUNK.split(text) if (name := _name(chunk)) is not None]
    code = [(name, chunk) for name, chunk in chunks if not _NO_CODE.match(name)]
    ignored = tuple(name for name, _ in chunks if _NO_CODE.match(name))
    if not code:
        raise BuildError(f"{diff} changes no C source", advice="a unified diff is wanted, as git diff makes it")
    names = sorted({name for name, _ in code})
    _check(names)
    patch = "".join(chunk for _, chunk in code)

    def fill(root: Path) -> None:
        for name in names:
            if (old / name).exists():
                shutil.copyfile(old / name, root / name)
        command = ["patch", "-p1", "-s", "-f", "--no-backup-if-mismatch", "-d", str(root)]
        stripped = _HEADER.sub(lambda match: f"{match[0][:3]} a/{match[1]}", patch)
        encoded = stripped.encode(errors="surrogateescape")
        result = subprocess.run(command, input=encoded, capture_output=True, check=False)
        if result.returncode:
            said = (result.stdout + result.stderr).decode(errors="replace")
            first = said.strip().splitlines()[:1] or ["patch says nothing"]
            raise BuildError(f"{diff} does not apply to {old.name}", output=said, advice=first[0])

    return _overlay(old, names, ignored, patch.encode(errors="surrogateescape"), fill)


def take_files(old: Path, new: Path, files: Sequence[str], merged: MergedHeaders | None = None) -> Overlay:
    """The old tree with some files of another one.

    Args:
        old, new: the roots of the trees.
        files: relative to both.
        merged: the headers for them; those of the old tree if not given.

    Raises:
        BuildError: the new tree lacks one, or it is neither C source nor a header.
    """
    names = sorted(set(files))
    _check(names)
    for name in names:
        if not (new / name).is_file():
            raise BuildError(f"{new} has no {name}", advice="name files relative to the trees' roots")
    texts = {name: (new / name).read_bytes() for name in names}
    changed = merged.texts() if merged else {}
    if merged and merged.padded:
        changed |= {name: _padded(content, merged.padded) for name, content in texts.items()}
    texts |= {name: text.encode(errors="surrogateescape") for name, text in changed.items()}

    def fill(root: Path) -> None:
        for name, text in texts.items():
            (root / name).write_bytes(text)

    overlay = _overlay(old, sorted(texts), (), b"\0".join(texts[name] for name in sorted(texts)), fill)
    return replace(overlay, changed=tuple(names), merged=merged)


def _identity(path: Path) -> tuple[int, int]:
    """The file that a path leads to, which takes a tenth of the time that its one true path does."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _padded(content: bytes, structures: Mapping[str, str]) -> str:
    """A file's text, with other definitions of some structures."""
    return put_together(split_items(content.decode(errors="surrogateescape")), structures)


def _name(chunk: str) -> str | None:
    names = [name for name in _HEADER.findall(chunk) if name.strip() != "/dev/null"]
    return names[-1].strip() if names else None


def _check(names: Iterable[str]) -> None:
    for name in names:
        if name.startswith("/") or ".." in Path(name).parts:
            raise BuildError(f"{name} leaves the source tree")
        if not name.endswith((".c", ".h")):
            raise BuildError(f"{name} is neither C source nor a header: a live patch can't be made of its change")


def _overlay(
    old: Path, names: Sequence[str], ignored: tuple[str, ...], content: bytes, fill: Callable[[Path], None]
) -> Overlay:
    old = old.resolve()
    # headers for all are not included by a path upwards
    opened = {Path(name).parent for name in names if name.endswith(".h") and not name.startswith(FOR_ALL)}
    identity = "\0".join([_FORM, str(old), *names, ""]).encode() + content
    key = hashlib.sha256(identity).hexdigest()[:16]
    root = cache_folder() / "changed" / f"{old.name}-{key}"
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=".tree-") as temporary:
            work = Path(temporary, "tree")
            _link(old, work, [Path(name).parts for name in names], opened, Path())
            fill(work)
            if not root.exists():
                work.rename(root)
    return Overlay(root, old, tuple(names), ignored)


def _link(
    old: Path,
    new: Path,
    real: Iterable[tuple[str, ...]],
    opened: Collection[Path],
    below: Path,
    *,
    is_open: bool = False,
) -> None:
    """Make a folder of links, real ones down to each of the files that will be real.

    Folders in opened ones are real too: from a link, `../name.h` would lead to the old header.

    Args:
        old, new: the roots of the trees.
        real: files that will be real, by the parts of their paths below the folder.
        opened: folders, relative to the roots.
        below: the folder, relative to the roots.
        is_open: it is in one of these.
    """
    there, here = old / below, new / below
    here.mkdir(exist_ok=True)
    inner: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for first, *rest in real:
        inner[first].append(tuple(rest))
    is_open = is_open or below in opened
    models = _models(there)
    present = {entry.name for entry in there.iterdir()} if there.is_dir() else set()
    for name in sorted(present | inner.keys()):
        under = [rest for rest in inner.get(name, ()) if rest]
        if under or (is_open and (there / name).is_dir()):
            _link(old, new, under, opened, below / name, is_open=is_open)
        elif name not in inner:
            _link_one(there / name, here / name, models / name)


def _models(folder: Path) -> Path:
    """Where links to all that is in a folder of an old tree are, of which changed trees have other names."""
    return cache_folder() / "links" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def _link_one(target: Path, place: Path, model: Path) -> None:
    """Make a symbolic link, as another name of one that is there: a new one would take an inode and a block each."""
    try:
        if not model.is_symlink():
            model.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                model.symlink_to(target)
        os.link(model, place, follow_symlinks=False)
    except OSError:
        # a file has no more than 65,000 names, and some file systems give links none
        place.symlink_to(target)
