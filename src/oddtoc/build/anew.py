"""Structures that may be laid out anew, as no object of the old layout is there when the functions are replaced."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from oddtoc.build.compile import tool
from oddtoc.build.onstack import is_in_header, only_on_stacks
from oddtoc.build.refusal import Refusal
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.errors import UsageError

Confined = Mapping[str, Sequence[str]]
"""Structure -> functions: all of its objects exist only while one of these runs."""
_ENTRY = re.compile(r"^ *<[0-9a-f]+><[0-9a-f]+>: ", re.MULTILINE)
"""What begins an entry in what readelf prints."""


def split_layouts(
    refusals: Sequence[Refusal], root: Path, old: Path, new: Path, confined: Collection[str]
) -> tuple[list[Refusal], list[str]]:
    """What remains in the way of a file, and the structures whose objects are on stacks (oddtoc.build.onstack).

    Args:
        refusals: all that was found.
        root: of the running kernel's source.
        old, new: the versions of the file.
        confined: structures whose objects exist only while functions run that are replaced; of one that a header
            names, other files may know the layout.
    """
    remaining, on_stacks = [], []
    for refusal in refusals:
        is_layout = refusal.id == "layout"
        if is_layout and only_on_stacks(refusal.subject, root, old, new):
            on_stacks.append(refusal.subject)
        elif not (is_layout and refusal.subject in confined and not is_in_header(refusal.subject, root)):
            remaining.append(refusal)
    return remaining, on_stacks


def check_confined(tree: KernelTree, confined: Confined, replaced: Mapping[str, str]) -> None:
    """Whether the functions that structures are confined to are replaced, so that nobody is in them.

    Args:
        tree: the running kernel's source.
        confined: structure -> functions.
        replaced: functions, each with the file that has it.

    Raises:
        UsageError: one is not, or it runs as a part of others too.
    """
    for structure, function in ((one, name) for one, names in confined.items() for name in names):
        told = f"objects of {structure} are to exist only while {function} runs"
        if function not in replaced:
            advice = "name the file too that defines the function"
            raise UsageError(f"{told}, and no file of the fix has that as a function of its own", advice=advice)
        if _is_inlined(compile_unit(tree, replaced[function], Flavour.DESCRIBED), function):
            advice = "tell a function that is larger, or that others call through a pointer"
            raise UsageError(f"{told}, and the compiler has put that into others", advice=advice)


def _is_inlined(unit: Path, function: str) -> bool:
    """Whether a function is a part of others in an object, told from its description (DW_AT_inline of DWARF)."""
    command = [tool("readelf"), "--wide", "--debug-dump=info", str(unit)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    described = [
        part for part in _ENTRY.split(printed) if re.search(rf"DW_AT_name .*\b{function}$", part, re.MULTILINE)
    ]
    return any("DW_AT_inline" in part for part in described)
