"""The targets of a fleet, as a file names them: one on each line, with what is known of it behind.

    # comments and empty lines count for nothing
    guest:a
    gdb://127.0.0.1:1234  name=db1 vmlinux=/boot/vmlinux-6.1 zone=north
    qmp:/run/vm/2.sock    vmlinux=vmlinux-6.12  zone=south resource=host2

`name` is what it is called in tables, `vmlinux` the running kernel's image and `modules` the folder with its modules
(both relative to the file), `resource` one that a worker of a Dask cluster must have to reach it. Everything else is a
label, by which targets can be chosen.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oddtoc.errors import UsageError

_KNOWN: Final = ("name", "vmlinux", "modules", "resource")


@dataclass(frozen=True)
class FleetTarget:
    """One target.

    Attributes:
        address: as `Session.open` takes it.
        name: what to call it; the address if the file has no name for it.
        vmlinux: the running kernel's image; None where the address tells.
        modules: the folder with its modules; None where the address tells, or nobody needs them.
        resource: that a worker must have to reach it; empty if anyone can.
        labels: everything else that the file says, (key, value).
    """

    address: str
    name: str
    vmlinux: Path | None = None
    modules: Path | None = None
    resource: str = ""
    labels: tuple[tuple[str, str], ...] = ()


def read_targets(path: Path) -> list[FleetTarget]:
    """The targets that a file names, in its order.

    Raises:
        UsageError: it can't be read, names none, has a line that makes no sense, or names one twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the targets {path} can't be read: {reason}") from error
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    targets = [_target(path, number, line) for number, line in stripped if line and not line.startswith("#")]
    if not targets:
        raise UsageError(f"{path} names no targets", advice="write one on each line: guest:NAME, gdb://HOST:PORT ...")
    for what in ("address", "name"):
        values = [getattr(target, what) for target in targets]
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise UsageError(f"{path} names {twice} twice")
    return targets


def chosen(targets: Iterable[FleetTarget], labels: Sequence[str]) -> list[FleetTarget]:
    """The targets that have all of some labels.

    Args:
        targets: to choose from.
        labels: each as ``KEY=VALUE``.

    Raises:
        UsageError: one is no label, or no target has all of them.
    """
    pairs = [_pair(label) for label in labels]
    if wrong := next((label for label, pair in zip(labels, pairs, strict=True) if pair is None), None):
        raise UsageError(f"{wrong} is no label", advice="write KEY=VALUE")
    found = [target for target in targets if all(pair in target.labels for pair in pairs)]
    if not found:
        raise UsageError(f"no target has the label{'s' if len(labels) > 1 else ''} {' '.join(labels)}")
    return found


def _target(path: Path, number: int, line: str) -> FleetTarget:
    try:
        address, *words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: {error}") from error
    pairs = [_pair(word) for word in words]
    known: dict[str, str] = {}
    labels = []
    for word, pair in zip(words, pairs, strict=True):
        if pair is None:
            raise UsageError(f"{path}, line {number}: {word} is no label", advice="write KEY=VALUE behind the target")
        if pair[0] in _KNOWN:
            known[pair[0]] = pair[1]
        else:
            labels.append(pair)
    vmlinux, modules = (
        path.parent / Path(known[key]).expanduser() if key in known else None for key in ("vmlinux", "modules")
    )
    return FleetTarget(address, known.get("name", address), vmlinux, modules, known.get("resource", ""), tuple(labels))


def _pair(word: str) -> tuple[str, str] | None:
    key, separator, value = word.partition("=")
    return (key, value) if key and separator and value else None
