"""The mark: the immediate of `addi r2,r2,X` at a global entry made odd.

A TOC pointer is a multiple of 4 at least, so r2 is odd behind a marked entry and nowhere else. `rfc_mark` is the
search of the RFC of 2016 with its guards; everything else finds the mark from the symbol (`image.entry`).
"""

from __future__ import annotations

from collections.abc import Callable

from oddtoc import isa
from oddtoc.errors import ChangedError, MechanismError
from oddtoc.image.entry import Entry

_PAGE = 1 << 16
_GUARD = 12


def is_marked(word: int) -> bool:
    """Whether the low bit of a mark's word is set."""
    return bool(word & 1)


def marked(word: int, address: int) -> int:
    """The word of a mark, made odd.

    Raises:
        ChangedError: the word is no `addi r2,r2,X` and no even distance: it is not what stood there.
    """
    if isa.opcode(word) == isa.opcode(isa.ADDI_R2_R2) and word & isa.OPCODE_AND_REGISTERS != isa.ADDI_R2_R2:
        raise ChangedError(f"the word at {address:#x} is {word:#010x}, not addi r2,r2,X", address=address)
    return word | 1


def unmarked(word: int) -> int:
    """The word of a mark, made even again."""
    return word & ~1


def rfc_mark(site: int, read_word: Callable[[int], int]) -> int | None:
    """Where the RFC's search finds the word to mark.

    A site closer than 12 bytes to a 64 KiB boundary has no marked entry before it and is left alone. The
    `addi r2,r2,X` is looked for 8 bytes before the site, then 12 (an older compiler stores LR first).

    Args:
        site: address of the ftrace site.
        read_word: gives the live word at an address; its FaultError passes through.

    Returns:
        The address of the `addi`, or None where there is nothing to mark.
    """
    if site % _PAGE < _GUARD:
        return None
    for distance in (8, 12):
        if read_word(site - distance) & isa.OPCODE_AND_REGISTERS == isa.ADDI_R2_R2:
            return site - distance
    return None


def odd_toc_mark(entry: Entry, read_word: Callable[[int], int]) -> int | None:
    """The word that the odd-toc mechanism marks: the RFC's answer, held against the symbol's.

    The RFC's search does not know the layout with one nop, where the `addi` stands 4 bytes before the site: there the
    symbol decides.

    Raises:
        MechanismError: the guard at the 64 KiB boundary would leave a global entry unmarked, or the search hits a
            word outside this function's entry. Calls from other objects would come back with a wrong TOC pointer.
    """
    if entry.site is None:
        return None
    found = rfc_mark(entry.site, read_word)
    if found is not None and found != entry.mark:
        raise MechanismError(
            f"odd-toc would mark the word at {found:#x}, which is not in the global entry of {entry.function}",
            address=found,
            function=entry.function,
            advice="use guarded/slot, which finds the mark by the symbol",
        )
    if found is None and entry.mark is not None and entry.site % _PAGE < _GUARD:
        raise MechanismError(
            f"odd-toc leaves {entry.function} unmarked: its site {entry.site:#x} is at the start of a 64 KiB page",
            address=entry.site,
            function=entry.function,
            advice="use guarded/slot, which finds the mark by the symbol",
        )
    return entry.mark
