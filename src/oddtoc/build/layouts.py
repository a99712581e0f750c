"""Structures that a change lays out anew: objects of the old layout exist in the running kernel.

Both units are compiled with type information (BTF, Documentation/bpf/btf.rst) of all their types, which is compared by
name: sizes, members, and where they are; enumerations too, whose constants are in running code and data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oddtoc.errors import ImageError
from oddtoc.image.btf import Btf, Layout
from oddtoc.image.elf import Image

_ENUM = "enum"


@dataclass(frozen=True)
class LayoutChange:
    """The first difference of a structure, union or enumeration.

    Attributes:
        name: its name, `enum NAME` for an enumeration.
        member: the member or constant concerned; empty where only the size differs.
        difference: in words.
    """

    name: str
    member: str
    difference: str


def changed_layouts(before: Path, after: Path) -> Iterator[LayoutChange]:
    """The structures of two units that have the same name and another layout."""
    old, new = _layouts(before), _layouts(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name] and (found := _difference(name, old[name], new[name])):
            yield found


def unlike_kernel(image: Image, unit: Path) -> Iterator[LayoutChange]:
    """The structures of a unit that a kernel's own type information has by that name, and in no such layout.

    Args:
        image: the kernel; one without type information says nothing.
        unit: compiled for it.
    """
    if image.section(".BTF") is None:
        return
    running = defaultdict(list)
    for name, layout in Btf.of(image).layouts():
        running[name].append(layout)
    for name, layout in sorted(_layouts(unit).items()):
        known = running[name] if name != _ENUM else []
        differences = [found for one in known if (found := _difference(name, one, layout))]
        if differences and len(differences) == len(known):
            yield differences[0]


def _layouts(unit: Path) -> dict[str, Layout]:
    """Name -> layout; the constants of enumerations without a name together."""
    image = Image.open(unit)
    if image.section(".BTF") is None:
        raise ImageError(f"{unit} has no type information", advice="a gcc of version 12 or later is needed: -gbtf")
    found = {_ENUM: Layout(0, {})}
    for name, layout in Btf.of(image).layouts():
        if name == _ENUM:
            found[_ENUM].members.update(layout.members)
        else:
            found.setdefault(name, layout)
    return found


def _difference(name: str, old: Layout, new: Layout) -> LayoutChange | None:
    find = _constants_differ if name.split()[0] == _ENUM else _members_differ
    for member, difference in find(old, new):
        return LayoutChange(name, member, difference)
    return None if old.size == new.size else LayoutChange(name, "", f"has {new.size} bytes instead of {old.size}")


def _constants_differ(old: Layout, new: Layout) -> Iterator[tuple[str, str]]:
    """Constants of another value; new ones change none of the others."""
    for constant, (value, _) in new.members.items():
        before = old.members.get(constant, (value, 0))[0]
        if value != before:
            yield constant, f"has its constant {constant} as {value} instead of {before}"


def _members_differ(old: Layout, new: Layout) -> Iterator[tuple[str, str]]:
    """New members but for second names of old ones, and others elsewhere, of another size, or gone."""
    kept = {where for member, where in old.members.items() if new.members.get(member) == where}
    for member, where in new.members.items():
        if member not in old.members and where not in kept:
            yield member, f"gets a new member {member}"
    for member, (place, size) in new.members.items():
        before = old.members.get(member, (place, size))
        if before[0] != place:
            yield member, f"has its member {member} at {_bytes(place)} instead of {_bytes(before[0])} bytes"
        elif before[1] != size:
            yield member, f"has its member {member} of {_bytes(size)} instead of {_bytes(before[1])} bytes"
    for member in old.members.keys() - new.members.keys():
        yield member, f"loses its member {member}"


def _bytes(bits: int) -> str:
    """A number of bits in bytes."""
    return f"{bits // 8}" if bits % 8 == 0 else f"{bits / 8}"
