"""Why no patch can be made of a change: for programs to read, and with the way out for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from oddtoc.errors import OddtocError, Status

WAYS_OUT = {
    "fidelity": "what runs is not what this source and compiler make; read the difference, then --accept-difference",
    "not-running": "the file is part of nothing that runs there: is it the source of that kernel or module?",
    "init-code": "it ran at boot and is gone; bring its effect about with a callback (oddtoc_callbacks.h)",
    "no-site": "replace its callers instead: write the patch by hand, or change the callers in the diff too",
    "data-changed": "where nothing has copied the old value, have the new one written in place: --write-data NAME",
    "layout": "objects of the old layout exist; keep it and add members with shadow variables (oddtoc_shadow.h); "
    "where all of them are gone when a function returns, say so: --confined STRUCTURE=FUNCTION; where padding has room "
    "and is 0 in all of them: --in-padding STRUCTURE.MEMBER",
    "types": "take the headers of that very kernel (--old), or vmlinux.h, which is made of what the kernel itself says",
    "header": "the newer headers can't be had for this file alone; name all files that the fix consists of",
    "reach": "leave the header out of the diff, where the C files can do without, or give --most-units",
    "prototype": "name this file too, so that everything that calls or defines the function is part of the patch",
    "constant": "name the files that use it too, so that all of them go by the same value",
    "section": "the kernel would not look into a patch for this table; change the source so that it is not needed",
    "static-local": "which variable of the running kernel it is can't be told; give it a name of its own",
    "symbol": "name all files that the fix consists of in one diff",
    "elsewhere": "a module can use what is new in the kernel proper, or in a module that it needs; let it be there",
    "boot-only": "a patch would be empty: bring the effect about with a callback (oddtoc_callbacks.h)",
    "no-effect": "the change leaves the compiled code as it is",
}
"""Refusal id -> what to do about it."""


@dataclass(frozen=True)
class Refusal:
    """One thing that is in the way.

    Attributes:
        id: the kind, a key of `WAYS_OUT`.
        file: the C file, relative to the tree.
        subject: the function, data object, structure or section concerned.
        reason: in words.
        member: the member of the structure, or the constant of the enumeration, where there is one.
    """

    id: str
    file: str
    subject: str
    reason: str
    member: str = ""

    @property
    def way_out(self) -> str:
        """What can be done instead."""
        return WAYS_OUT[self.id]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "way_out": self.way_out}


class RefusedError(OddtocError):
    """No patch is made of a change. `refusals` says why, one for each thing in the way."""

    status = Status.REFUSED

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        super().__init__(f"{first.file}: {first.subject} {first.reason}{more}", advice=first.way_out)
        self.refusals = tuple(refusals)
