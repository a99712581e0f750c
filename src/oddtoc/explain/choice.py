"""What the user asked for, held against the patch object."""

from __future__ import annotations

from oddtoc.errors import PatchError
from oddtoc.explain.trace import Map
from oddtoc.image.entry import Entry
from oddtoc.link.object import PatchObject, Replacement
from oddtoc.live.record import FunctionRecord
from oddtoc.live.running import Subject
from oddtoc.mechanism.catalog import by_name


def replacement_of(patch: PatchObject, function: str) -> Replacement:
    """The record of a function that the object replaces.

    Raises:
        PatchError: it replaces no such function; the error names those that it does.
    """
    for replacement in patch.replacements:
        if replacement.function == function:
            return replacement
    names = ", ".join(replacement.function for replacement in patch.replacements)
    raise PatchError(f"{patch.name} does not replace {function}", function=function, advice=f"it replaces: {names}")


def map_of(
    patch: PatchObject, replacement: Replacement, entry: Entry, redirected: FunctionRecord, subject: Subject
) -> Map:
    """Where the parts of a call are in a target.

    Args:
        patch, replacement: the object, and its record of the function.
        entry: of the function, in the target.
        redirected: the function's record in the target.
        subject: the image that it is a part of.

    Raises:
        PatchError: the object has no trampoline of that mechanism.
    """
    uses_toc = replacement.symbol.local_offset > 0
    template = by_name(redirected.mechanism).template(entry, replacement_uses_toc=uses_toc)
    size = len(patch.template(f"process.{template}" if subject.in_process else template).data) if template else 0
    start = redirected.target
    place = redirected.behind
    return Map(entry.function, entry.global_entry, entry.local_entry, place, (start, start + size), subject.toc)
