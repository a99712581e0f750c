"""Files of a newer source tree, with headers that leave the running kernel's layouts as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from oddtoc.build.headers import MergedHeaders
from oddtoc.build.layouts import NOWHERE, InPadding
from oddtoc.build.members import accessed_members
from oddtoc.build.overlay import Overlay, take_files
from oddtoc.build.padding import padded_texts
from oddtoc.build.reach import MOST_UNITS, units_of
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.segments import LAID_OUT, differing_texts
from oddtoc.build.several import for_each
from oddtoc.build.shared import carriers_to_keep, inlines_to_keep, shared_refusals, used_elsewhere
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, check_unit, compile_unit, included_headers
from oddtoc.errors import BuildError
from oddtoc.image.elf import Image

_NO_MEMBER = re.compile(r"error: '(?:const |volatile )*(?:struct|union) (\w+)' has no member named '(\w+)'")
_ERROR_LINE = re.compile(r"error: (.*)\n?(.*)")
_ERROR = re.compile(r"error: (.*)")
_QUOTED = re.compile(r"'([^']*)'")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TYPES = frozenset(("const", "struct", "union", "void", "char", "short", "int", "long", "unsigned", "bool", "_Bool"))
_MOST_ROUNDS = 8


def take_newer(
    tree: KernelTree,
    new: Path,
    files: Sequence[str],
    image: Image,
    confined: Collection[str] = (),
    in_padding: InPadding = NOWHERE,
) -> Overlay:
    """The old tree with files of a newer one, and with what they need of its headers.

    Args:
        tree: the running kernel's source, prepared.
        new: the root of the newer source.
        files: relative to both. With headers among them, these are taken as they are, and all others are the old ones.
        image: the running kernel.
        confined: structures whose objects exist only while a function runs that is replaced (see `build_fix`).
        in_padding: structures, and new members of them that are to be in their padding (oddtoc.build.padding).

    Raises:
        UsageError: there is no such new member, or no room for it.
        RefusedError: they need other layouts, or functions with other parameters that other files know as they were.
        BuildError: a file is not there, or the compiler fails.
    """
    plain = take_files(tree.source, new, files)
    if plain.headers:
        return plain
    units = list(dict.fromkeys(unit for file in plain.units for unit in units_of(tree, file)))
    included = {header for unit in units for header in included_headers(tree, unit, new)}
    headers = differing_texts(tree.source, new, included)
    structures = MergedHeaders(tree.source, new, plain.units, headers).touched_structures()
    # of a member that has changed too, the comparison of layouts says what is in the way
    padded = padded_texts(tree, new, plain.units, headers, in_padding)
    padded = {name: text for name, text in padded.items() if name not in structures}
    members = {member for those in in_padding.values() for member in those}
    lacked: dict[tuple[str, str], str] = {}
    kept: set[str] = set()
    first: list[Refusal] = []
    failed: dict[str, str] = {}
    for _ in range(_MOST_ROUNDS):
        merged = MergedHeaders(tree.source, new, plain.units, headers, structures, kept, padded, members)
        overlay = replace(take_files(tree.source, new, files, merged), in_padding=in_padding)
        shared = partial(shared_refusals, tree, new, overlay, image, confined)
        failed, refusals = _tried(tree, overlay, units, shared, again=bool(failed))
        lacking = {member for output in failed.values() for _, member in _NO_MEMBER.findall(output)}
        spared = inlines_to_keep(tree, new, overlay, lacking) - kept if lacking else set()
        kept |= spared
        if spared:
            continue
        wanted = {name for output in failed.values() for name in _wanted(output, merged)} - structures - padded.keys()
        lacked |= {found: file for file, output in failed.items() for found in _NO_MEMBER.findall(output)}
        structures |= wanted
        if wanted:
            continue
        if not failed and not refusals:
            return overlay
        # what came of the newest versions of all says best what is in the way
        first = first or refusals
        spared = carriers_to_keep(tree, new, overlay, refusals) - kept
        if not spared:
            break
        kept |= spared
    raise RefusedError(first or _explain(failed, lacked, merged))


def take_diff(
    tree: KernelTree, overlay: Overlay, image: Image, in_padding: InPadding = NOWHERE, *, most: int = MOST_UNITS
) -> Overlay | None:
    """A changed tree whose structures are the running kernel's, for a diff that lays some out anew.

    Args:
        tree: the running kernel's source, prepared.
        overlay: what a diff makes of it.
        image: the running kernel.
        in_padding: see `take_newer`. Files that go by these members too are taken along.
        most: how many files are too many.

    Returns:
        None where that would leave more of the headers than structures, or where other files use what they change.

    Raises:
        UsageError, RefusedError: see `take_newer`.
    """
    units = list(overlay.units)
    if not units or not (overlay.headers or in_padding):
        return None
    while True:
        try:
            found = take_newer(tree, overlay.root, units, image, (), in_padding)
            break
        except RefusedError as error:
            concerned = (refusal.file for refusal in error.refusals if refusal.subject in in_padding)
            more = {file for file in concerned if file.endswith(".c")} - set(units)
            if not more or len(units) + len(more) > most:
                raise
            units += sorted(more)
    left = [change for change in found.left if change.kind not in LAID_OUT]
    shared = {change.name for change in found.taken if not change.is_new and change.kind not in LAID_OUT}
    if left or used_elsewhere(tree, found, shared):
        return None
    return replace(found, ignored=overlay.ignored)


def _tried(
    tree: KernelTree, overlay: Overlay, units: Sequence[str], shared: Callable[[], Iterable[Refusal]], *, again: bool
) -> tuple[dict[str, str], list[Refusal]]:
    """Unit -> what the compiler says, for those that do not compile; if there are none, what must not be shared.

    Objects are made where they will probably be wanted: of a single unit, and of all where nothing is in the way when
    they are tried again, as they nearly always compile then.

    Args:
        tree, overlay, units: what is tried.
        shared: finds what must not be shared.
        again: something was lacking before.
    """
    if again:
        refusals = list(shared())
        failed = _failures(tree, overlay, units, in_full=not refusals)
        return failed, [] if failed else refusals
    failed = _failures(tree, overlay, units, in_full=len(units) == 1)
    return failed, [] if failed else list(shared())


def _failures(tree: KernelTree, overlay: Overlay, units: Sequence[str], *, in_full: bool) -> dict[str, str]:
    """Unit -> what the compiler says, for those that do not compile; of the others objects are made if in full."""
    check = partial(compile_unit, flavour=Flavour.COMPARED) if in_full else check_unit

    def said(file: str) -> str:
        try:
            check(tree, file, root=overlay.root)
        except BuildError as error:
            if not _ERROR.search(error.output):
                raise
            return error.output
        return ""

    return {file: output for file, output in zip(units, for_each(units, said), strict=True) if output}


def _wanted(output: str, merged: MergedHeaders) -> set[str]:
    """The structures whose newer versions have what the compiler misses: their layouts may be the same."""
    named = {structure for structure, _ in _NO_MEMBER.findall(output)}
    missed = {name for line in _ERROR.findall(output) for name in _QUOTED.findall(line)[:1]}
    changes = merged.left_structures()
    found = {name for name, members in changes.items() if name in named or members & missed}
    other = None if found else _other_member(output, merged)
    return {other[0]} if other else found


def _other_member(output: str, merged: MergedHeaders) -> tuple[str, str] | None:
    """The structure and member, in other words in the newer headers, that the compiler's first error is about."""
    said, line = next(iter(_ERROR_LINE.findall(output)), ("", ""))
    for structure, members in merged.left_structures().items():
        for member in accessed_members(line) | accessed_members(" ".join(_QUOTED.findall(said))):
            if member in members:
                return structure, member
    return None


def _explain(failed: dict[str, str], lacked: dict[tuple[str, str], str], merged: MergedHeaders) -> list[Refusal]:
    """Why files do not compile with merged headers."""
    if lacked:
        return [
            Refusal("layout", file, structure, f"has no member {member} in the running kernel", member)
            for (structure, member), file in lacked.items()
        ]
    return [_explain_one(file, output, merged) for file, output in failed.items()]


def _explain_one(file: str, output: str, merged: MergedHeaders) -> Refusal:
    """A refusal for the first error: a member that the newer structure has in other words, or what was said."""
    if other := _other_member(output, merged):
        return Refusal("layout", file, other[0], f"has another {other[1]} in the running kernel", other[1])
    said, _ = next(iter(_ERROR_LINE.findall(output)))
    names = [name for text in _QUOTED.findall(said) for name in _NAME.findall(text) if name not in _TYPES]
    return Refusal("header", file, names[0] if names else file, f"does not compile: {said}")
