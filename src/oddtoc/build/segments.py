"""Two versions of a header side by side, and a third one put together of their items."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path

from oddtoc.build.items import Item, items_of, read_text

LAID_OUT = ("struct", "union")


@dataclass
class Segment:
    """Items that both versions of a header have, or that differ between two such runs.

    Attributes:
        old, new: the items of both versions.
        is_same: whether they say the same.
        taken: places in `new` of what is taken from it.
    """

    old: list[Item]
    new: list[Item]
    is_same: bool
    taken: set[int] = field(default_factory=set)

    @property
    def has_conditions(self) -> bool:
        """Whether lines of conditionals differ: such a run is taken as a whole."""
        return any(item.is_condition for item in (*self.old, *self.new))

    @property
    def is_balanced(self) -> bool:
        """Whether conditionals that begin in it end in it, in both versions."""
        return all(_opened(items) == 0 for items in (self.old, self.new))

    def merged(self, moved: Collection[str]) -> Iterator[Item]:
        """The old items, with the taken ones in the places of their namesakes, or where they stand in the new version.

        Args:
            moved: names of items that are taken elsewhere: the old ones of that name go.
        """
        waiting = list(self.old)
        for index, item in enumerate(self.new if not self.is_same else ()):
            match = next((n for n, other in enumerate(waiting) if _are_namesakes(item, other)), None)
            if match is not None:
                yield from self._kept(waiting[:match], moved)
                if index not in self.taken:
                    yield waiting[match]
                del waiting[: match + 1]
            if index in self.taken:
                yield item
        yield from waiting if self.is_same else self._kept(waiting, moved)

    def _kept(self, items: list[Item], moved: Collection[str]) -> Iterator[Item]:
        for item in items:
            is_replaced = bool(self.taken) and self.has_conditions
            has_moved = not item.is_condition and any(name in moved for name in item.names[:1])
            if item.kind in LAID_OUT or not (is_replaced or has_moved):
                yield item


def structure_of(item: Item) -> str:
    """The structure or union that an item defines; empty if none."""
    return item.names[0] if item.kind in LAID_OUT and item.names else ""


def put_together(items: Iterable[Item], structures: Mapping[str, str]) -> str:
    """The text of items, with other definitions of some structures."""
    return "".join(structures.get(structure_of(item), item.text) for item in items)


def differing_texts(old: Path, new: Path, files: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Those of some files that differ between two trees -> their texts; a file that is not there has none.

    Args:
        old, new: the roots of the trees.
        files: relative to both.
    """
    texts = {file: (read_text(old / file), read_text(new / file)) for file in files}
    return {file: both for file, both in texts.items() if both[0] != both[1]}


def compare_items(old: str, new: str) -> list[Segment]:
    """Two versions of a file, cut where they begin and cease to say the same."""
    before, after = items_of(old), items_of(new)
    return [Segment(before[a:b], after[c:d], kind == "equal") for kind, a, b, c, d in _runs(old, new)]


@lru_cache(maxsize=2000)
def _runs(old: str, new: str) -> Sequence[tuple[str, int, int, int, int]]:
    """As `SequenceMatcher.get_opcodes`: the same two headers are compared for many files."""
    before, after = ([item.plain for item in items_of(text)] for text in (old, new))
    return SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _opened(items: list[Item]) -> int:
    """How many conditionals stay open; a number that is not 0 where one ends that did not begin."""
    depth = 0
    for item in items:
        depth += (item.kind in ("if", "ifdef", "ifndef")) - (item.kind == "endif")
        if depth < 0 or (depth == 0 and item.kind in ("else", "elif")):
            return -1
    return depth


def _are_namesakes(one: Item, other: Item) -> bool:
    """Whether one of them stands for the other: tags have name spaces of their own."""
    if one.is_condition or not one.names or _family(one) != _family(other):
        return False
    if one.kind == "enum":
        return not set(one.names).isdisjoint(other.names)
    return one.names[:1] == other.names[:1]


def _family(item: Item) -> str:
    return item.kind if item.kind in (*LAID_OUT, "enum") else ""
