"""System calls that a process makes for us: one of its threads is lent for each, while all others run."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from oddtoc.errors import RoomError, TargetError
from oddtoc.isa import is_link, opcode
from oddtoc.process.maps import Mapping
from oddtoc.process.room import CODE_SIZE, DATA_SIZE, JOURNAL_SIZE, Area, ReadMany
from oddtoc.target.process import ProcessTarget

_SC = 0x44000002
_CONDITIONAL = 16
"""Primary opcode of bc (Power ISA 3.1, book I, 2.4)."""
_MMAP = 90
"""arch/powerpc/kernel/syscalls/syscall.tbl"""
_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE, _ANONYMOUS, _FIXED_NOREPLACE = 0x02, 0x20, 0x100000
_SUMMARY_OVERFLOW = 1 << 28


def find_call(mappings: Sequence[Mapping], read_many: ReadMany) -> int:
    """The address of a system call instruction, with a conditional branch behind it: the vdso has some.

    The thread that is lent may execute the next instruction too, which behind others (that of the signal trampoline)
    is none.

    Args:
        mappings: of the process.
        read_many: reads its memory.

    Raises:
        TargetError: it has none, or there is no vdso.
    """
    for mapping in mappings:
        if mapping.path == "[vdso]":
            words = np.frombuffer(read_many([(mapping.span.start, mapping.span.size)])[0], "<u4")
            is_followed = (opcode(words[1:]) == _CONDITIONAL) & ~is_link(words[1:])
            for place in np.flatnonzero((words[:-1] == _SC) & is_followed).tolist():
                return mapping.span.start + 4 * int(place)
    raise TargetError("the process has no vdso with a system call in it", advice="is it booted with vdso=0?")


def map_area(area: Area, target: ProcessTarget, call: int) -> None:
    """Map an area, and write its header: it is one from then on, and the process leaves it alone.

    Args:
        area: as planned.
        target: the process.
        call: address of a system call instruction.

    Raises:
        RoomError: the kernel refuses, or something else is there by now.
    """
    if area.owner:
        _map(area.start, CODE_SIZE, _READ | _EXECUTE, target, call)
        _map(area.start + CODE_SIZE, DATA_SIZE, _READ | _WRITE, target, call)
    else:
        _map(area.start, JOURNAL_SIZE, _READ, target, call)
    target.write_many([(area.start, area.header)])


def _map(place: int, size: int, protection: int, target: ProcessTarget, call: int) -> None:
    arguments = (place, size, protection, _PRIVATE | _ANONYMOUS | _FIXED_NOREPLACE, -1, 0)
    values = {"pc": call, "r0": _MMAP, **{f"r{3 + n}": value for n, value in enumerate(arguments)}}
    after = target.lend(values)
    result = after.registers["r3"]
    if after.registers["cr"] & _SUMMARY_OVERFLOW:
        raise RoomError(
            f"the process can't map {size} bytes at {place:#x}: {os.strerror(result)}",
            address=place,
            advice="its limits or its kernel are in the way; nothing was changed",
        )
    if result != place:
        raise RoomError(f"the process has mapped {size} bytes at {result:#x} and not at {place:#x}", address=result)
