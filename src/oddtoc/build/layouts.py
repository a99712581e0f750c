"""Structures that a change lays out anew: objects of the old layout exist in the running kernel.

Both units are compiled with type information (BTF, Documentation/bpf/btf.rst) of all their types, which is compared by
name: sizes, members, and where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oddtoc.errors import ImageError
from oddtoc.image.btf import Btf
from oddtoc.image.elf import Image


def changed_layouts(before: Path, after: Path) -> Iterator[tuple[str, str]]:
    """The structures of two units that have the same name and another layout, each with the first difference."""
    old, new = _layouts(before), _layouts(after)
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            yield name, _difference(old[name], new[name])


def _layouts(unit: Path) -> dict[str, tuple[int, dict[str, int]]]:
    """Structure or union -> its size, and where its members are (bits)."""
    image = Image.open(unit)
    if image.section(".BTF") is None:
        raise ImageError(f"{unit} has no type information", advice="a gcc of version 12 or later is needed: -gbtf")
    return Btf.of(image).layouts()


def _difference(old: tuple[int, dict[str, int]], new: tuple[int, dict[str, int]]) -> str:
    for member, bits in new[1].items():
        if member not in old[1]:
            return f"gets a new member {member}"
        if old[1][member] != bits:
            return f"has its member {member} at {bits // 8} instead of {old[1][member] // 8} bytes"
    for member in old[1]:
        if member not in new[1]:
            return f"loses its member {member}"
    return f"has {new[0]} bytes instead of {old[0]}"
