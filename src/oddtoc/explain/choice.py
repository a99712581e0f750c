"""What the user asked for, held against the patch object."""

from __future__ import annotations

from oddtoc.errors import PatchError
from oddtoc.explain.trace import Map
from oddtoc.image.entry import Entry
from oddtoc.link.object import PatchObject, Replacement
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
    patch: PatchObject, replacement: Replacement, entry: Entry, mechanism: str, behind: int, target: int, toc: int
) -> Map:
    """Where the parts of a call are in a target.

    Args:
        patch, replacement: the object, and its record of the function.
        entry: of the function, in the target.
        mechanism: that of the function, by name.
        behind: address of the word that is the branch.
        target: where that goes.
        toc: TOC pointer of the patched object.

    Raises:
        PatchError: the object has no trampoline of that mechanism.
    """
    uses_toc = replacement.symbol.local_offset > 0
    template = by_name(mechanism).template(entry, replacement_uses_toc=uses_toc)
    size = len(patch.template(template).data) if template else 0
    return Map(entry.function, entry.global_entry, entry.local_entry, behind, (target, target + size), toc)
