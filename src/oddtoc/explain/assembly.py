"""Words as assembly, for display only: by capstone where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from oddtoc import isa


def assembly(word: int, address: int, names: Mapping[int, str]) -> str:
    """A word in assembly, with the name of a branch's target where it has one; in hexadecimal where nobody can tell.

    Args:
        word: the instruction.
        address: where it stands.
        names: address to name.
    """
    text = _disassembled(word, address) or isa.describe(word, address) or f".long {word:#010x}"
    target = isa.branch_target(address, word)
    if target is None:
        return text
    head, separator, _ = text.rpartition("0x")
    near = f"{target - address:+#x}"
    return f"{head}{names.get(target) or f'{target:#x}' if isa.opcode(word) == 18 else near}" if separator else text


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
