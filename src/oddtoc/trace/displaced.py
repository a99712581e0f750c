"""The word that a trace's branch displaces, at another place: words that do the same there."""

from __future__ import annotations

from oddtoc import isa

_ADDPCIS = 19 << 26 | 2 << 1
_ADDPCIS_MASK = 0xFC00003E
_CONDITIONAL = 16
_TO_REGISTER = 19
_OVER_THE_NEXT = 8
_PREFIX = 1


def can_move(word: int) -> bool:
    """Whether `lines` can do what a word does: no call, nothing that asks where it stands."""
    code = isa.opcode(word)
    calls = code in (18, _CONDITIONAL) and isa.is_link(word)
    calls |= code == _TO_REGISTER and word >> 1 & 0x3FF in (16, 528, 560) and isa.is_link(word)
    absolute = code in (18, _CONDITIONAL) and not isa.is_branch(word)
    return not (calls or absolute or code == _PREFIX or word & _ADDPCIS_MASK == _ADDPCIS)


def lines(word: int, address: int, number: int) -> tuple[list[str], dict[str, int]]:
    """Assembly that does what a word does, and goes on behind it.

    Args:
        word: one that `can_move`.
        address: where it stands.
        number: for the names of symbols.

    Returns:
        The lines, and the addresses of symbols in them.
    """
    resume, target = f"resume_{number}", f"target_{number}"
    symbols = {resume: address + 4}
    if not isa.is_branch(word):
        return [f".long {word:#x}", f"b {resume}"], symbols
    symbols[target] = isa.branch_target(address, word) or 0
    if isa.opcode(word) == _CONDITIONAL:
        return [f".long {word & ~0xFFFC | _OVER_THE_NEXT:#x}", f"b {resume}", f"b {target}"], symbols
    return [f"b {target}"], {target: symbols[target]}
