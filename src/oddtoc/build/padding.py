"""New members of structures in the padding that the running kernel's layout has: no object changes its size.

A structure has bytes that belong to no member, as in front of a pointer that follows a single byte. Of a new member
that fits into some, objects of the old layout are objects of the new one too: what they have there is what their
padding holds. That is 0 where they were made zeroed, and whether that is so, and the right value for those that exist,
somebody has to know. Nothing else is left to belief: the text of the old structure with the member in another place is
compiled, and accepted where its layout is the old one, bit by bit, but for what was padding (oddtoc.build.layouts).
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from oddtoc.build.items import Item, differing_lines, identifiers, items_of, read_text, split_items
from oddtoc.build.layouts import InPadding, layouts_of, padding_of
from oddtoc.build.members import Declaration, declarations
from oddtoc.build.overlay import Overlay, take_files
from oddtoc.build.reach import includers
from oddtoc.build.refusal import Refusal
from oddtoc.build.repointed import Users, carriers
from oddtoc.build.segments import structure_of
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.errors import BuildError, UsageError
from oddtoc.image.btf import Layout

_PROBE = "oddtoc_probe_{}"
_BYTE = 8


@dataclass(frozen=True)
class Wish:
    """A new member that looks for a place.

    Attributes:
        text: its declaration.
        size, align: bytes.
    """

    text: str
    size: int
    align: int


@dataclass(frozen=True)
class _Gap:
    """Padding, from one bit to another, and the place in the structure's text for what is to be in it."""

    start: int
    end: int
    anchor: int

    def first_for(self, wish: Wish) -> int:
        """Where a member would begin in it."""
        return -(-self.start // (wish.align * _BYTE)) * wish.align * _BYTE


def padded_texts(
    tree: KernelTree, new: Path, files: Sequence[str], headers: Collection[str], told: InPadding
) -> dict[str, str]:
    """Structures with new members in their padding.

    Args:
        tree: the running kernel's source, prepared.
        new: the root of the newer source.
        files: C files of both trees.
        headers: those that they include in the newer tree, and that differ.
        told: what to place.

    Returns:
        Structure -> its definition.

    Raises:
        UsageError: there is no such new member, or no room for it.
    """
    before, after = (_defined(root, (*files, *sorted(headers)), told) for root in (tree.source, new))
    found: dict[str, str] = {}
    for name, members in told.items():
        old, newer = before.get(name), after.get(name)
        texts = list(_wanted(old, newer, members)) if old and newer else []
        if len(texts) < len(set(members)) or old is None:
            advice = f"every declaration of {name} that is new, and that alone, can be in its padding"
            raise UsageError(f"{name} gets no new member {' or '.join(members)}", advice=advice)
        placed = next(filter(None, (_placed(tree, file, name, old, texts) for file in files)), None)
        if placed is None:
            raise UsageError(f"{name} has no padding with room for {', '.join(texts)} in the running kernel")
        found[name] = placed
    return found


def _placed(tree: KernelTree, file: str, name: str, old: Item, texts: Sequence[str]) -> str | None:
    """A structure's definition with more members, as far as a file knows it and has their types."""
    try:
        layouts = _measured(tree, file, texts)
    except BuildError:
        return None
    wishes = []
    for number, text in enumerate(texts):
        probe = _PROBE.format(number)
        wishes.append(Wish(text, layouts[probe].size, layouts[f"{probe}_at"].members["then"][0] // _BYTE))
    return place(old.text, layouts.get(name), wishes)


def place(text: str, layout: Layout | None, wishes: Sequence[Wish]) -> str | None:
    """A structure's definition with more members in its padding; None where there is no room for one.

    Args:
        text: of the definition.
        layout: its layout.
        wishes: what to place, each behind or before a member that has a line of its own.
    """
    gaps = list(_gaps(text, layout)) if layout else []
    lines: list[tuple[int, str]] = []
    for wish in wishes:
        gap = next((gap for gap in gaps if gap.first_for(wish) + wish.size * _BYTE <= gap.end), None)
        if gap is None:
            return None
        lines.append((gap.anchor, f"\n\t{wish.text};"))
        gaps[gaps.index(gap)] = replace(gap, start=gap.first_for(wish) + wish.size * _BYTE)
    for at, line in reversed(sorted(lines, key=lambda one: one[0])):
        text = text[:at] + line + text[at:]
    return text


def _gaps(text: str, layout: Layout) -> Iterator[_Gap]:
    """Padding that the text has a place for, the smallest first."""
    known = declarations(text)
    for start, end in sorted(padding_of(layout), key=lambda gap: gap[1] - gap[0]):
        anchor = _anchor(known, layout, start, end)
        if anchor is not None:
            yield _Gap(start, end, anchor)


def _defined(root: Path, files: Iterable[str], names: Collection[str]) -> dict[str, Item]:
    """The definitions of structures in some files of a tree."""
    found: dict[str, Item] = {}
    for file in files:
        text = read_text(root / file)
        if any(name in text for name in names):
            found |= {structure_of(item): item for item in split_items(text) if structure_of(item) in names}
    return found


def _wanted(old: Item, new: Item, members: Collection[str]) -> Iterator[str]:
    """The declarations of new members in the newer version of a structure."""
    before = {name for one in declarations(old.text) for name in one.names}
    for one in declarations(new.text):
        if one.names and set(one.names) <= set(members) and before.isdisjoint(one.names):
            yield one.text


def _measured(tree: KernelTree, file: str, texts: Sequence[str]) -> dict[str, Layout]:
    """Layouts that an old file sees, and those of structures with some declarations alone."""
    probes = [
        f"struct {_PROBE.format(number)} {{ {text}; }};\n"
        f"struct {_PROBE.format(number)}_at {{ char first; struct {_PROBE.format(number)} then; }};\n"
        for number, text in enumerate(texts)
    ]
    with tempfile.TemporaryDirectory(prefix="oddtoc-padding-") as folder:
        probe = Path(folder, file)
        probe.parent.mkdir(parents=True)
        probe.write_text(
            read_text(tree.source / file) + "\n" + "".join(probes), encoding="utf-8", errors="surrogateescape"
        )
        root = take_files(tree.source, Path(folder), [file]).root
    return layouts_of(compile_unit(tree, file, Flavour.COMPARED, root))


def _anchor(ends: Sequence[Declaration], layout: Layout, start: int, end: int) -> int | None:
    """Where in the text a member stands that is to be in a gap: behind the one that ends there, or before the next."""
    before = {name for name, (at, size) in layout.members.items() if start - _BYTE < at + size <= start}
    behind = {name for name, (at, _) in layout.members.items() if at == end}
    for one in ends:
        if one.names and one.names[-1] in before:
            return one.end
    for previous, one in pairwise(ends):
        if one.names and one.names[0] in behind:
            return previous.end
    return None


def padding_refusals(tree: KernelTree, new: Path, overlay: Overlay, users: Users) -> Iterator[Refusal]:
    """Files that go by a new member in the newer source too, and are not part of the fix.

    Args:
        tree: the running kernel's source.
        new: the root of the newer source.
        overlay: the fix.
        users: tells which of some units of a tree mention names.
    """
    if overlay.merged is None:
        return
    for structure, members in overlay.in_padding.items():
        for header in overlay.merged.headers_with([structure]):
            for file in sorted(_going_by(tree, new, header, set(members), overlay.units, users)):
                reason = f"gets a new member {', '.join(members)} in its padding, and this file goes by it too"
                yield Refusal("layout", file, structure, reason, next(iter(members)))


def _going_by(
    tree: KernelTree, new: Path, header: str, members: set[str], files: Collection[str], users: Users
) -> set[str]:
    """Units with changed lines that mention a member, or that mention inline functions and macros that have some."""
    reached = includers(tree, header)
    texts = {path: read_text(new / path) for path in reached if path.endswith(".h")}
    first: set[str] = set()
    for path, text in texts.items():
        if text != (old := read_text(tree.source / path)) and not members.isdisjoint(identifiers(text)):
            before = {item.plain for item in items_of(old)}
            first |= carriers([item for item in items_of(text) if item.plain not in before], members)
    carried = _carried(texts.values(), first)
    units = [unit for unit in (*tree.built_units(), *tree.module_units()) if unit in reached and unit not in files]
    found = users(new, units, {*carried, *members})
    return {unit for name in carried for unit in found[name]} | {
        unit
        for name in members
        for unit in found[name]
        if name in identifiers(differing_lines(read_text(tree.source / unit), read_text(new / unit)))
    }


def _carried(texts: Iterable[str], first: Collection[str]) -> set[str]:
    """Some inline functions and macros, and those of headers that mention them, or one another that does."""
    known, waiting, items = set(first), list(texts), list[Item]()
    while known:
        about = [text for text in waiting if any(name in text for name in known)]
        waiting = [text for text in waiting if text not in about]
        items += [item for text in about for item in items_of(text)]
        more = carriers(items, known)
        if not more and not about:
            break
        known |= more
    return known
