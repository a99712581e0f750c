"""What lets exceptions, thread cancellation and backtraces of a process pass through a payload: its .eh_frame.

The compiler makes the entries of the replacements. Those of what stands around them are made here: in a call that has a
return helper, the helper's address is where the caller's belongs, and the entry of the trampoline says where that is
found (mechanism/storage). Formats: Linux Standard Base 5, "Exception Frames", and DWARF 5, 6.4 and 2.5; numbers of
registers: ELFv2 ABI, 2.4, with LR 65.

An unwinder looks at the call that a return address stands behind, so the state at the `bl` of a trampoline is that of
its helper. It knows the frame that catches an exception again by its CFA (libgcc, `uw_identify_context`), and a helper
has no frame of its own: for its caller to have another CFA than the helper, that is said to be 16 bytes above r1, which
is less than any frame has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oddtoc import isa
from oddtoc.link.object import PatchObject, Section
from oddtoc.mechanism.parts import CR4, SLOT

FRAMES = ".eh_frame"
HEADER = struct.Struct("<4BQ")
"""Of .eh_frame_hdr: version 1; how the next field, the count and the table are encoded; where .eh_frame is."""
_ABSOLUTE, _OMITTED, _RELATIVE = 0x04, 0xFF, 0x1B
_R1, _R2, _LR = 1, 2, 65
_CFA_IS_R1 = bytes((0x0C, _R1, 0))
_ADVANCE, _VALUE, _RESTORE, _CFA_OFFSET = 0x02, 0x16, 0x06, 0x0E
_CONST8, _BY_R1, _DEREF, _DEREF_SIZE, _CONST4, _XOR, _MINUS = 0x0E, 0x71, 0x06, 0x94, 0x0C, 0x27, 0x1C
_ABOVE = 16
_TOC_SAVE = bytes((_BY_R1, 24, _DEREF))
_SIGN = struct.pack("<BI", _CONST4, 1 << 31)
_FROM_CR4 = _TOC_SAVE + bytes((_BY_R1, 12, _DEREF_SIZE, 4)) + _SIGN + bytes((_XOR,)) + _SIGN + bytes((_MINUS, _MINUS))
"""The return address, from r2 in 24(r1) and the signed word in 12(r1)."""
_END = bytes(4)


@dataclass(frozen=True)
class Stretch:
    """Code that the compiler has not made: where it stands, its bytes, and the storage of the helper in it, if any."""

    start: int
    code: bytes
    storage: str = ""


def frames_of(patch: PatchObject) -> Section | None:
    """The unwind information that a patch object brings; None for one of a kernel's, or an older one."""
    found = (section for section in patch.sections.values() if section.name == FRAMES and section.data)
    return next(found, None)


def header(frames: int) -> bytes:
    """An .eh_frame_hdr without a table, for entries at an address."""
    return HEADER.pack(1, _ABSOLUTE, _OMITTED, _OMITTED, frames)


def entries(start: int, stretches: Sequence[Stretch], toc: int) -> bytes:
    """The entries for some code and the end of all entries; as long for any addresses.

    Args:
        start: address that they are for.
        stretches: the code; what stands in two of them is told by the first.
        toc: the TOC pointer that helpers restore.
    """
    common = _entry(0, struct.pack("<B3s", 1, b"zR") + bytes((4, 0x78, _LR, 1, _RELATIVE)) + _CFA_IS_R1)
    content = common
    for one in stretches:
        back = len(content) + 4
        place = start + len(content) + 8
        body = struct.pack("<iIB", one.start - place, len(one.code), 0) + b"".join(_rules(one, toc))
        content += _entry(back, body)
    return content + _END


def _entry(back: int, body: bytes) -> bytes:
    """One entry: its length, the distance to its CIE (0 for a CIE), and what is in it, filled up with DW_CFA_nop."""
    padded = body.ljust(-(-len(body) // 8) * 8, b"\0")
    return struct.pack("<II", 4 + len(padded), back) + padded


def _rules(one: Stretch, toc: int) -> Iterable[bytes]:
    """Where LR and r2 of its caller are, from the call in a trampoline on; before it they are as a call has them."""
    words = [word for (word,) in struct.iter_unpack("<I", one.code)]
    helper = next((n for n, word in enumerate(words) if word == isa.TOC_RELOAD and n and isa.is_link(words[n - 1])), 0)
    if not helper or one.storage not in _IN_LR_FROM:
        return
    in_slot = one.storage == SLOT.name
    yield bytes((_ADVANCE, helper - 1, _CFA_OFFSET, _ABOVE))
    yield _is(_R1, bytes((_BY_R1, 0)))
    yield _is(_LR, _TOC_SAVE if in_slot else _FROM_CR4)
    yield _is(_R2, struct.pack("<BQ", _CONST8, toc) if in_slot else _TOC_SAVE)
    behind = words.index(isa.BLR, helper) + 1
    in_lr = helper + _IN_LR_FROM[one.storage]
    yield bytes((_ADVANCE, in_lr - helper + 1, _RESTORE, _LR))
    yield bytes((_ADVANCE, behind - in_lr, _RESTORE, _R2, _RESTORE, _R1, _CFA_OFFSET, 0))


def _is(register: int, expression: bytes) -> bytes:
    """What a register was in the caller."""
    return bytes((_VALUE, register, len(expression))) + expression


_IN_LR_FROM = {SLOT.name: 2, CR4.name: 4}
"""Storage -> which word of its helper is the first that finds the return address in LR again."""
