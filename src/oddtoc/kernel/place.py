"""Which word of a function can hold the branch.

The word behind the ftrace words: the kernel's tracer owns those before it and goes on working. It must be a word that
is only reached by entering the function, and that nobody else rewrites. A function without a site can take it in its
first word, where it is known to be compiled C (`inline` implies notrace: include/linux/compiler_types.h).
"""

from __future__ import annotations

import numpy as np

from oddtoc.errors import NoSiteError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.flow import flow_of
from oddtoc.image.symbols import Symbol
from oddtoc.isa import Words
from oddtoc.kernel.jumplabel import jump_label_sites

_LONGEST_TABLE = 64 << 10
"""Bytes; a switch with more than 16,000 cases would be longer."""


_OTHER_RULES = ("noinstr", "entry", "kprobes", "irqentry", "softirqentry")
"""Sections of the text whose functions run where a kernel is not yet, or no longer, quite itself."""


def branch_place(image: Image, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
    """The address of the word that takes the branch.

    Args:
        image: the kernel.
        symbol: the function.
        entry: its entry by the live words.
        compiled: the function is known to be what a compiler made of C, entered by calls alone. Then the word at its
            local entry will do if it has no site.

    Raises:
        NoSiteError: the function has no site, or the word behind it can't be taken.
    """
    if compiled and entry.site is None:
        return _first_word(image, symbol, entry)
    if entry.site is None or entry.behind is None:
        raise NoSiteError(
            f"{entry.function} has no ftrace site: the compiler was told not to trace it",
            address=entry.global_entry,
            function=entry.function,
            advice="replace its callers instead",
        )
    reason = _obstacle(image, symbol, entry.behind)
    if reason:
        raise NoSiteError(
            f"{entry.function} can't be redirected: the word behind its site {reason}",
            address=entry.behind,
            function=entry.function,
            advice="replace its callers instead",
        )
    return entry.behind


def _first_word(image: Image, symbol: Symbol, entry: Entry) -> int:
    place = entry.local_entry
    inside = range(symbol.address, symbol.address + symbol.size)
    sources, _, links = flow_of(image).branches_to(place)
    loops = [
        source for source, link in zip(sources.tolist(), links.tolist(), strict=True) if source in inside and not link
    ]
    reason = None
    if loops:
        reason = "is jumped to from inside (a loop)"
    elif any(_is_between(image, place, section) for section in _OTHER_RULES):
        reason = "belongs to code that has to run before the kernel is quite itself (noinstr, entry, kprobes)"
    elif place in jump_label_sites(image):
        reason = "is a jump label, which the kernel rewrites"
    elif flow_of(image).has_jump_table(symbol) and _is_in_a_jump_table(image, symbol, place):
        reason = "may be in the function's jump table"
    if reason:
        raise NoSiteError(
            f"{entry.function} can't be redirected: it has no ftrace site, and its first word {reason}",
            address=place,
            function=entry.function,
            advice="replace its callers instead",
        )
    return place


def _is_between(image: Image, address: int, section: str) -> bool:
    bounds = [image.symbols.find(f"__{section}_text_{end}") for end in ("start", "end")]
    return all(bounds) and bounds[0][0].address <= address < bounds[1][0].address


def _obstacle(image: Image, symbol: Symbol, behind: int) -> str | None:
    if not symbol.address <= behind < symbol.address + symbol.size:
        return "is outside of the function"
    flow = flow_of(image)
    if flow.is_branch_target(behind):
        return "is jumped to from inside (a loop)"
    if flow.has_jump_table(symbol) and _is_in_a_jump_table(image, symbol, behind):
        return "may be in the function's jump table"
    if behind in jump_label_sites(image):
        return "is a jump label, which the kernel rewrites"
    return None


def _is_in_a_jump_table(image: Image, symbol: Symbol, address: int) -> bool:
    """Whether a word is an entry of one of the function's jump tables and leads to an address.

    gcc puts tables behind the jump, in the text, or into .rodata (JUMP_TABLES_IN_TEXT_SECTION in
    gcc/config/rs6000); an entry is 32 bits, the distance of its target from the table's start.
    """
    rodata = image.section(".rodata")
    areas = [(symbol.address, symbol.size // 4)]
    if rodata:
        start = -(-rodata.address // 4) * 4
        areas.append((start, (rodata.end - start) // 4))
    return any(_leads_to(start, image.words(start, count), symbol, address) for start, count in areas)


def _leads_to(start: int, words: Words, symbol: Symbol, address: int) -> bool:
    """Whether an area holds an entry that leads to an address.

    Every word counts whose distance is measured from a start within reach before it, if the entry at that start
    leads into the function too.
    """
    distances = words.view("<i4").astype(np.int64)
    # counted from the area's start, addresses of a kernel fit a signed doubleword
    places = np.arange(len(words), dtype=np.int64) * 4
    tables = (address - start) - distances
    tables = tables[(tables >= 0) & (tables <= places) & (places - tables < _LONGEST_TABLE) & (tables % 4 == 0)]
    first_targets = tables + distances[tables // 4]
    inside = (first_targets >= symbol.address - start) & (first_targets < symbol.address + symbol.size - start)
    return bool(inside.any())
