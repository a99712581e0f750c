"""Words of the Power ISA: fields, classification and construction.

Every function that takes a word takes a Python int or a numpy array of unsigned 32-bit words; addresses are virtual
addresses in bytes. Encodings are those of Power ISA 3.1, book I (branch: 2.4, fixed-point: 3.3); DS-form displacements
are in bytes with their two low bits clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, overload

if TYPE_CHECKING:
    # it takes a while to load, and who has single words does without
    import numpy as np
    import numpy.typing as npt

    Words: TypeAlias = npt.NDArray[np.uint32]
    Addresses: TypeAlias = npt.NDArray[np.uint64]
else:
    Words = Addresses = Any

NOP: Final = 0x60000000
"""ori r0,r0,0"""
BLR: Final = 0x4E800020
BCTR: Final = 0x4E800420
MTCTR_R12: Final = 0x7D8903A6
BCTRL: Final = 0x4E800421
MFLR_R0: Final = 0x7C0802A6
TRAP: Final = 0x7FE00008
TOC_RELOAD: Final = 0xE8410018
"""ld r2,24(r1): behind every call that leaves the object (ELFv2 ABI, 2.3.6.1)"""
TOC_SAVE: Final = 0xF8410018
"""std r2,24(r1)"""
ADDIS_R2_R12: Final = 0x3C4C0000
"""addis r2,r12,0: first word of a global entry; the low half holds the immediate"""
LIS_R2: Final = 0x3C400000
"""lis r2,0: first word of a global entry in a program at a fixed address"""
ADDI_R2_R2: Final = 0x38420000
"""addi r2,r2,0: second word of a global entry, the one that gets the mark"""
LD_R2_R12: Final = 0xE84C0000
"""ld r2,0(r12): first word of a global entry that loads the distance of its TOC from the doubleword before it"""
ADD_R2_R2_R12: Final = 0x7C426214
STD_R0_16_R1: Final = 0xF8010010

IMMEDIATE: Final = 0x0000FFFF
OPCODE_AND_REGISTERS: Final = 0xFFFF0000

BRANCH_REACH: Final = 1 << 25
"""A `b` reaches from its own address - 32 MiB up to, not including, + 32 MiB."""

_ADDPCIS, _ADDPCIS_FIELDS = 19 << 26 | 2 << 1, 0xFC00003E
_PREFIX = 1
_LOAD_AND_RESERVE = frozenset({52, 116, 20, 84, 276})
"""Extended opcodes (Power ISA, book II, 4.6.2)."""
_LINK = 1
_ABSOLUTE = 2


@overload
def opcode(word: int) -> int: ...
@overload
def opcode(word: Words) -> Words: ...
def opcode(word: Any) -> Any:
    """The primary opcode, bits 0 to 5."""
    return word >> 26


def sign_extend(value: int, bits: int) -> int:
    """The low `bits` bits of `value`, read as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def branch(address: int, target: int, *, link: bool = False) -> int:
    """The word `b target` (`bl` with `link`) for `address`.

    Raises:
        OverflowError: the target is out of reach or not a multiple of four away. Callers that know the symbol turn
            this into an error of ours.
    """
    distance = target - address
    if not -BRANCH_REACH <= distance < BRANCH_REACH or distance % 4:
        raise OverflowError(f"no branch from {address:#x} to {target:#x}: {distance:+#x} bytes")
    return 18 << 26 | distance & 0x03FFFFFC | link


@overload
def is_branch(word: int) -> bool: ...
@overload
def is_branch(word: Words) -> npt.NDArray[np.bool_]: ...
def is_branch(word: Any) -> Any:
    """Whether the word is a direct relative branch: `b`, `bl`, `bc`, `bcl`."""
    code = word >> 26
    return ((code == 18) | (code == 16)) & ((word & _ABSOLUTE) == 0)


@overload
def is_link(word: int) -> bool: ...
@overload
def is_link(word: Words) -> npt.NDArray[np.bool_]: ...
def is_link(word: Any) -> Any:
    """Whether a branch word sets LR."""
    return (word & _LINK) == 1


def begins_atomic_sequence(word: int) -> bool:
    """Whether it loads with a reservation (lbarx, lharx, lwarx, ldarx, lqarx), which a store waits for."""
    return opcode(word) == 31 and word >> 1 & 0x3FF in _LOAD_AND_RESERVE


def depends_on_place(word: int) -> bool:
    """Whether a word does something else at another address: relative branches, `addpcis`, first words of two."""
    return is_branch(word) or word & _ADDPCIS_FIELDS == _ADDPCIS or opcode(word) == _PREFIX


def branch_target(address: int, word: int) -> int | None:
    """Where a direct relative branch at `address` goes; None when the word is no such branch."""
    if not is_branch(word):
        return None
    bits = 26 if opcode(word) == 18 else 16
    return address + sign_extend(word & ((1 << bits) - 4), bits)


def branch_targets(base: int, words: Words) -> tuple[npt.NDArray[np.intp], Addresses]:
    """All direct relative branches in consecutive words.

    Args:
        base: the address of `words[0]`.
        words: shape (n,).

    Returns:
        The indices of the branches in `words`, shape (m,), and the address that each goes to, shape (m,).
    """
    import numpy as np

    indices = np.flatnonzero(is_branch(words))
    found = words[indices].astype(np.int64)
    far = (found & 0x03FFFFFC) - ((found & 0x02000000) << 1)
    near = (found & 0x0000FFFC) - ((found & 0x00008000) << 1)
    distance = np.where(found >> 26 == 18, far, near)
    return indices, (np.uint64(base) + (indices.astype(np.int64) * 4 + distance).astype(np.uint64)).astype(np.uint64)


def toc_pair(first: int, second: int) -> int | None:
    """The distance that `addis r2,r12,A; addi r2,r2,B` adds to r12, in bytes; None when the words are no such pair."""
    if first & OPCODE_AND_REGISTERS != ADDIS_R2_R12 or second & OPCODE_AND_REGISTERS != ADDI_R2_R2:
        return None
    return (sign_extend(first, 16) << 16) + sign_extend(second, 16)


def high_adjusted(value: int) -> int:
    """The `@ha` half of a signed value: what `addis` takes so that a signed low half added later gives the value."""
    return (value + 0x8000) >> 16 & 0xFFFF


def low(value: int) -> int:
    """The `@l` half of a value, 16 bits."""
    return value & 0xFFFF


def describe(word: int, address: int) -> str:
    """The assembly of the words that stand at entries, as objdump writes it but with blanks; empty for all others."""
    fixed = {NOP: "nop", BLR: "blr", BCTR: "bctr", BCTRL: "bctrl", MFLR_R0: "mflr r0", ADD_R2_R2_R12: "add r2,r2,r12"}
    if word in fixed:
        return fixed[word]
    if opcode(word) == 18:
        target = branch_target(address, word)
        return f"{'bl' if is_link(word) else 'b'} {target:#x}" if target is not None else ""
    value = sign_extend(word, 16)
    immediates = {ADDIS_R2_R12: "addis r2,r12,", LIS_R2: "lis r2,", ADDI_R2_R2: "addi r2,r2,"}
    if word & OPCODE_AND_REGISTERS in immediates:
        return f"{immediates[word & OPCODE_AND_REGISTERS]}{value}"
    loads = {LD_R2_R12: "ld r2,{}(r12)", STD_R0_16_R1 & OPCODE_AND_REGISTERS: "std r0,{}(r1)"}
    # DS-form: the two low bits choose the instruction (ldu, lwa, stdu).
    if word & OPCODE_AND_REGISTERS in loads and word & 3 == 0:
        return loads[word & OPCODE_AND_REGISTERS].format(value)
    return ""
