"""Kernel modules on disk, with those that they depend on."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Iterable
from pathlib import Path

from oddtoc.errors import GuestError

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_SUFFIXES = (".ko", ".ko.xz", ".ko.gz")


def load_order(folder: Path, names: Iterable[str]) -> list[tuple[str, bytes]]:
    """Modules by name with all that they need, each behind what it needs: (name, content of the .ko).

    Dependencies are read from each module's .modinfo: Debian's packages hold no modules.dep.

    Args:
        folder: holds the modules of one kernel, in folders below it.
        names: with `-` or `_`, as one likes.

    Raises:
        GuestError: there is no such module, or it is packed in a way that can't be read.
    """
    files = _files(folder)
    order: dict[str, bytes] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        key = _plain(name)
        if key in order or key in above:
            return
        if key not in files:
            raise GuestError(f"there is no module {name} in {folder}", advice="it may be built into the kernel")
        content = read_module_file(files[key])
        for needed in depends_on(content):
            add(needed, (*above, key))
        order[key] = content

    for name in names:
        add(name, ())
    return list(order.items())


def read_module(folders: Iterable[Path], name: str) -> bytes:
    """The content of the .ko of one module.

    Args:
        folders: hold modules of one kernel, in folders below them; the first that has it counts.
        name: of the module.

    Raises:
        GuestError: there is none, or it is packed in a way that can't be read.
    """
    known = [*folders]
    for folder in known:
        path = _files(folder).get(_plain(name))
        if path is not None:
            return read_module_file(path)
    raise GuestError(
        f"there is no file of the module {name} in {' or '.join(map(str, known)) or 'any folder that is known'}",
        advice="give the folder of the modules of the kernel that runs there with --modules",
    )


def depends_on(content: bytes) -> list[str]:
    """The modules that one needs, from the content of its .ko."""
    match = _DEPENDS.search(content)
    return [name for name in (match[1] if match else b"").decode("ascii", "replace").split(",") if name]


def _files(folder: Path) -> dict[str, Path]:
    return {_plain(path.name.partition(".ko")[0]): path for path in folder.rglob("*.ko*")}


def _plain(name: str) -> str:
    return name.replace("-", "_")


def read_module_file(path: Path) -> bytes:
    """The content of a `.ko`, which may be packed.

    Raises:
        GuestError: it can't be read, or is packed in a way that is not known.
    """
    try:
        content = path.read_bytes()
        if path.name.endswith(".ko.xz"):
            return lzma.decompress(content)
        if path.name.endswith(".ko.gz"):
            return gzip.decompress(content)
    except (OSError, lzma.LZMAError) as error:
        raise GuestError(f"{path} can't be read: {error}") from error
    if path.suffix != ".ko":
        raise GuestError(
            f"{path.name} is packed in a way that oddtoc can't read", advice=f"known: {', '.join(_SUFFIXES)}"
        )
    return content
