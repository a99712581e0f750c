"""The relocation types of 64-bit Power that a patch object may hold, one row each.

Names, numbers and formulas are those of the 64-Bit ELF V2 ABI Specification, 3.5.3 and 3.5.4 (relocation types and
their table). A row says what is computed, which part of it is kept, how wide the field is and when it overflows.
`apply` writes one field; whether a branch goes to a symbol, its local entry or a stub is decided by the caller
(`payload.py`), which passes the value that stands for S + A.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from oddtoc.errors import RelocationError


class Base(Enum):
    """What the value of a relocation is measured from."""

    ABSOLUTE = "S + A"
    RELATIVE = "S + A - P"
    TOC = "S + A - .TOC."
    TOC_POINTER = ".TOC."
    PLT_SLOT = "slot of S in the payload - .TOC."
    ENTRY = "a global entry that loads its distance from the TOC pointer"
    MARKER = "nothing: a note for the linker"


@dataclass(frozen=True)
class Recipe:
    """How one relocation type is applied.

    Attributes:
        name: as readelf prints it, without the leading R_PPC64_.
        base: what the value is measured from.
        size: width of the field in bytes; 0 for a marker.
        mask: the bits of the field that are replaced.
        part: which part of the value goes into the field.
        signed_bits: the value must fit this many bits as a signed number; None where any value will do.
        multiple: the value must be a multiple of this many bytes.
    """

    name: str
    base: Base
    size: int
    mask: int
    part: Callable[[int], int]
    signed_bits: int | None = None
    multiple: int = 1

    @property
    def is_call(self) -> bool:
        """Whether it is the displacement of a branch."""
        return self.size == 4 and self.mask in (_LOW24, _LOW14)


def _whole(value: int) -> int:
    return value


def _high(shift: int) -> Callable[[int], int]:
    return lambda value: value >> shift


def _high_adjusted(shift: int) -> Callable[[int], int]:
    return lambda value: (value + 0x8000) >> shift


_64 = 0xFFFFFFFFFFFFFFFF
_32 = 0xFFFFFFFF
_HALF = 0xFFFF
_HALF_DS = 0xFFFC
_LOW24 = 0x03FFFFFC
_LOW14 = 0x0000FFFC


def _half_rows(prefix: str, base: Base, plain: int, low: int, high: int, adjusted: int) -> dict[int, Recipe]:
    """The four rows that every family of 16-bit fields has: whole, @l, @h and @ha."""
    return {
        plain: Recipe(f"{prefix}16", base, 2, _HALF, _whole, signed_bits=16),
        low: Recipe(f"{prefix}16_LO", base, 2, _HALF, _whole),
        high: Recipe(f"{prefix}16_HI", base, 2, _HALF, _high(16), signed_bits=32),
        adjusted: Recipe(f"{prefix}16_HA", base, 2, _HALF, _high_adjusted(16), signed_bits=32),
    }


RECIPES: dict[int, Recipe] = {
    0: Recipe("NONE", Base.MARKER, 0, 0, _whole),
    1: Recipe("ADDR32", Base.ABSOLUTE, 4, _32, _whole, signed_bits=33),
    38: Recipe("ADDR64", Base.ABSOLUTE, 8, _64, _whole),
    26: Recipe("REL32", Base.RELATIVE, 4, _32, _whole, signed_bits=32),
    44: Recipe("REL64", Base.RELATIVE, 8, _64, _whole),
    51: Recipe("TOC", Base.TOC_POINTER, 8, _64, _whole),
    10: Recipe("REL24", Base.RELATIVE, 4, _LOW24, _whole, signed_bits=26, multiple=4),
    11: Recipe("REL14", Base.RELATIVE, 4, _LOW14, _whole, signed_bits=16, multiple=4),
    **_half_rows("ADDR", Base.ABSOLUTE, 3, 4, 5, 6),
    56: Recipe("ADDR16_DS", Base.ABSOLUTE, 2, _HALF_DS, _whole, signed_bits=16, multiple=4),
    57: Recipe("ADDR16_LO_DS", Base.ABSOLUTE, 2, _HALF_DS, _whole, multiple=4),
    110: Recipe("ADDR16_HIGH", Base.ABSOLUTE, 2, _HALF, _high(16)),
    111: Recipe("ADDR16_HIGHA", Base.ABSOLUTE, 2, _HALF, _high_adjusted(16)),
    39: Recipe("ADDR16_HIGHER", Base.ABSOLUTE, 2, _HALF, _high(32)),
    40: Recipe("ADDR16_HIGHERA", Base.ABSOLUTE, 2, _HALF, _high_adjusted(32)),
    41: Recipe("ADDR16_HIGHEST", Base.ABSOLUTE, 2, _HALF, _high(48)),
    42: Recipe("ADDR16_HIGHESTA", Base.ABSOLUTE, 2, _HALF, _high_adjusted(48)),
    **_half_rows("REL", Base.RELATIVE, 249, 250, 251, 252),
    **_half_rows("TOC", Base.TOC, 47, 48, 49, 50),
    63: Recipe("TOC16_DS", Base.TOC, 2, _HALF_DS, _whole, signed_bits=16, multiple=4),
    64: Recipe("TOC16_LO_DS", Base.TOC, 2, _HALF_DS, _whole, multiple=4),
    29: Recipe("PLT16_LO", Base.PLT_SLOT, 2, _HALF, _whole),
    30: Recipe("PLT16_HI", Base.PLT_SLOT, 2, _HALF, _high(16), signed_bits=32),
    31: Recipe("PLT16_HA", Base.PLT_SLOT, 2, _HALF, _high_adjusted(16), signed_bits=32),
    60: Recipe("PLT16_LO_DS", Base.PLT_SLOT, 2, _HALF_DS, _whole, multiple=4),
    119: Recipe("PLTSEQ", Base.MARKER, 0, 0, _whole),
    120: Recipe("PLTCALL", Base.MARKER, 0, 0, _whole),
    118: Recipe("ENTRY", Base.ENTRY, 0, 0, _whole),
}
"""Relocation number to recipe: all that gcc emits for kernel code at -mcmodel=medium and large, with and without
-mlongcall, and what hand-written assembly uses with @l, @h, @ha, @higher and @highest."""


def recipe_for(number: int, place: str) -> Recipe:
    """The row of a relocation type.

    Args:
        number: the type, ELF64_R_TYPE.
        place: where it stands, for the error, as in ``.text+0x40``.

    Raises:
        RelocationError: oddtoc has no row for it.
    """
    recipe = RECIPES.get(number)
    if recipe is None:
        raise RelocationError(
            f"relocation type {number} at {place} is not supported",
            advice="build it with oddtoc build: -mcmodel=medium or large, no -fPIC, -mpcrel or thread-locals",
        )
    return recipe


def apply(recipe: Recipe, field: memoryview, value: int, *, symbol: str, place: str) -> None:
    """Write `value` into a field of a section.

    Args:
        recipe: the row of the relocation type.
        field: the bytes of the field, `recipe.size` long, little endian; changed in place.
        value: what the recipe's formula gives, before its part is taken.
        symbol: name of the symbol, for errors.
        place: where the field stands, for errors.

    Raises:
        RelocationError: the value does not fit, or is not aligned; names the symbol and the distance.
    """
    signed = (value + (1 << 63) & _64) - (1 << 63)
    if recipe.signed_bits is not None:
        limit = 1 << (recipe.signed_bits - 1)
        if not -limit <= signed < limit:
            raise RelocationError(
                f"{symbol} is out of range for {recipe.name} at {place}: {signed:+#x} bytes, at most {limit:#x}",
                function=symbol,
                advice="place the payload nearer, or build with -mlongcall and -mcmodel=large",
            )
    if signed % recipe.multiple:
        raise RelocationError(
            f"{symbol} is {signed:+#x} bytes from {recipe.name} at {place}, which is no multiple of {recipe.multiple}",
            function=symbol,
        )
    code = {2: "<H", 4: "<I", 8: "<Q"}[recipe.size]
    (old,) = struct.unpack(code, field)
    struct.pack_into(code, field, 0, old & ~recipe.mask | recipe.part(signed) & recipe.mask)
