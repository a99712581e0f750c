"""What newer headers change and files outside of a fix share: such files go on with what they were compiled with.

A function whose prototype changes must change together with everybody who calls it: every file that names it, but for
those of other modules, or of the kernel proper, where nobody exports it (hfs and hfsplus have functions of one name). A
constant that changes, or that is new and that others look for, is an agreement between files: a fix that has one side
of it alone does nothing, or harm.
"""

from __future__ import annotations

import difflib
import re
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from oddtoc.build.beside import is_exported
from oddtoc.build.headers import MergedHeaders
from oddtoc.build.items import differing_lines, identifiers, read_text, split_items, without_comments
from oddtoc.build.members import accessed_members, changed_accesses
from oddtoc.build.overlay import Overlay
from oddtoc.build.padding import padding_refusals
from oddtoc.build.reach import included_sources, includers, sources_beside
from oddtoc.build.refusal import Refusal
from oddtoc.build.repointed import carriers, repointed_refusals
from oddtoc.build.segments import LAID_OUT
from oddtoc.build.tree import KernelTree
from oddtoc.image.elf import Image

_FOLDERS = ("include", "arch/powerpc", "block", "fs", "ipc", "kernel", "lib", "mm", "net", "security")
"""Where headers of the kernel proper are."""
_EXPORTED = re.compile(r"EXPORT\w*\s*\(([^;{}]*)")
"""The words of a macro that exports: rather too many."""
_WORD = re.compile(r"\w+|[^\w\s]")


def shared_refusals(
    tree: KernelTree, new: Path, overlay: Overlay, image: Image, confined: Collection[str] = ()
) -> Iterator[Refusal]:
    """What must not be taken from newer headers for the files of a fix alone.

    Args:
        tree: the running kernel's source.
        new: the root of the newer source.
        overlay: the files, with merged headers.
        image: the running kernel, which says what modules may call.
        confined: structures whose objects exist only while a function runs that is replaced.
    """
    merged = overlay.merged
    if merged is None:
        return
    declared, changed, fresh = merged.declared_functions(), merged.changed_constants(), merged.new_constants()
    others = sources_beside(tree, overlay.units) if declared or changed or fresh else []
    before = _users(tree.source, others, {*declared, *changed, *fresh})
    after = _users(new, others, fresh)
    exported = _exported(tree.source, overlay.units)
    exported |= {name for name in declared if is_exported(image, name)}
    callers = {
        name: before[name] if name in exported else _within_reach(tree, overlay.units, name, header, before[name])
        for name, (header, _) in declared.items()
    }
    yield from _prototypes(tree, new, overlay.units, declared, callers, exported)
    yield from repointed_refusals(tree, overlay.units, merged, confined, _users)
    yield from padding_refusals(tree, new, overlay, _users)
    yield from _structures_elsewhere(tree, overlay.units, merged.new_structures())
    for name, header in sorted(changed.items()):
        for file in sorted(before[name])[:1]:
            yield Refusal("constant", file, name, f"has another value in the newer {header}")
    for name in sorted(fresh):
        for file in sorted(after[name] - before[name]):
            yield Refusal("constant", file, name, "is new, and this file goes by it too")
        yield from _carried(tree, merged, others, name)


def _prototypes(
    tree: KernelTree,
    new: Path,
    files: Collection[str],
    declared: Mapping[str, tuple[str, bool]],
    users: Mapping[str, set[str]],
    exported: Collection[str],
) -> Iterator[Refusal]:
    """Functions that others call, or define, with what they took and returned before."""
    for name, (header, is_new) in sorted(declared.items()):
        if not is_new and name in exported and not _is_defined(tree.source, new, files, name):
            yield Refusal("prototype", header, name, "takes or returns something else, and modules may call it")
        for file in sorted(users[name]):
            if not is_new or _head(tree.source / file, name) != _head(new / file, name):
                yield Refusal("prototype", file, name, "takes or returns something else in the newer headers")


def _is_defined(old: Path, new: Path, files: Iterable[str], name: str) -> bool:
    """Whether one of some files defines a function in both trees: the new one lives beside it (oddtoc.build.beside)."""
    return any(_head(old / file, name) and _head(new / file, name) for file in files)


def _within_reach(tree: KernelTree, files: Collection[str], name: str, header: str, users: Collection[str]) -> set[str]:
    """Those of some files that mean the same function by its name as the files of a fix.

    What nobody exports is known within one module, or the kernel proper, alone: files of others that do not include the
    header have one of their own.
    """
    if name in _exported(tree.source, users):
        return set(users)
    modules = tree.module_units()
    included = included_sources(tree)

    def parts(file: str) -> set[str]:
        units = [unit for unit in (file, *included.get(file, ())) if tree.is_built(unit)]
        return {part for unit in units or [file] for part in modules.get(unit, "").split(":")}

    own = {part for file in files for part in parts(file)}
    others = {user for user in users if own.isdisjoint(parts(user))}
    return set(users) - (others - includers(tree, header) if others else set())


def _exported(root: Path, units: Collection[str]) -> set[str]:
    """All names that some units hand to a macro that exports."""
    return {name for unit in units for said in _EXPORTED.findall(read_text(root / unit)) for name in identifiers(said)}


def _structures_elsewhere(tree: KernelTree, files: Collection[str], taken: Mapping[str, str]) -> Iterator[Refusal]:
    """Structures that are new to the files, and that others of the old tree lay out otherwise."""
    if not taken:
        return
    pattern = rf"^(struct|union)[ \t]+({'|'.join(map(re.escape, taken))})\b[^;(]*\{{"
    headers = ["grep", "-rslE", "--include=*.h", "-e", pattern, *_FOLDERS]
    units = ["xargs", "-0", "grep", "-slE", "-e", pattern]
    others = "\0".join(sources_beside(tree, files))
    for command in (headers, units):
        done = subprocess.run(command, input=others.encode(), cwd=tree.source, capture_output=True, check=False)
        for file in done.stdout.decode(errors="replace").splitlines():
            for item in split_items((tree.source / file).read_text(errors="replace")):
                name = next((name for name in item.names if name in taken and item.kind in LAID_OUT), None)
                if name and item.plain != taken[name]:
                    yield Refusal("layout", file, name, "is laid out otherwise here")


def carriers_to_keep(tree: KernelTree, new: Path, overlay: Overlay, refusals: Collection[Refusal]) -> set[str]:
    """Inline functions and macros that stay old, as they do in all other files: a constant was refused for them alone.

    A file that calls `signal_pending()` need not have the version that asks for a new flag, where it does not set that
    itself. If it does, the constant is refused again. Nothing is kept where the inline function changes in more than
    what it asks of the constant, or where lines that differ in it and in the file access the same members: they may be
    one change.

    Args:
        tree: the running kernel's source.
        new: the root of the newer source.
        overlay: the files, with merged headers.
        refusals: what `shared_refusals` says of them.
    """
    if overlay.merged is None or any(refusal.id != "constant" for refusal in refusals):
        return set()
    accessed = {
        m for file in overlay.units for m in changed_accesses(read_text(tree.source / file), read_text(new / file))
    }
    constants = {refusal.subject for refusal in refusals}
    return {
        item.names[0]
        for _, before, item in overlay.merged.carriers(constants)
        if accessed.isdisjoint(accessed_members(differing_lines(before.text, item.text)))
        and all(not constants.isdisjoint(run) for run in _new_words(before.text, item.text))
    }


def inlines_to_keep(tree: KernelTree, new: Path, overlay: Overlay, members: Collection[str]) -> set[str]:
    """Inline functions and macros that stay old, as they do in all other files: they access members that are lacking.

    The code around an unchanged call of `sk_page_frag()` can change without the version that asks for a new member.
    Nothing is kept that lines of the files mention which differ, or where functions of theirs come to access a member
    that also the inline function has come to treat otherwise: they may be one change.

    Args:
        tree: the running kernel's source.
        new: the root of the newer source.
        overlay: the files, with merged headers.
        members: what the running kernel's structures lack.
    """
    texts = [(read_text(tree.source / file), read_text(new / file)) for file in overlay.units]
    mentioned = {name for old, newer in texts for name in identifiers(differing_lines(old, newer))}
    accessed = {member for old, newer in texts for member in changed_accesses(old, newer)}
    if overlay.merged is None or not mentioned.isdisjoint(members):
        return set()
    taken = list(overlay.merged.taken_items())
    about = carriers([item for _, item in taken], members)
    return {
        item.names[0]
        for _, before, item in overlay.merged.carriers({*about, *members})
        if item.names[0] in about - mentioned
        and accessed.isdisjoint(accessed_members(differing_lines(before.text, item.text)))
    }


def _new_words(old: str, new: str) -> Iterator[list[str]]:
    """Each run of words in which a text differs from an older one, as it is now."""
    before, after = (_WORD.findall(without_comments(text)) for text in (old, new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    yield from (after[c:d] for kind, _, _, c, d in matcher.get_opcodes() if kind != "equal")


def used_elsewhere(tree: KernelTree, overlay: Overlay, names: Collection[str]) -> bool:
    """Whether other files mention one of some names."""
    others = sources_beside(tree, overlay.units) if names else []
    return any(_users(tree.source, others, names).values())


def _carried(tree: KernelTree, merged: MergedHeaders, others: Collection[str], name: str) -> Iterator[Refusal]:
    """Inline functions and macros that go by a new constant, and that other files have been compiled with."""
    carriers = {
        change.name: change.header
        for change, item in (*merged.left_items(), *merged.taken_items())
        if not change.is_new and item.kind in ("function", "define") and name in item.mentions
    }
    for carrier, users in _users(tree.source, others, carriers).items():
        if users:
            yield Refusal("constant", carriers[carrier], name, f"is new, and {carrier} goes by it, in other files too")


def _users(root: Path, units: Collection[str], names: Collection[str]) -> dict[str, set[str]]:
    """Name -> those of some units that mention it, but for comments."""
    found: dict[str, set[str]] = defaultdict(set)
    if names and units:
        command = ["xargs", "-0", "grep", "-sHowF", "-e", "\n".join(sorted(names))]
        done = subprocess.run(command, input="\0".join(units).encode(), cwd=root, capture_output=True, check=False)
        for line in done.stdout.decode(errors="replace").splitlines():
            unit, _, name = line.rpartition(":")
            found[name].add(unit)
    return {name: {unit for unit in found[name] if name in _mentions(root / unit)} for name in names}


def _mentions(unit: Path) -> frozenset[str]:
    return identifiers(read_text(unit))


def _head(path: Path, name: str) -> str:
    """What a function's definition in a file says before its body; empty if there is none."""
    items = split_items(read_text(path))
    return next((item.plain.partition("{")[0] for item in items if item.kind == "function" and name in item.names), "")
