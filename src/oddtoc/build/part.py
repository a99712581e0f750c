"""A part of a fix: what is in the way of a patch is left out, with everything that may belong to it.

Two versions of a C file are compared item by item (oddtoc.build.items). Changed items belong together where one
mentions the other, or where the lines that differ in both mention a name that the older file does not have, or come to
mention, or cease to, the same member or name of the file's top level. An item that is refused stays old, and so does
all that belongs to it. Text tells no more than that: whether the rest of the fix is of use, or does harm, without what
is left out is for people to judge.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from oddtoc.build.fix import Fix, LeftOut, build_fix
from oddtoc.build.items import IDENTIFIER, Item, blank, identifiers, read_text, split_items, without_comments
from oddtoc.build.layouts import NOWHERE
from oddtoc.build.members import ACCESS
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import take_files
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.repointed import carriers
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import included_headers
from oddtoc.errors import BuildError
from oddtoc.image.elf import Image

_PART_OF_FUNCTION = re.compile(r"\.(part|constprop|isra|cold|localalias)\b.*")
_OF_FUNCTIONS = frozenset(("init-code", "no-site", "fidelity", "data-changed"))
"""Refusals whose subject is the item itself; those of others are mentioned by the items that are in the way."""
_MOST_ROUNDS = 6


class ChangedFile:
    """Two versions of a C file, item by item.

    Args:
        old, new: the texts.
    """

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = split_items(old), split_items(new)
        self._before, self._after = _by_name(self.old), _by_name(self.new)
        self._known = identifiers(old)
        names = dict.fromkeys((*self._before, *self._after))
        self.changed = [name for name in names if _words(self._before.get(name)) != _words(self._after.get(name))]
        self._lines = {name: self._differing(name) for name in self.changed}

    def blamed(self, refusal: Refusal) -> list[str]:
        """The changed items that a refusal is about."""
        subject = _PART_OF_FUNCTION.sub("", refusal.subject)
        if refusal.id in _OF_FUNCTIONS and subject.removeprefix("__se_") in self.changed:
            return [subject.removeprefix("__se_")]
        return self.mentioning({refusal.member or subject}) or [subject] * (subject in self.changed)

    def mentioning(self, names: Collection[str]) -> list[str]:
        """The changed items with one of some names in the lines that differ."""
        return [name for name in self.changed if not identifiers(self._text(name)).isdisjoint(names)]

    def having(self, names: Collection[str]) -> list[str]:
        """The changed items with one of some names in any line, which may be a part of what differs behind it."""
        return [
            name for name in self.changed for item in self._after.get(name, ()) if not item.mentions.isdisjoint(names)
        ]

    def together(self, names: Iterable[str]) -> set[str]:
        """Some changed items with all that may belong to them."""
        found = set(names)
        fresh = list(found)
        while fresh:
            name = fresh.pop()
            for other in self.changed:
                if other not in found and self._belong(name, other):
                    found.add(other)
                    fresh.append(other)
        return found

    def without(self, left: Collection[str]) -> str:
        """The newer text with some of the changed items as they were."""
        texts = []
        words = [[item.plain for item in items] for items in (self.old, self.new)]
        matcher = difflib.SequenceMatcher(None, words[0], words[1], autojunk=False)
        for kind, a, b, c, d in matcher.get_opcodes():
            before, after = self.old[a:b], self.new[c:d]
            if kind == "equal" or not any(_name(item) in left for item in (*before, *after)):
                texts += [item.text for item in after]
            else:
                texts += self._mixed(before, after, left)
        return "".join(texts)

    def _mixed(self, before: Sequence[Item], after: Sequence[Item], left: Collection[str]) -> Iterable[str]:
        """A run that differs: what is left out from the older one, in the place of its namesake."""
        waiting = [item for item in before if _name(item) in left]
        for item in after:
            if _name(item) not in left:
                yield item.text
                continue
            while waiting and _name(item) in map(_name, waiting):
                first = waiting.pop(0)
                yield first.text
                if _name(first) == _name(item):
                    break
        yield from (item.text for item in waiting)

    def _belong(self, one: str, other: str) -> bool:
        items = [[*self._before.get(name, ()), *self._after.get(name, ())] for name in (one, other)]
        if any(other in item.mentions for item in items[0]) or any(one in item.mentions for item in items[1]):
            return True
        return bool(self._marks(one) & self._marks(other))

    def _marks(self, name: str) -> set[str]:
        """What differing lines of an item mention that can tie it to others: a READ_ONCE() around it does not."""
        counts = [_mentioned("\n".join(one[2:] for one in self._lines[name] if one[0] == sign)) for sign in "-+"]
        changed = {word for word in counts[0].keys() | counts[1].keys() if counts[0][word] != counts[1][word]}
        own = {word for word in changed if word in self._before or word in self._after}
        members = {word[1:] for word in changed if word.startswith(".")}
        return members | own | {word for word in counts[1] if not word.startswith(".") and word not in self._known}

    def _text(self, name: str) -> str:
        """The lines of an item that differ."""
        return "\n".join(line[2:] for line in self._lines[name])

    def _differing(self, name: str) -> list[str]:
        """Those, each behind a sign that tells whether it is gone or new."""
        texts = ["".join(item.text for item in items.get(name, ())) for items in (self._before, self._after)]
        found = difflib.ndiff(texts[0].splitlines(), texts[1].splitlines())
        return [line for line in found if line[:1] in "+-"]


def build_in_part(tree: KernelTree, new: Path, files: Sequence[str], image: Image, output: Path, **options: Any) -> Fix:
    """Make a patch object of what is left of a fix without what is refused; `Fix.left_out` says what is not in it.

    Args:
        tree: the running kernel's source, prepared.
        new: the root of the newer source.
        files: C files, relative to both.
        image: the running kernel.
        output: the object to write.
        options: as for `build_fix`.

    Raises:
        RefusedError: nothing remains, or what is in the way can't be told from the rest: the refusals of the whole fix.
        BuildError: a file is not there, or does not compile.
    """
    changed = {file: ChangedFile(*(_text(root / file) for root in (tree.source, new))) for file in files}
    carried = _Carriers(tree, new, files)
    told, in_padding = options.pop("write_data", ()), options.pop("in_padding", NOWHERE)
    left: list[LeftOut] = []
    first: RefusedError | None = None
    for _ in range(_MOST_ROUNDS):
        names = {one.name for one in left}
        try:
            newer = _mixed(new, changed, left) if left else new
            overlay = take_newer(tree, newer, files, image, options.get("confined", ()), in_padding)
            data = [name for name in told if name not in names]
            fix = build_fix(tree, overlay, image, output, write_data=data, **options)
            return replace(fix, left_out=left)
        except (RefusedError, BuildError) as error:
            if first is None and not isinstance(error, RefusedError):
                raise
            more = leave_out(changed, error.refusals, left, carried) if isinstance(error, RefusedError) else []
            first = first or (error if isinstance(error, RefusedError) else None)
            left += more
            if not more:
                break
    assert first is not None
    raise first


class _Carriers:
    """Tells the inline functions and macros of newer headers that mention a name, as a structure's member.

    Args:
        tree: the running kernel's source.
        new: the root of the newer source.
        files: C files, relative to both.
    """

    def __init__(self, tree: KernelTree, new: Path, files: Sequence[str]) -> None:
        self._tree, self._new, self._files = tree, new, files

    def __call__(self, name: str) -> set[str]:
        return carriers(self._items, {name})

    @cached_property
    def _items(self) -> list[Item]:
        headers = {header for file in self._files for header in included_headers(self._tree, file, self._new)}
        texts = [[read_text(root / header) for root in (self._tree.source, self._new)] for header in sorted(headers)]
        return [item for old, new in texts if old != new for item in split_items(new)]


def leave_out(
    files: Mapping[str, ChangedFile],
    refusals: Iterable[Refusal],
    left: Sequence[LeftOut],
    carried: Callable[[str], Collection[str]] = lambda _name: (),
) -> list[LeftOut]:
    """What else has to stay old because of refusals; nothing where none of the files' items is to blame.

    Args:
        files: the C files of the fix.
        refusals: what was in the way.
        left: what was left out before.
        carried: tells which inline functions and macros of newer headers mention a member. Where none of the items
            mentions it itself, those are to blame that mention one of these.
    """
    found = {(one.file, one.name): one for one in left}
    for refusal in refusals:
        reason = f"{refusal.id}: {refusal.subject} {refusal.reason}"
        for file, changed in files.items():
            asked = {refusal.member or refusal.subject}
            named = changed.blamed(refusal) or changed.mentioning(through := carried(*asked)) or changed.having(asked)
            named = named or changed.having(through)
            blamed = [name for name in named if (file, name) not in found]
            found |= {(file, name): LeftOut(file, name, reason) for name in blamed}
            for tied in changed.together(blamed):
                found.setdefault((file, tied), LeftOut(file, tied, f"may belong to {', '.join(blamed)}"))
    for file, changed in files.items():
        names = {one.name for one in found.values() if one.file != file}
        for tied in changed.together(changed.mentioning(names)):
            found.setdefault((file, tied), LeftOut(file, tied, "may belong to what is left out of another file"))
    return list(found.values())[len(left) :]


def _mixed(new: Path, changed: Mapping[str, ChangedFile], left: Sequence[LeftOut]) -> Path:
    """The newer tree, with items of its files as they were."""
    with tempfile.TemporaryDirectory(prefix="oddtoc-part-") as folder:
        for file, versions in changed.items():
            place = Path(folder, file)
            place.parent.mkdir(parents=True, exist_ok=True)
            text = versions.without({one.name for one in left if one.file == file})
            place.write_text(text, encoding="utf-8", errors="surrogateescape")
        return take_files(new, Path(folder), list(changed)).root


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise BuildError(f"{path} can't be read: {error.strerror}") from error


def _mentioned(lines: str) -> Counter[str]:
    """Names in some lines, and how often; members with a dot before them, too."""
    plain = without_comments(lines)
    return Counter(f".{member}" for member in ACCESS.findall(plain)) + Counter(IDENTIFIER.findall(blank(plain)))


def _by_name(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.names and item.kind != "include":
            found[item.names[0]].append(item)
    return dict(found)


def _name(item: Item) -> str:
    return item.names[0] if item.names else ""


def _words(items: Sequence[Item] | None) -> list[str]:
    return [item.plain for item in items or ()]
