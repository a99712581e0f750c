"""Words as assembly, for display only: by capstone where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from oddtoc import isa

NameOf = Callable[[int], tuple[str, int] | None]
"""Gives the function that an address is in, and how far behind its start, in bytes."""


def assembly(word: int, address: int, names: Mapping[int, str], name_of: NameOf) -> str:
    """A word in assembly, with the name of a branch's target where it has one; in hexadecimal where nobody can tell.

    Args:
        word: the instruction.
        address: where it stands.
        names: address to name.
        name_of: for all other addresses.
    """
    text = _disassembled(word, address) or isa.describe(word, address) or f".long {word:#010x}"
    target = isa.branch_target(address, word)
    if target is None:
        return text
    head, separator, _ = text.rpartition("0x")
    if not separator:
        return text
    if isa.opcode(word) != 18:
        return f"{head}{target - address:+#x}"
    function, offset = name_of(target) or (f"{target:#x}", 0)
    return head + (names.get(target) or (f"{function}+{offset:#x}" if offset else function))


def _disassembled(word: int, address: int) -> str:
    decoder = _decoder()
    if decoder is None:
        return ""
    for instruction in decoder.disasm(word.to_bytes(4, "little"), address):
        return f"{instruction.mnemonic} {instruction.op_str}".strip()
    return ""


@cache
def _decoder() -> Any:
    try:
        import capstone
    except ImportError:
        return None
    return capstone.Cs(capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN)
