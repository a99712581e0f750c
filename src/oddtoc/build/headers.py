"""Headers for newer C files of a kernel: those that it was built with, and from the newer ones what the files use.

A newer C file may need a macro, an inline function or a prototype that only newer headers have; these may also lay out
structures anew, of which objects exist in the running kernel. So the old headers stay, and items of the newer ones
replace or join theirs by name (oddtoc.build.items): everything that the changed code of the files mentions, and what
that mentions in turn, but for structures and unions that the old headers define. Those stay as they are, but where the
changed code asks for another version of a member: there a comparison of layouts (oddtoc.build.layouts) decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from oddtoc.build.items import Item, items_of, read_text
from oddtoc.build.kinds import (
    differing_names,
    included,
    is_constant,
    is_prototype,
    needy_items,
    static_functions,
)
from oddtoc.build.members import accessed_members, changed_members, changed_pointers, defined_within, points_to_code
from oddtoc.build.segments import LAID_OUT, Segment, compare_items, put_together, structure_of


@dataclass(frozen=True)
class HeaderChange:
    """One item of a header that differs between two trees.

    Attributes:
        header: relative to the trees.
        kind: as `Item.kind`.
        name: what it declares or defines.
        is_new: whether the old headers have nothing of that name.
        is_mentioned: whether the changed code of the files mentions it.
    """

    header: str
    kind: str
    name: str
    is_new: bool
    is_mentioned: bool


class MergedHeaders:
    """The headers for some files of a newer tree.

    Args:
        old, new: the roots of the trees.
        files: C files, relative to both.
        headers: those that the newer files include in the newer tree, directly or through others, and that differ:
            with their texts in both.
        structures: names of structures and unions to take all the same, for a comparison of their layouts.
        kept: names of inline functions and macros that stay as the old headers have them.
        padded: old structures with new members in their padding -> their definitions.
        members: those members: inline functions and macros that access one are taken, whoever uses them.
    """

    def __init__(
        self,
        old: Path,
        new: Path,
        files: Sequence[str],
        headers: Mapping[str, tuple[str, str]],
        structures: Collection[str] = (),
        kept: Collection[str] = (),
        padded: Mapping[str, str] = MappingProxyType({}),
        members: Collection[str] = (),
    ) -> None:
        self.old = old
        self.padded = padded
        self._kept = frozenset(kept)
        self.structures = frozenset(structures)
        self.segments = {header: compare_items(*headers[header]) for header in sorted(headers)}
        self.places: dict[str, list[tuple[str, Segment, int]]] = defaultdict(list)
        self.before: dict[str, list[Item]] = defaultdict(list)
        self.mentioned: set[str] = set()
        self.accessed: set[str] = set()
        self._index()
        own = {name for file in files for name in static_functions(items_of(read_text(new / file)))}
        self.dropped = {name: header for name, header in self._dropped() if name in own}
        for file in files:
            for item in needy_items(items_of(read_text(old / file)), items_of(read_text(new / file))):
                self.accessed |= accessed_members(item.text)
                self._need(item)
        self._pending += [name for name in (*self.structures, *self._accessing(members)) if name in self.places]
        self._take_all()

    @property
    def taken(self) -> list[HeaderChange]:
        """What was taken of the newer headers."""
        return [change for change, _ in self.taken_items()]

    @property
    def left(self) -> list[HeaderChange]:
        """What was not: the old headers' structures, and what the changed code does not mention."""
        return [change for change, _ in self.left_items()]

    def left_structures(self) -> dict[str, set[str]]:
        """Structures and unions that stay as the old headers have them -> members and macros in what differs."""
        found: dict[str, set[str]] = defaultdict(set)
        for _, segment, index, item in self._different():
            if item.kind in LAID_OUT and index not in segment.taken and not self._is_old(item):
                found[item.names[0]] |= differing_names(self._structure_before(item), item)
        return found

    def touched_structures(self) -> set[str]:
        """Those of them with members that both versions have, in other words, and that the changed code accesses."""
        found = set()
        for _, segment, index, item in self._different():
            before = self._structure_before(item) if item.kind in LAID_OUT and index not in segment.taken else None
            if before and self.accessed & changed_members(before.text, item.text):
                found.add(item.names[0])
        return found

    def _structure_before(self, item: Item) -> Item | None:
        return next((o for name in item.names for o in self.before.get(name, ()) if o.kind == item.kind), None)

    def declared_functions(self) -> dict[str, tuple[str, bool]]:
        """Functions whose prototypes were taken -> the header, and whether the old headers have none of that name.

        Those that a file has made static are among them: others may call them by the old prototype. None does so of one
        that was an inline function.
        """
        return {name: (header, False) for name, header in self.dropped.items()} | {
            change.name: (change.header, change.is_new or self._was_inline(change.name))
            for change, item in self.taken_items()
            if is_prototype(item)
        }

    def _was_inline(self, name: str) -> bool:
        """Whether the old headers have it as an inline function, of which others have copies of their own."""
        return all(item.kind == "function" for item in self.before[name])

    def changed_constants(self) -> dict[str, str]:
        """Macros without parameters that were taken in place of old ones -> the header."""
        return {
            change.name: change.header for change, item in self.taken_items() if not change.is_new and is_constant(item)
        }

    def new_constants(self) -> set[str]:
        """Macros without parameters, and constants of enumerations, that the old headers do not have."""
        found: set[str] = set()
        # enumerations inside of structures have no name of their own
        known = {name for items in self.before.values() for i in items if i.kind in LAID_OUT for name in i.mentions}
        for _, item in self.taken_items():
            if item.kind == "enum" or is_constant(item):
                fresh = {name for name in item.names if name not in self.before and name not in known}
                found |= fresh & self.mentioned
            elif item.kind in LAID_OUT:
                before = self._structure_before(item)
                found |= defined_within(item.text) - defined_within(before.text if before else "")
        return found

    def repointed_members(self) -> Iterator[tuple[str, str, str, bool]]:
        """Header, structure and member, where a structure was taken whose pointer leads to something else.

        Also whether it points to functions, as it did before.
        """
        for change, item in self.taken_items():
            before = self._structure_before(item) if item.kind in LAID_OUT else None
            for member in sorted(changed_pointers(before.text, item.text)) if before else ():
                is_code = before is not None and points_to_code(before.text, member)
                yield change.header, change.name, member, is_code and points_to_code(item.text, member)

    def new_structures(self) -> dict[str, str]:
        """Structures and unions that the old headers of these files do not have -> their words."""
        return {
            change.name: item.plain for change, item in self.taken_items() if item.kind in LAID_OUT and change.is_new
        }

    def carriers(self, names: Collection[str]) -> Iterator[tuple[str, Item, Item]]:
        """Header, old and new version of the inline functions and macros that were taken and mention some names."""
        for change, item in self.taken_items():
            if item.kind in ("function", "define") and not item.mentions.isdisjoint(names):
                for before in self.before.get(change.name, ()):
                    if before.kind == item.kind and before.names[:1] == item.names[:1]:
                        yield change.header, before, item

    def left_items(self) -> Iterator[tuple[HeaderChange, Item]]:
        """What was not taken, with its text."""
        for header, segment, index, item in self._different():
            if index not in segment.taken and not self._is_old(item):
                yield self._change(header, item), item

    def taken_items(self) -> Iterator[tuple[HeaderChange, Item]]:
        """What was taken, with its text."""
        for header, segment, index, item in self._different():
            if index in segment.taken and not self._is_old(item):
                yield self._change(header, item), item

    def texts(self) -> dict[str, str]:
        """Header -> its text, for those that something was taken into."""
        moved = {
            item.names[0] for _, segment, index, item in self._different() if index in segment.taken and item.names
        } | self.dropped.keys()
        changed = {*self.dropped.values(), *self.headers_with(self.padded)}
        return {
            header: put_together((item for segment in segments for item in segment.merged(moved)), self.padded)
            for header, segments in self.segments.items()
            if any(segment.taken for segment in segments) or header in changed
        }

    def headers_with(self, structures: Collection[str]) -> list[str]:
        """The headers that differ, and define one of some structures or unions in their old versions."""
        return [
            header
            for header, segments in self.segments.items()
            if any(structure_of(item) in structures for segment in segments for item in segment.old)
        ]

    def _accessing(self, members: Collection[str]) -> Iterator[str]:
        """The inline functions and macros that differ, and access one of some members."""
        for *_, item in self._different():
            if item.kind in ("function", "define") and not accessed_members(item.text).isdisjoint(members):
                yield item.names[0]

    def _index(self) -> None:
        self._pending: list[str] = []
        for header, segment, index, item in self._different():
            for name in item.names:
                self.places[name].append((header, segment, index))
        for segments in self.segments.values():
            for item in (item for segment in segments if not segment.is_same for item in segment.old):
                for name in item.names:
                    self.before[name].append(item)

    def _dropped(self) -> Iterator[tuple[str, str]]:
        """Functions that the newer headers do not declare any more, each with the header that did."""
        everywhere = {name for segments in self.segments.values() for s in segments for i in s.new for name in i.names}
        for header, segments in self.segments.items():
            for item in (item for segment in segments if not segment.is_same for item in segment.old):
                if is_prototype(item) and item.names[0] not in everywhere:
                    yield item.names[0], header

    def _different(self) -> Iterator[tuple[str, Segment, int, Item]]:
        for header, segments in self.segments.items():
            for segment in segments:
                if not segment.is_same:
                    yield from ((header, segment, index, item) for index, item in enumerate(segment.new))

    def _need(self, item: Item) -> None:
        """Note everything that an item mentions, and the header that it includes."""
        fresh = item.mentions - self.mentioned
        self.mentioned |= fresh
        self._pending += [name for name in fresh if name in self.places]
        if item.kind == "include":
            for header, segments in self.segments.items():
                if not (self.old / header).exists() and header.endswith(f"/{included(item)}"):
                    self._take(header, segments[0], 0)

    def _take_all(self) -> None:
        while self._pending:
            name = self._pending.pop()
            for header, segment, index in self.places[name]:
                item = segment.new[index]
                # the running kernel's values of constants that it has are right
                is_there = item.kind == "enum" and name in self.before
                if not is_there and name not in self._kept and self._may_be_taken(item):
                    self._take(header, segment, index)

    def _may_be_taken(self, item: Item) -> bool:
        if self._is_old(item) or item.kind not in LAID_OUT or item.names[0] in self.structures:
            return not self._is_old(item)
        return not any(other.kind in LAID_OUT for name in item.names for other in self.before.get(name, ()))

    def _is_old(self, item: Item) -> bool:
        """Whether the old headers say the same somewhere, or it is nothing with a name."""
        if not item.names or item.kind == "undef":
            return True
        return any(other.plain == item.plain for name in item.names for other in self.before.get(name, ()))

    def _take(self, header: str, segment: Segment, index: int) -> None:
        if index in segment.taken:
            return
        chosen = [(segment, {index})]
        if segment.has_conditions:
            parts = [segment] if segment.is_balanced else [s for s in self.segments[header] if not s.is_balanced]
            chosen = [(part, set(range(len(part.new)))) for part in parts]
        chosen += [(part, _includes(part)) for part in self.segments[header] if not part.has_conditions]
        for part, numbers in chosen:
            for number in numbers - part.taken:
                item = part.new[number]
                if item.kind not in LAID_OUT or self._may_be_taken(item):
                    part.taken.add(number)
                    self._need(item)

    def _change(self, header: str, item: Item) -> HeaderChange:
        is_new = not any(name in self.before for name in item.names)
        return HeaderChange(header, item.kind, item.names[0], is_new, item.names[0] in self.mentioned)


def _includes(segment: Segment) -> set[int]:
    """What a header newly includes, which anything that is taken from it may need."""
    return {index for index, item in enumerate(segment.new) if item.kind == "include" and not segment.is_same}
