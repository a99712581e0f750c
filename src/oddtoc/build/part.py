"""A part of a fix: what is in the way of a patch is left out, with everything that may belong to it.

Two versions of a C file are compared item by item (oddtoc.build.items). Changed items belong together where one
mentions the other, or where the lines that differ in both mention a name of the file's top level, or one that the older
file does not have, or come to access, or cease to, the same member. An item that is refused stays old, and so does
all that belongs to it. Text tells no more than that: whether the rest of the fix is of use, or does harm, without what
is left out is for people to judge.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from oddtoc.build.fix import Fix, LeftOut, build_fix
from oddtoc.build.items import Item, identifiers, items_of, read_text, split_items, without_comments
from oddtoc.build.layouts import NOWHERE
from oddtoc.build.members import ACCESS, changed_members
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import take_files
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.repointed import carriers
from oddtoc.build.segments import structure_of
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import included_headers
from oddtoc.errors import BuildError
from oddtoc.image.elf import Image

_PART_OF_FUNCTION = re.compile(r"\.(part|constprop|isra|cold|localalias)\b.*")
_OF_FUNCTIONS = frozenset(("init-code", "no-site", "fidelity", "data-changed"))
"""Refusals whose subject is the item itself; those of others are mentioned by the items that are in the way."""
_MOST_ROUNDS = 6


class NotWholeError(RefusedError):
    """A part can be had at best that lacks something of a file that was to be taken as a whole."""


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
        """What differing lines of an item mention that can tie it to others; a READ_ONCE() around a member does not."""
        mentioned = identifiers(self._text(name))
        own = {other for other in mentioned if other in self._before or other in self._after}
        counts = [Counter(ACCESS.findall(without_comments(self._text(name, sign)))) for sign in "-+"]
        members = {word for word in counts[0].keys() | counts[1].keys() if counts[0][word] != counts[1][word]}
        return members | own | (mentioned - self._known)

    def _text(self, name: str, signs: str = "+-") -> str:
        """The lines of an item that differ: new ones, and ones that are gone."""
        return "\n".join(line[2:] for line in self._lines[name] if line[0] in signs)

    def _differing(self, name: str) -> list[str]:
        """Those, each behind a sign that tells whether it is gone or new."""
        texts = ["".join(item.text for item in items.get(name, ())) for items in (self._before, self._after)]
        found = difflib.ndiff(texts[0].splitlines(), texts[1].splitlines())
        return [line for line in found if line[:1] in "+-"]


def build_in_part(
    tree: KernelTree,
    new: Path,
    files: Sequence[str],
    image: Image,
    output: Path,
    *,
    refused: RefusedError | None = None,
    whole: Collection[str] = (),
    **options: Any,
) -> Fix:
    """Make a patch object of what is left of a fix without what is refused; `Fix.left_out` says what is not in it.

    Args:
        tree: the running kernel's source, prepared.
        new: the root of the newer source.
        files: C files, relative to both.
        image: the running kernel.
        output: the object to write.
        refused: what came of the whole fix, with the same options; it is found out if not given.
        whole: files of which nothing may be left out.
        options: as for `build_fix`.

    Raises:
        NotWholeError: something has to be left out of a file of which nothing may be.
        RefusedError: nothing remains, or what is in the way can't be told from the rest: the refusals of the whole fix.
        BuildError: a file is not there, or does not compile.
    """
    changed = {file: ChangedFile(*(_text(root / file) for root in (tree.source, new))) for file in files}
    headers = _headers(tree, new, files)
    told, in_padding = options.pop("write_data", ()), options.pop("in_padding", NOWHERE)
    left: list[LeftOut] = []
    first: RefusedError | None = None
    for _ in range(_MOST_ROUNDS):
        names = {one.name for one in left}
        try:
            if refused and not left:
                raise refused
            newer = _mixed(new, changed, left) if left else new
            overlay = take_newer(tree, newer, files, image, options.get("confined", ()), in_padding)
            data = [name for name in told if name not in names]
            fix = build_fix(tree, overlay, image, output, write_data=data, **options)
            return replace(fix, left_out=left)
        except (RefusedError, BuildError) as error:
            if first is None and not isinstance(error, RefusedError):
                raise
            more = leave_out(changed, error.refusals, left, headers) if isinstance(error, RefusedError) else []
            first = first or (error if isinstance(error, RefusedError) else None)
            left += more
            if not more or any(one.file in whole for one in more):
                break
    assert first is not None
    raise NotWholeError(first.refusals) if any(one.file in whole for one in left) else first


class Headers:
    """What a fix may come to through headers.

    Args:
        texts: both versions of each, the older one first.
    """

    def __init__(self, *texts: tuple[str, str]) -> None:
        self._items = [[item for text in texts for item in items_of(text[which])] for which in (0, 1)]
        # of several of one name, the first
        self._structures = [{structure_of(item): item.text for item in reversed(items)} for items in self._items]

    def carriers(self, name: str) -> set[str]:
        """The newer inline functions and macros that mention a name, or one another that does."""
        return carriers(self._items[1], {name})

    def touched(self, structure: str) -> set[str]:
        """The members of a structure that both versions have, in other words."""
        old, new = (found.get(structure, "") for found in self._structures)
        return changed_members(old, new) if old and new else set()


def _headers(tree: KernelTree, new: Path, files: Sequence[str]) -> Headers:
    """Those of some files that differ."""
    names = sorted({header for file in files for header in included_headers(tree, file, new)})
    texts = ((read_text(tree.source / name), read_text(new / name)) for name in names)
    return Headers(*((old, newer) for old, newer in texts if old != newer))


def leave_out(
    files: Mapping[str, ChangedFile], refusals: Iterable[Refusal], left: Sequence[LeftOut], headers: Headers
) -> list[LeftOut]:
    """What else has to stay old because of refusals; nothing where none of the files' items is to blame.

    Args:
        files: the C files of the fix.
        refusals: what was in the way.
        left: what was left out before.
        headers: of the files.
    """
    found = {(one.file, one.name): one for one in left}
    for (kind, subject), alike in groupby(refusals, lambda refusal: (refusal.id, refusal.subject)):
        together = list(alike)
        reason = f"{kind}: {subject} {together[0].reason}"
        for file, changed in files.items():
            known = {name for where, name in found if where == file}
            blamed = _to_blame(changed, together, headers, known)
            found |= {(file, name): LeftOut(file, name, reason) for name in blamed}
            for tied in changed.together(blamed):
                found.setdefault((file, tied), LeftOut(file, tied, f"may belong to {', '.join(blamed)}"))
    for file, changed in files.items():
        names = {one.name for one in found.values() if one.file != file}
        for tied in changed.together(changed.mentioning(names)):
            found.setdefault((file, tied), LeftOut(file, tied, "may belong to what is left out of another file"))
    return list(found.values())[len(left) :]


def _to_blame(changed: ChangedFile, refusals: Sequence[Refusal], headers: Headers, known: Collection[str]) -> list[str]:
    """The changed items that are to blame for refusals of one thing, but for some: those that say it most plainly."""
    asked = {refusal.member or refusal.subject for refusal in refusals}
    through = {name for one in asked for name in headers.carriers(one)}
    for names in (
        [name for refusal in refusals for name in changed.blamed(refusal)],
        changed.mentioning(through),
        changed.having(asked),
        changed.having(through),
        changed.having(headers.touched(refusals[0].subject)),
    ):
        if fresh := [name for name in dict.fromkeys(names) if name not in known]:
            return fresh
    return []


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
