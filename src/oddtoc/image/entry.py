"""How a function is entered, marked and traced: its entries, its TOC set-up and its ftrace site.

The places follow from the symbol and its st_other (ELFv2 ABI, 3.4.1) and are confirmed by the words found there. Three
ftrace layouts exist (arch/powerpc/kernel/trace/ftrace.c); `site` is the word that becomes the branch:

    kind         image                          resting             traced
    MPROFILE     mflr r0; [std r0,16(r1);] bl   mflr r0; [..;] nop  mflr r0; [..;] bl ftrace_caller
    PATCHABLE    nop; nop                       mflr r0; nop        mflr r0; bl ftrace_caller
    OUT_OF_LINE  nop                            nop                 b stub

The first two look the same in a running kernel: only the image tells which it was built with.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

import numpy as np

from oddtoc.errors import NoSiteError
from oddtoc.image.symbols import Symbol
from oddtoc.isa import (
    ADD_R2_R2_R12,
    ADDI_R2_R2,
    LD_R2_R12,
    LIS_R2,
    MFLR_R0,
    NOP,
    OPCODE_AND_REGISTERS,
    STD_R0_16_R1,
    Addresses,
    sign_extend,
    toc_pair,
)

ReadWord = Callable[[int], int]
"""Gives the instruction word at an address; raises FaultError where there is none."""

_ONE_ENTRY, _CLOBBERS_R2 = 0, 1
_MASK64: Final = 2**64 - 1


class TocSetup(Enum):
    """How the words at the global entry compute r2; the value is their assembly."""

    PAIR = "addis r2,r12; addi r2,r2"
    ABSOLUTE = "lis r2; addi r2,r2"
    LOADED = "ld r2,-8(r12); add r2,r2,r12"
    NONE = "none"
    PCREL = "none, r2 may be clobbered (pcrel)"


class SiteKind(Enum):
    """How ftrace attaches to a function; the value is the site in the image."""

    MPROFILE = "mflr r0; bl _mcount"
    PATCHABLE = "nop; nop"
    OUT_OF_LINE = "nop"


SITE_PLACES: Final = {
    SiteKind.MPROFILE: (4, 8),
    SiteKind.PATCHABLE: (4,),
    SiteKind.OUT_OF_LINE: (0,),
    None: (0, 4, 8),
}
"""Where the site can be, in bytes from the local entry."""


class EntryWord(NamedTuple):
    """One word of an entry, for display and comparison; `role` is "TOC", "mark", "ftrace" or "site"."""

    address: int
    word: int
    role: str


@dataclass(frozen=True, slots=True)
class Entry:
    """How one function is entered.

    Args:
        function: its name.
        global_entry: address of the first word.
        local_entry: address behind the TOC set-up; the global entry where there is none.
        size: bytes from the global entry, 0 when the image does not tell.
        toc_setup: how r2 is computed.
        toc: the value r2 gets at the global entry, odd while the function is marked; None without a set-up.
        mark: address of the word that is made odd: the `addi`, or the low word of the doubleword that is loaded; None
            where nothing can be marked.
        mark_word: what stands at `mark`.
        site: the address that the kernel's own record (dyn_ftrace.ip) holds, None for a function that is not traced.
        site_kind: how ftrace attaches there.
        site_word: what stands at `site`.
        behind: the first address behind the ftrace words, None without a site.
        words: all words from the global entry on, as far as they were looked at.
    """

    function: str
    global_entry: int
    local_entry: int
    size: int
    toc_setup: TocSetup
    toc: int | None
    mark: int | None
    mark_word: int | None
    site: int | None
    site_kind: SiteKind | None
    site_word: int | None
    behind: int | None
    words: tuple[int, ...]

    @property
    def is_marked(self) -> bool:
        """Whether the word at `mark` is odd."""
        return self.mark_word is not None and self.mark_word & 1 == 1


class _Toc(NamedTuple):
    setup: TocSetup
    value: int | None = None
    mark: int | None = None
    mark_word: int | None = None


class _Site(NamedTuple):
    address: int | None = None
    kind: SiteKind | None = None


def read_entry(
    symbol: Symbol,
    read_word: ReadWord,
    sites: Container[int] | Addresses | None = None,
    kind: SiteKind | None = None,
) -> Entry:
    """Where a function is entered, marked and traced.

    Args:
        symbol: the function.
        read_word: the words of the image, or live ones, whether the function is traced at the moment or not.
        sites: all sites of the image (`Image.sites`) or of the kernel's records; a numpy array has to be sorted.
            Without them the words alone decide, which takes a function that happens to start with a nop for a traced
            one: good enough for a look, not for writing.
        kind: the kind of the image's sites (`Image.site_kind`), which tells the two apart that look the same while
            they are traced; taken from the words if not given.

    Raises:
        NoSiteError: the words do not fit what symbol and sites say.
        FaultError: there are no words to read.
        ImageError: st_other holds a reserved value.
    """
    words = _Words(symbol, read_word)
    toc = _read_toc(symbol, words)
    site = _read_site(symbol, words, sites, kind)
    return Entry(
        function=symbol.name,
        global_entry=symbol.address,
        local_entry=symbol.local_entry,
        size=symbol.size,
        toc_setup=toc.setup,
        toc=toc.value,
        mark=toc.mark,
        mark_word=toc.mark_word,
        site=site.address,
        site_kind=site.kind,
        site_word=None if site.address is None else words[site.address],
        behind=None if site.address is None else site.address + 4,
        words=words.up_to(symbol.local_entry if site.address is None else site.address + 4),
    )


def entry_range(symbol: Symbol) -> tuple[int, int]:
    """Address and size in bytes of all that `read_entry` usually looks at, to be fetched at once from a target."""
    start = symbol.address - 8 if symbol.local_entry > symbol.address else symbol.address
    return start, symbol.local_entry + 12 - start


def entry_words(entry: Entry) -> list[EntryWord]:
    """Every word of an entry with the part it plays, in address order; the loaded doubleword's low word included."""
    addresses = range(entry.global_entry, entry.global_entry + 4 * len(entry.words), 4)
    listed = [EntryWord(place, word, _role(entry, place)) for place, word in zip(addresses, entry.words, strict=True)]
    if entry.mark is not None and entry.mark_word is not None and entry.mark not in addresses:
        listed.append(EntryWord(entry.mark, entry.mark_word, "mark"))
    return sorted(listed)


def _role(entry: Entry, address: int) -> str:
    if address == entry.mark:
        return "mark"
    if address == entry.site:
        return "site"
    return "TOC" if address < entry.local_entry else "ftrace"


class _Words:
    """The words of one function, each read once."""

    def __init__(self, symbol: Symbol, read_word: ReadWord) -> None:
        self._symbol = symbol
        self._read_word = read_word
        self._known: dict[int, int] = {}

    def __getitem__(self, address: int) -> int:
        if address not in self._known:
            self._known[address] = self._read_word(address)
        return self._known[address]

    def up_to(self, end: int) -> tuple[int, ...]:
        return tuple(self[address] for address in range(self._symbol.address, end, 4))

    def misfit(self, address: int, count: int, expected: str) -> NoSiteError:
        found = " ".join(f"{self[address + 4 * place]:08x}" for place in range(count))
        return NoSiteError(
            f"{self._symbol.name}: the words {found} at {address:#x} are not {expected}",
            address=address,
            function=self._symbol.name,
            advice="something else has changed the function, or the image is not the one that runs",
        )


def _read_toc(symbol: Symbol, words: _Words) -> _Toc:
    if symbol.local_entry_code == _ONE_ENTRY:
        return _Toc(TocSetup.NONE)
    if symbol.local_entry_code == _CLOBBERS_R2:
        return _Toc(TocSetup.PCREL)
    start = symbol.address
    if symbol.local_entry - start < 8:
        raise words.misfit(start, 1, "a TOC set-up of two instructions")
    first, second = words[start], words[start + 4]
    distance = toc_pair(first, second)
    if distance is not None:
        return _Toc(TocSetup.PAIR, start + distance & _MASK64, start + 4, second)
    if first & OPCODE_AND_REGISTERS == LIS_R2 and second & OPCODE_AND_REGISTERS == ADDI_R2_R2:
        value = (sign_extend(first, 16) << 16) + sign_extend(second, 16)
        return _Toc(TocSetup.ABSOLUTE, value & _MASK64, start + 4, second)
    if first & OPCODE_AND_REGISTERS == LD_R2_R12 and first & 3 == 0 and second == ADD_R2_R2_R12:
        place = start + sign_extend(first, 16)
        low, high = words[place], words[place + 4]
        return _Toc(TocSetup.LOADED, start + (high << 32 | low) & _MASK64, place, low)
    raise words.misfit(start, 2, "a TOC set-up")


def _read_site(symbol: Symbol, words: _Words, sites: Container[int] | Addresses | None, kind: SiteKind | None) -> _Site:
    local = symbol.local_entry
    if sites is None:
        found = _guess_kind(words, local, kind)
        return found if found else _Site()
    end = symbol.address + symbol.size if symbol.size else local + 12
    for address in (local + place for place in SITE_PLACES[kind]):
        # What lies behind a short function may be the site of another one.
        if address < end and _is_listed(address, sites):
            confirmed = _kind_at(words, local, address, kind)
            if confirmed is None:
                raise words.misfit(local, 3, f"an ftrace site with its branch at {address:#x}")
            return _Site(address, confirmed)
    return _Site()


def _guess_kind(words: _Words, local: int, kind: SiteKind | None) -> _Site | None:
    """The first layout that the words fit. A lone `b` is no site here: it may as well be a sibling call."""
    for address in (local + 4, local + 8, local):
        found = _kind_at(words, local, address, kind)
        if found and (found is not SiteKind.OUT_OF_LINE or words[local] == NOP):
            return _Site(address, found)
    return None


def _kind_at(words: _Words, local: int, site: int, kind: SiteKind | None) -> SiteKind | None:
    """The kind of the site, if the words from the local entry to it are those of one."""
    before = [words[address] for address in range(local, site, 4)]
    fitting = [
        candidate
        for candidate, fits in (
            (SiteKind.MPROFILE, before in ([MFLR_R0], [MFLR_R0, STD_R0_16_R1]) and _is_call_or_nop(words[site])),
            (SiteKind.PATCHABLE, before in ([NOP], [MFLR_R0]) and _is_call_or_nop(words[site])),
            (SiteKind.OUT_OF_LINE, not before and _is_jump_or_nop(words[site])),
        )
        if fits and kind in (None, candidate)
    ]
    return fitting[0] if fitting else None


def _is_call_or_nop(word: int) -> bool:
    return word == NOP or word & 0xFC000003 == 0x48000001


def _is_jump_or_nop(word: int) -> bool:
    return word == NOP or word & 0xFC000003 == 0x48000000


def _is_listed(address: int, sites: Container[int] | Addresses) -> bool:
    if isinstance(sites, np.ndarray):
        place = int(np.searchsorted(sites, np.uint64(address)))
        return place < len(sites) and int(sites[place]) == address
    return address in sites
