"""Structures that a change lays out anew: objects of the old layout exist in the running kernel.

Both units are compiled with type information (BTF, Documentation/bpf/btf.rst) of all their types, which is compared by
name: sizes, members, and where they are; enumerations too, whose constants are in running code and data. A new member
that was told to be in padding, and is, makes no difference (oddtoc.build.padding).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from oddtoc.errors import ImageError
from oddtoc.image.btf import Btf, Layout
from oddtoc.image.elf import Image

InPadding = Mapping[str, Collection[str]]
"""Structure -> new members that are to be in its padding."""
NOWHERE: InPadding = MappingProxyType({})
_ENUM = "enum"
_BYTE = 8


@dataclass(frozen=True)
class LayoutChange:
    """A difference of a structure, union or enumeration: each new member is one, and of others the first.

    Attributes:
        name: its name, `enum NAME` for an enumeration.
        member: the member or constant concerned; empty where only the size differs.
        difference: in words.
    """

    name: str
    member: str
    difference: str


def changed_layouts(before: Path, after: Path, in_padding: InPadding = NOWHERE) -> Iterator[LayoutChange]:
    """The structures of two units that have the same name and another layout.

    Args:
        before, after: the units.
        in_padding: members of the newer one that may be where the older one has padding.
    """
    old, new = layouts_of(before), layouts_of(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield from _differences(name, old[name], new[name], in_padding)


def unlike_kernel(image: Image, unit: Path, in_padding: InPadding = NOWHERE) -> Iterator[LayoutChange]:
    """The structures of a unit that a kernel's own type information has by that name, and in no such layout.

    Args:
        image: the kernel; one without type information says nothing.
        unit: compiled for it.
        in_padding: members that may be where the kernel has padding.
    """
    if image.section(".BTF") is None:
        return
    running = defaultdict(list)
    for name, layout in Btf.of(image).layouts():
        running[name].append(layout)
    for name, layout in sorted(layouts_of(unit).items()):
        known = running[name] if name != _ENUM else []
        differences = [_differences(name, one, layout, in_padding) for one in known]
        if all(differences):
            yield from differences[0] if differences else ()


def padding_of(layout: Layout) -> list[tuple[int, int]]:
    """Begin and end (bits) of what belongs to no member; what follows an array without a size is the array's."""
    found, at = [], 0
    open_end = max((start for start, size in layout.members.values() if not size), default=layout.size * _BYTE)
    for start, end in sorted((start, start + size) for start, size in layout.members.values() if size):
        if start > at:
            found.append((at, start))
        at = max(at, end)
    return [*found, (at, layout.size * _BYTE)] if at < layout.size * _BYTE and open_end > at else found


def layouts_of(unit: Path) -> dict[str, Layout]:
    """Name -> layout; the constants of enumerations without a name together.

    Raises:
        ImageError: the unit was compiled without type information.
    """
    image = Image.open(unit)
    section = image.section(".BTF")
    if section is None:
        raise ImageError(f"{unit} has no type information", advice="a gcc of version 12 or later is needed: -gbtf")
    return _layouts(image.contents(section))


@lru_cache(maxsize=8)
def _layouts(types: bytes) -> dict[str, Layout]:
    """What `layouts_of` gives, made once for the units that have the same types: nobody may write to it."""
    found = {_ENUM: Layout(0, {})}
    for name, layout in Btf(types).layouts():
        if name == _ENUM:
            found[_ENUM].members.update(layout.members)
        else:
            found.setdefault(name, layout)
    return found


def _differences(name: str, old: Layout, new: Layout, in_padding: InPadding) -> list[LayoutChange]:
    """All new members, or else the first other difference; nothing where there is none."""
    find = _constants_differ if name.split()[0] == _ENUM else _members_differ
    new = _without(new, in_padding.get(name, ()), padding_of(old)) if name in in_padding else new
    found = [LayoutChange(name, member, difference) for member, difference in find(old, new)]
    fresh = [change for change in found if change.member not in old.members]
    if not found and old.size != new.size:
        found = [LayoutChange(name, "", f"has {new.size} bytes instead of {old.size}")]
    return [change for change in fresh if "." not in change.member] or found[:1]


def _without(layout: Layout, members: Collection[str], gaps: Collection[tuple[int, int]]) -> Layout:
    """A layout without those of some members, and what is inside of them, that are in gaps as a whole."""
    kept = {
        name: (start, size)
        for name, (start, size) in layout.members.items()
        if name.partition(".")[0] not in members or not any(a <= start and start + size <= b for a, b in gaps)
    }
    return replace(layout, members=kept)


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
