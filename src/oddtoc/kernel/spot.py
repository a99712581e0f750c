"""Spots of a running kernel that a name alone does not tell, written as names of undefined symbols in a patch object.

``name:.data+0x40`` is 0x40 bytes into the section .data of the module that the patch changes, wherever that is loaded;
``name:vmlinux+0xc000000000001000`` is at this address of the kernel proper. `name` is for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KERNEL_PROPER = "vmlinux"
_FORM = re.compile(r"(.*):([^:+]+)\+(0x[0-9a-f]{1,16})")


@dataclass(frozen=True)
class Spot:
    """A place in a section of a module, or in the kernel proper.

    Attributes:
        name: of what is there.
        section: of the module; `vmlinux` for the kernel proper.
        offset: bytes into the section; the address in the kernel proper.
    """

    name: str
    section: str
    offset: int

    def __str__(self) -> str:
        return f"{self.name}:{self.section}+{self.offset:#x}"


def read_spot(text: str) -> Spot | None:
    """The spot that a symbol's name stands for; None for a plain name."""
    found = _FORM.fullmatch(text)
    return Spot(found[1], found[2], int(found[3], 16)) if found else None
