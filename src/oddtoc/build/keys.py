"""Static keys in a patch: asked when the code runs.

The kernel rewrites the word at a jump label whenever its key changes, in its own image and in modules. It does not know
of a patch, so there the word becomes a branch to a few instructions that look at the key itself
(include/linux/jump_label.h: the word jumps if and only if the key is enabled, xor its entry's lowest bit is set).
All registers but the stack's reserve stay as they are, and the 288 bytes below r1 that a leaf function may use.
"""

from __future__ import annotations

from oddtoc import isa
from oddtoc.build.objectfile import NewSection, NewSymbol
from oddtoc.link.decode import REL24

_RED_ZONE = 288
_FRAME = _RED_ZONE + 64
_HIGHEST, _HIGHER, _HIGH_PART, _LOW_PART = 41, 39, 110, 4
"""R_PPC64_ADDR16_HIGHEST, _HIGHER, _HIGH and _LO."""

_ASK = (
    0xF8210001 | -_FRAME & 0xFFFC,  # stdu r1,-FRAME(r1)
    0xF8010020,  # std r0,32(r1)
    0xF9810028,  # std r12,40(r1)
    0x7C000026,  # mfcr r0
    0xF8010030,  # std r0,48(r1)
    0x3D800000,  # lis r12,key@highest
    0x618C0000,  # ori r12,r12,key@higher
    0x798C07C6,  # sldi r12,r12,32
    0x658C0000,  # oris r12,r12,key@h
    0x618C0000,  # ori r12,r12,key@l
    0x818C0000,  # lwz r12,0(r12)
    0x2C0C0000,  # cmpwi r12,0
    0x41820018,  # beq 1f
)
_KEY_FIELDS = ((5, _HIGHEST), (6, _HIGHER), (8, _HIGH_PART), (9, _LOW_PART))
_LEAVE = (
    0xE8010030,  # ld r0,48(r1)
    0x7C0FF120,  # mtcr r0
    0xE8010020,  # ld r0,32(r1)
    0xE9810028,  # ld r12,40(r1)
    0x38210000 | _FRAME,  # addi r1,r1,FRAME
    0x48000000,  # b
)


def ask_key(
    thunks: NewSection, code: NewSymbol, place: int, target: int, key: tuple[NewSymbol, int], thunk: NewSymbol
) -> tuple[int, int, NewSymbol, int]:
    """Append the instructions for one jump label.

    Args:
        thunks: the section that they go into.
        code: a symbol at the start of the section that the label is in.
        place: the label's offset there.
        target: the offset where the label leads to.
        key: a symbol and an addend: the address of the key, its lowest bit that of the label's entry.
        thunk: a symbol at the start of `thunks`.

    Returns:
        The relocation of the branch that takes the label's place.
    """
    symbol, addend = key
    inverted, addend = addend & 1, addend & ~3
    start = thunks.append(b"", 4)
    words = [*_ASK, *_LEAVE, *_LEAVE]
    words[len(_ASK) - 1] = 0x41820000 | 4 * (1 + len(_LEAVE))
    thunks.append(b"".join(word.to_bytes(4, "little") for word in words))
    for index, kind in _KEY_FIELDS:
        thunks.relocations.append((start + index * 4, kind, symbol, addend))
    enabled, disabled = (place + 4, target) if inverted else (target, place + 4)
    ends = start + 4 * (len(_ASK) + len(_LEAVE)) - 4, start + 4 * len(words) - 4
    thunks.relocations += [(end, REL24, code, to) for end, to in zip(ends, (enabled, disabled), strict=True)]
    return place, REL24, thunk, start


def is_label(word: int) -> bool:
    """Whether a word can be that of a jump label: a nop or a branch that does not link."""
    return word == isa.NOP or (isa.opcode(word) == 18 and not isa.is_link(word))
