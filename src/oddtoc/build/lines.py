"""Line numbers in compiled code: whether what a patch takes of its units depends on them.

Units are compared with the same number wherever the source asks for its line (`LINE`), so that no function differs for
having moved. Few functions tell their lines: where none of those that a patch takes does, what was compared is what the
patch is made of, and nothing has to be compiled again. Where all callers of a function give it their lines, one number
for all makes the compiler clone it (`__ext4_ext_dirty()`): the clone takes fewer arguments than what runs.

BUG and WARN_ON tell theirs in a table alone. There they stay the source's, and the comparison passes them over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oddtoc.build.items import read_text
from oddtoc.build.objectfile import ObjectFile
from oddtoc.build.refusal import Refusal
from oddtoc.debian import cache_folder, keep_file
from oddtoc.link.unitobject import UnitObject

LINE: Final = 31743
"""Stands for every line number. Lines are stored in 16 bits or more from bit 0 (`struct _ddebug`), loaded by `li`, or
text. Hardly another instruction ends in these 16 bits: with the last two, branches link and go to absolute addresses,
and DS-form has no load or store (Power ISA 3.0B, 1.6.1). Where one does, a unit is compiled once more."""
_TOLD = (LINE.to_bytes(2, "little"), str(LINE).encode())
_CLONE = re.compile(r"\.(constprop|isra|part)\.")
_BUG_HEADER = "arch/powerpc/include/asm/bug.h"
_ASKED, _COMPILERS = "__LINE__", "__builtin_LINE()"


def bug_lines(root: Path) -> tuple[str, ...]:
    """Flags with which the table of BUG and WARN_ON has the source's lines although `__LINE__` is one number.

    The header that makes its entries is taken from the cache, where it asks the compiler: to the assembler, which gets
    them, both are the same number.

    Args:
        root: of the tree whose header that is.
    """
    text = read_text(root / _BUG_HEADER)
    if _ASKED not in text:
        return ()
    folder = cache_folder() / "lines" / hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    asking = text.replace(_ASKED, _COMPILERS)
    keep_file(folder / "asm" / "bug.h", lambda: asking.encode(errors="surrogateescape"))
    return (f"-I{folder}",)


def depends_on_lines(taken: ObjectFile) -> bool:
    """Whether anything that was taken of a unit which was compiled with `LINE` may be otherwise with line numbers."""
    if any(_CLONE.search(symbol.name) for symbol in taken.symbols):
        return True
    return any(told in section.data for section in taken.sections for told in _TOLD)


def lacks_own_function(unit: UnitObject, refusals: Iterable[Refusal]) -> bool:
    """Whether a function of such a unit does not run, as refusals say: with line numbers it may be none, or another."""
    own = {function.name for function in unit.functions}
    return any(refusal.subject in own for refusal in refusals)
