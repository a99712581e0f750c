"""How all functions of an image are entered, marked and traced: image/entry.py's rules, for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.elf import Image
from oddtoc.image.entry import SITE_PLACES, SiteKind
from oddtoc.image.functions import Functions
from oddtoc.isa import (
    ADD_R2_R2_R12,
    ADDI_R2_R2,
    ADDIS_R2_R12,
    LD_R2_R12,
    LIS_R2,
    MFLR_R0,
    NOP,
    OPCODE_AND_REGISTERS,
    STD_R0_16_R1,
    Addresses,
    Words,
)
from oddtoc.scan.code import Code, Mask, Places

SETUPS: Final = ("none", "pcrel", "pair", "absolute", "loaded", "unknown")
_NONE, _PCREL, _PAIR, _ABSOLUTE, _LOADED, _UNKNOWN = range(6)
_FOUR: Final = np.uint64(4)


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of functions as columns of equal length (n,); addresses are 0 where there is nothing.

    Args:
        places: of the global entries.
        setups: codes of SETUPS.
        marks: addresses of the words that can be made odd.
        sites: ftrace sites, as image/entry.py takes them.
        fits: whether the words are those of a known entry.
    """

    places: Places
    setups: npt.NDArray[np.uint8]
    marks: Addresses
    sites: Addresses
    fits: Mask


def read_entries(image: Image, code: Code, functions: Functions) -> Entries:
    """The entries of functions that all begin in the code of an image."""
    places = code.places(functions.starts)
    setups, marks = _toc_setups(image, code, functions, places)
    sites, site_fits = _sites(image, code, functions, places)
    return Entries(places, setups, marks, sites, (setups != _UNKNOWN) & site_fits)


def _toc_setups(
    image: Image, code: Code, functions: Functions, places: Places
) -> tuple[npt.NDArray[np.uint8], Addresses]:
    local_codes = image.symbols.records["other"][functions.indices] >> 5
    first, second = code.word_behind(places, 0), code.word_behind(places)
    high, low = first & OPCODE_AND_REGISTERS, second & OPCODE_AND_REGISTERS
    has_setup = local_codes > 1
    room = functions.local_entries - functions.starts >= np.uint64(8)
    setups = np.where(has_setup, _UNKNOWN, np.where(local_codes == 1, _PCREL, _NONE)).astype(np.uint8)
    ends_in_addi = has_setup & room & (low == ADDI_R2_R2)
    setups[ends_in_addi & (high == ADDIS_R2_R12)] = _PAIR
    setups[ends_in_addi & (high == LIS_R2)] = _ABSOLUTE
    is_load = (high == LD_R2_R12) & (first & np.uint32(3) == 0)
    setups[has_setup & room & is_load & (second == ADD_R2_R2_R12)] = _LOADED
    displacement = (first & np.uint32(0xFFFF)).astype(np.uint16).view(np.int16).astype(np.int64).astype(np.uint64)
    marks = np.where(np.isin(setups, (_PAIR, _ABSOLUTE)), functions.starts + _FOUR, np.uint64(0))
    return setups, np.where(setups == _LOADED, functions.starts + displacement, marks)


def _sites(image: Image, code: Code, functions: Functions, places: Places) -> tuple[Addresses, Mask]:
    """The site of each function, and whether the words up to it are those of one."""
    sites, fits = np.zeros(len(places), np.uint64), np.ones(len(places), np.bool_)
    kind, listed = image.site_kind, code.places(image.sites)
    if kind is None:
        return sites, fits
    is_site = np.zeros(len(code.words) + 1, np.bool_)
    is_site[listed] = True
    is_site[-1] = False
    sizes = image.symbols.records["size"][functions.indices]
    ends = np.where(sizes > 0, functions.starts + sizes, functions.local_entries + np.uint64(12))
    locals_ = code.places(functions.local_entries)
    for offset in SITE_PLACES[kind]:
        address = functions.local_entries + np.uint64(offset)
        here = (sites == 0) & (locals_ >= 0) & (address < ends)
        here &= is_site[np.minimum(np.where(here, locals_ + offset // 4, -1), len(code.words))]
        sites[here] = address[here]
        fits[here] = _is_site(code, locals_[here], offset, kind)
    return sites, fits


def _is_site(code: Code, locals_: Places, offset: int, kind: SiteKind) -> Mask:
    """Whether the words from local entries to their sites are those of the kind."""
    word: Words = code.word_behind(locals_, offset // 4)
    first = code.word_behind(locals_, 0)
    link = 0 if kind is SiteKind.OUT_OF_LINE else 1
    branches: Mask = (word == NOP) | (word & np.uint32(0xFC000003) == (0x48000000 | link))
    if kind is SiteKind.OUT_OF_LINE:
        return branches
    if kind is SiteKind.PATCHABLE:
        return branches & np.isin(first, (NOP, MFLR_R0))
    saves = code.word_behind(locals_) == STD_R0_16_R1
    found: Mask = branches & (first == MFLR_R0) & (saves | (offset == 4))
    return found
