"""What a scan answers: four tables, with what each column means.

The same names are used in every output: CSV, JSON, Parquet, the page, and the rows that Python gets.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What the values of a column are."""

    TEXT = "text"
    LABEL = "label"
    """One of a few words."""
    ADDRESS = "address"
    """A virtual address, in a file that is not linked yet the offset in the file; 0 in memory means none."""
    NUMBER = "number"


class Field(NamedTuple):
    """A column: the kind of its values, and what they mean, for readers."""

    kind: Kind
    meaning: str


def _fields(kind: Kind, meanings: dict[str, str]) -> dict[str, Field]:
    return {name: Field(kind, meaning) for name, meaning in meanings.items()}


_IMAGE: Final = {"image": Field(Kind.LABEL, "the file it stands in")}

OBSTACLES: Final = {
    "none": "it can be redirected",
    "init": "it is freed once the kernel has booted, or the module is loaded",
    "ifunc": "its address is that of a resolver, not of the function",
    "unknown entry": "the words at its entries fit no known shape",
    "no site": "it has no ftrace site: the compiler was told not to trace it",
    "too short": "the word that would become the branch is outside of it",
    "loop": "the word that would become the branch is jumped to from inside",
    "jump table": "the word that would become the branch may be in its jump table",
    "jump label": "the word that would become the branch is a jump label, which the kernel rewrites",
}
"""Why a function can't be redirected -> the same in words. Rules of kernel/place.py; programs have no ftrace sites:
there the word at the local entry becomes the branch."""

IMAGES: Final = {
    "image": Field(Kind.TEXT, "its path, with the member behind a colon when it was in a package"),
    "kind": Field(Kind.LABEL, "kernel, module, program, library or object"),
    "build_id": Field(Kind.TEXT, "the GNU build id"),
    "site_kind": Field(Kind.LABEL, "how ftrace attaches: mprofile, patchable, out of line, or none"),
    **_fields(
        Kind.NUMBER,
        {
            "bytes": "size of the file",
            "instructions": "words in executable sections",
            "functions": "names of functions in them",
            "two_entries": "functions with a global and a local entry",
            "marks": "functions whose global entry can be marked",
            "sites": "ftrace sites",
            "patchable": "functions that can be redirected",
            **{f"not_{name.replace(' ', '_')}": why for name, why in OBSTACLES.items() if name != "none"},
            "sibling_b": "sibling calls by b",
            "sibling_bc": "sibling calls by a conditional branch",
            "sibling_bctr": "jumps through r12 by bctr, as to a function through a pointer",
            "to_local": "sibling calls to a local entry behind a TOC set-up",
            "to_global": "sibling calls to a global entry, also that of a function without another",
            "to_middle": "jumps into the middle of another function",
            "to_outside": "sibling calls to another object (modules)",
            "jump_tables": "jumps by bctr through any other register, as through a table",
            "stubs": "the linker's call stubs",
            "indirect_calls": "calls by bctrl",
            "without_reload": "of those, without ld r2,24(r1) behind",
            "holes": "gaps of 64 bytes or more between functions that hold nothing",
            "hole_bytes": "bytes in them",
            "text_room": "bytes of unused executable memory outside of the sections",
            "data_room": "bytes of unused writable memory",
        },
    ),
}

FUNCTIONS: Final = {
    **_IMAGE,
    "function": Field(Kind.TEXT, "its name"),
    "section": Field(Kind.LABEL, "the section it stands in"),
    "address": Field(Kind.ADDRESS, "its global entry"),
    "local": Field(Kind.NUMBER, "bytes from the global to the local entry"),
    "size": Field(Kind.NUMBER, "bytes, 0 when the image does not tell"),
    "toc_setup": Field(Kind.LABEL, "how r2 is computed at the global entry"),
    "mark": Field(Kind.ADDRESS, "the word that can be made odd"),
    "site": Field(Kind.ADDRESS, "its ftrace site"),
    "branch": Field(Kind.ADDRESS, "the word that becomes the branch"),
    "obstacle": Field(Kind.LABEL, "why it can't be redirected"),
    "siblings_out": Field(Kind.NUMBER, "sibling calls that it ends in"),
    "siblings_in": Field(Kind.NUMBER, "sibling calls that lead to it"),
    "indirect_calls": Field(Kind.NUMBER, "bctrl in it"),
    "without_reload": Field(Kind.NUMBER, "of those, without ld r2,24(r1) behind"),
}

JUMPS: Final = {
    **_IMAGE,
    "function": Field(Kind.TEXT, "the function that jumps; empty outside of any"),
    "section": Field(Kind.LABEL, "the section it stands in"),
    "address": Field(Kind.ADDRESS, "the branch"),
    "kind": Field(Kind.LABEL, "b, bc, bctr, or bctrl (those without TOC reload)"),
    "to": Field(Kind.LABEL, "local, global, middle, outside, pointer (r12), table (any other register), stub"),
    "target": Field(Kind.ADDRESS, "where it goes, if the word tells"),
    "callee": Field(Kind.TEXT, "the function there"),
}

ROOM: Final = {
    **_IMAGE,
    "use": Field(Kind.LABEL, "what it could hold, or holds already"),
    "section": Field(Kind.LABEL, "the section it is in or behind"),
    "start": Field(Kind.ADDRESS, "its first byte"),
    "end": Field(Kind.ADDRESS, "the first byte behind"),
    "size": Field(Kind.NUMBER, "bytes"),
}

COMPARISON: Final = {
    "image": Field(Kind.LABEL, "the image that both have"),
    "function": Field(Kind.TEXT, "its name"),
    "state": Field(Kind.LABEL, "same, changed, only in A, only in B"),
    "size_a": Field(Kind.NUMBER, "bytes in A"),
    "size_b": Field(Kind.NUMBER, "bytes in B"),
    "obstacle_a": Field(Kind.LABEL, "why it can't be redirected in A"),
    "obstacle_b": Field(Kind.LABEL, "why it can't be redirected in B"),
}

TABLES: Final[dict[str, dict[str, Field]]] = {
    "images": IMAGES,
    "functions": FUNCTIONS,
    "jumps": JUMPS,
    "room": ROOM,
    "comparison": COMPARISON,
}
