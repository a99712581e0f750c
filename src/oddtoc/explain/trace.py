"""What is recorded while a call runs: the state before each instruction, and where the call's parts are."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HEADER_SIZE = 32
"""Bytes of a frame header (ELFv2 ABI, 2.2.2.1)."""
HEADER_NAMES: Mapping[int, str] = {
    0: "back chain",
    8: "CR save",
    12: "reserved",
    16: "LR save",
    24: "TOC save",
}
"""Offset from r1 to the name of each word or doubleword of a frame header."""
_HEADER = struct.Struct("<QIIQQ")


class Call(StrEnum):
    """How a function is called."""

    LOCAL = "local"
    GLOBAL = "global"
    SIBLING = "sibling"


@dataclass(frozen=True)
class State:
    """Between two instructions.

    Attributes:
        registers: r0 to r31, pc, lr, ctr, cr, xer and msr by name.
        header: the header of the caller's frame, offset to value.
    """

    registers: Mapping[str, int]
    header: Mapping[int, int]

    @property
    def pc(self) -> int:
        """The address of the next instruction."""
        return self.registers["pc"]


@dataclass(frozen=True)
class Moment:
    """An instruction about to run.

    Attributes:
        state: before it.
        word: the instruction.
        skipped: it called something that ran unseen until it came back.
        inferred: nobody saw it run: it is known from what it left behind.
        through_stub: it is a call that went through a PLT stub, unseen.
    """

    state: State
    word: int
    skipped: bool = False
    inferred: bool = False
    through_stub: bool = False


@dataclass(frozen=True)
class Map:
    """Where the parts of a call are.

    Attributes:
        function: name of the patched function.
        global_entry, local_entry: its entries.
        behind: its word that is the branch.
        trampoline: start and end; both what the branch leads to where there is none.
        toc: TOC pointer of the patched object.
    """

    function: str
    global_entry: int
    local_entry: int
    behind: int
    trampoline: tuple[int, int]
    toc: int


@dataclass(frozen=True)
class Trace:
    """A call as it ran.

    Attributes:
        map: where its parts are.
        mechanism: its name.
        call: how the function was called.
        where: in words, where this ran.
        moments: one for each instruction, in order.
        end: the state behind the last.
        back: the address that the call returns to.
        stopped: why it ended early, in words; None where the caller went on.
    """

    map: Map
    mechanism: str
    call: Call
    where: str
    moments: tuple[Moment, ...]
    end: State
    back: int
    stopped: str | None = None


def read_header(data: bytes) -> dict[int, int]:
    """A frame header from its 32 bytes."""
    return dict(zip(HEADER_NAMES, _HEADER.unpack(data), strict=True))
