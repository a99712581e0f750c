"""Functions and constants that newer headers change, and that files outside of a fix know as they were."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from oddtoc.build.items import Item, identifiers, split_items
from oddtoc.build.overlay import Overlay
from oddtoc.build.refusal import Refusal
from oddtoc.build.tree import KernelTree
from oddtoc.image.elf import Image


def prototype_refusals(tree: KernelTree, new: Path, overlay: Overlay, image: Image) -> Iterator[Refusal]:
    """What must not be taken from newer headers for the files of a fix alone.

    Args:
        tree: the running kernel's source.
        new: the root of the newer source.
        overlay: the files, with merged headers.
        image: the running kernel, which says what modules may call.
    """
    if overlay.merged is None:
        return
    declared = overlay.merged.declared_functions()
    constants = overlay.merged.changed_constants()
    users = _users(tree, {*declared, *constants}, set(overlay.units))
    for name, (header, is_new) in sorted(declared.items()):
        if not is_new and image.symbols.find(f"__ksymtab_{name}"):
            yield Refusal("prototype", header, name, "takes or returns something else, and modules may call it")
        for file in sorted(users[name]):
            if not is_new or _head(tree.source / file, name) != _head(new / file, name):
                yield Refusal("prototype", file, name, "takes or returns something else in the newer headers")
    for name, header in sorted(constants.items()):
        for file in sorted(users[name])[:1]:
            yield Refusal("constant", header, name, f"has another value, and {file} has been compiled with the old one")


def _users(tree: KernelTree, names: Collection[str], files: Collection[str]) -> dict[str, set[str]]:
    """Name -> the units of the kernel proper that mention it, but for some files."""
    found: dict[str, set[str]] = defaultdict(set)
    if names:
        units = "\0".join(unit for unit in tree.built_units() if unit not in files)
        pattern = "|".join(map(re.escape, sorted(names)))
        command = ["xargs", "-0", "grep", "-HowE", "-e", pattern]
        done = subprocess.run(command, input=units.encode(), cwd=tree.source, capture_output=True, check=False)
        for line in done.stdout.decode(errors="replace").splitlines():
            unit, _, name = line.rpartition(":")
            found[name].add(unit)
    return {name: {unit for unit in found[name] if name in _mentions(tree.source / unit)} for name in names}


def _mentions(unit: Path) -> frozenset[str]:
    """All names in a unit, but for its comments."""
    return identifiers(unit.read_text(errors="replace"))


def _head(path: Path, name: str) -> str:
    """What a function's definition in a file says before its body; empty if there is none."""
    items: list[Item] = split_items(path.read_text(errors="replace")) if path.is_file() else []
    return next((item.plain.partition("{")[0] for item in items if item.kind == "function" and name in item.names), "")
