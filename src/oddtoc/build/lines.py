"""Line numbers in compiled code: whether what a patch takes of its units tells one.

Units are compared with the same number wherever the source asks for its line (`LINE`), so that no function differs for
having moved. Few functions tell their lines: where none of those that a patch takes does, what was compared is what the
patch is made of, and nothing has to be compiled again.
"""

from __future__ import annotations

from typing import Final

from oddtoc.build.objectfile import ObjectFile

LINE: Final = 31743
"""Stands for every line number. Lines are stored in 16 bits or more from bit 0 (`struct bug_entry`, `struct _ddebug`),
loaded by `li`, or text; no instruction but one with a constant ends in these 16 bits: branches, loads and stores have
other last bits (Power ISA 3.0B, I-form, B-form and DS-form)."""
_TOLD = (LINE.to_bytes(2, "little"), str(LINE).encode())


def tells_lines(taken: ObjectFile) -> bool:
    """Whether anything that was taken of units which were compiled with `LINE` may hold it."""
    return any(told in section.data for section in taken.sections for told in _TOLD)
