"""What items of files are to a fix: what has changed, what they declare for others, and what they include."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from oddtoc.build.items import Item, identifiers, without_comments

_STATIC = re.compile(r"(?:static|STATIC)\b")
"""The latter in XFS, where it is `static noinline` (fs/xfs/xfs_linux.h)."""


def needy_items(old: Sequence[Item], new: Sequence[Item]) -> list[Item]:
    """What has changed in a file, and what uses a name that the file has ceased to define."""
    words = {item.plain for item in old}
    defined = {name for item in new for name in item.names}
    gone = {name for item in old for name in item.names[:1] if name not in defined and item.kind != "include"}
    return [item for item in new if item.plain not in words or item.mentions & gone]


def is_prototype(item: Item) -> bool:
    """Whether an item declares a function that other files may call."""
    return item.kind == "declaration" and "(" in item.plain and not item.plain.startswith(("typedef", "static"))


def static_functions(items: Iterable[Item]) -> set[str]:
    """Those that a file defines for itself."""
    return {item.names[0] for item in items if item.kind == "function" and item.names and _STATIC.match(item.plain)}


def differing_names(old: Item | None, new: Item) -> set[str]:
    """Names in the lines of a structure that another version of it does not have."""
    known = set(map(str.strip, without_comments(old.text).splitlines())) if old else set()
    differing = [line for line in without_comments(new.text).splitlines() if line.strip() not in known]
    return {name for line in differing for name in identifiers(line)}


def is_constant(item: Item) -> bool:
    """Whether an item is a macro without parameters that stands for something."""
    words = item.plain.split(maxsplit=2)
    return item.kind == "define" and len(words) == 3 and "(" not in words[1]


def included(item: Item) -> str:
    """The file that a line includes, as it is named there, without dots before it."""
    name = item.text.split("include", 1)[1].strip()[1:]
    return re.sub(r"^(?:\.{1,2}/)+", "", name.replace(">", '"').split('"', 1)[0])
