"""Members of structures that come to point to something else: no layout tells that, and objects exist that have them.

Sound in two cases, and only where every file that uses the member is part of the fix, and of one module or the kernel
proper, so that all of them change in one stop:

- The member points to functions that take something else. What objects hold are the entries of functions of the fix,
  whose new code the entries lead to, and everybody who calls through the member is replaced.
- Objects of the structure are confined: they exist only while a function runs (somebody knows that, and says so). It is
  among those that are replaced, so nobody is in it then, and no object is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from oddtoc.build.headers import MergedHeaders
from oddtoc.build.items import Item, items_of, read_text
from oddtoc.build.reach import FOR_ALL, includers
from oddtoc.build.refusal import Refusal
from oddtoc.build.tree import KernelTree

Users = Callable[[Path, Collection[str], Collection[str]], Mapping[str, set[str]]]


def repointed_refusals(
    tree: KernelTree, files: Collection[str], merged: MergedHeaders, confined: Collection[str], users: Users
) -> Iterator[Refusal]:
    """What is in the way of members that point to something else.

    Args:
        tree: the running kernel's source.
        files: of the fix.
        merged: the headers for them.
        confined: structures whose objects exist only while a function runs that is replaced.
        users: tells which of some units of a tree mention names.
    """
    for header, structure, member, is_code in merged.repointed_members():
        reason = f"has its member {member} point to something else"
        names = {member, structure} if structure in confined else {member}
        is_sound = (is_code or structure in confined) and not header.startswith(FOR_ALL)
        if not is_sound or len(set(map(tree.module_of, files))) > 1:
            yield Refusal("layout", header, structure, reason, member)
            continue
        for file in sorted(_used_by(tree, header, names, files, users)):
            yield Refusal("layout", file, structure, f"{reason}, and this file uses it too", member)


def _used_by(
    tree: KernelTree, header: str, names: Collection[str], files: Collection[str], users: Users
) -> Iterator[str]:
    """The other units that mention one of some names, or an inline function or a macro that does."""
    reached = includers(tree, header)
    headers = [path for path in sorted(reached) if path.endswith(".h")]
    items = [item for path in headers for item in items_of(read_text(tree.source / path))]
    known = set(names) | carriers(items, names)
    units = [unit for unit in (*tree.built_units(), *tree.module_units()) if unit in reached and unit not in files]
    yield from {unit for those in users(tree.source, units, known).values() for unit in those}


def carriers(items: Collection[Item], names: Collection[str]) -> set[str]:
    """The inline functions and macros among some items that mention one of some names, or one another that does."""
    own = [item for item in items if item.kind in ("function", "define") and item.names]
    known, size = set(names), -1
    while size < len(known):
        size = len(known)
        known |= {i.names[0] for i in own if not known.isdisjoint(i.mentions)}
    return known - set(names)
