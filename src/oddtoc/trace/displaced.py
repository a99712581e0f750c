"""The word that a trace's branch displaces, at another place: words that do the same there."""

from __future__ import annotations

from oddtoc import isa

_BRANCH, _CONDITIONAL, _TO_REGISTER = 18, 16, 19
_CALLS_BY_REGISTER = (16, 528, 560)
"""Extended opcodes of bclr, bcctr and bctar."""
_OVER_THE_NEXT = 8


def can_move(word: int) -> bool:
    """Whether `lines` can do what a word does: no call, nothing but a jump that asks where it stands."""
    code = isa.opcode(word)
    by_register = code == _TO_REGISTER and word >> 1 & 0x3FF in _CALLS_BY_REGISTER
    if code in (_BRANCH, _CONDITIONAL) or by_register:
        return not isa.is_link(word)
    return not isa.depends_on_place(word)


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
