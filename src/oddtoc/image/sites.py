"""The ftrace sites that an image lists.

The compiler and recordmcount leave one address a function: the `bl _mcount` (-mprofile-kernel), or the first of the
nops (-fpatchable-function-entry). The kernel's linker script gathers them between __start_mcount_loc and
__stop_mcount_loc (include/asm-generic/vmlinux.lds.h); in modules and programs they stay a section. The kernel's
record (dyn_ftrace.ip) then names the word that becomes the branch: with two nops the second one
(ftrace_call_adjust in arch/powerpc/kernel/trace/ftrace.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from oddtoc.errors import FaultError, ImageError
from oddtoc.image.entry import SiteKind
from oddtoc.isa import NOP, Addresses, Words, branch_targets, is_link

if TYPE_CHECKING:
    from oddtoc.image.elf import Image, Text

_TABLES: Final = ("__mcount_loc", "__patchable_function_entries")


class Sites(NamedTuple):
    """The sites of an image: sorted addresses, shape (n,), and their kind (None without any)."""

    addresses: Addresses
    kind: SiteKind | None


def read_sites(image: Image) -> Sites:
    """The sites of an image, from its tables; a program without a table but with -mprofile-kernel lists its calls.

    Raises:
        ImageError: a table names words that are no sites.
    """
    listed = _listed(image)
    if not len(listed):
        calls = _calls_to_mcount(image)
        return Sites(calls, SiteKind.MPROFILE if len(calls) else None)
    kind = _kind_of(image, listed)
    return Sites(listed + np.uint64(4) if kind is SiteKind.PATCHABLE else listed, kind)


def _listed(image: Image) -> Addresses:
    """What the tables hold, without the zeros that the kernel's sorttable leaves for overridden functions."""
    bounds = [image.symbols.find(name) for name in ("__start_mcount_loc", "__stop_mcount_loc")]
    if all(bounds):
        start, stop = (found[0].address for found in bounds)
        found = [_relocated(image, start, stop - start)]
    else:
        tables = [section for section in image.sections if section.name in _TABLES and section.has_contents]
        found = [_relocated(image, section.address, section.size) for section in tables]
    listed = np.sort(np.concatenate([np.empty(0, np.uint64), *(values[values != 0] for values in found)]))
    return listed[np.insert(listed[1:] != listed[:-1], 0, True)] if len(listed) else listed


def _relocated(image: Image, start: int, size: int) -> Addresses:
    """A table of addresses with its relocations applied."""
    if not 0 <= size <= image.file_size:
        raise ImageError(f"{image.path}: the table of ftrace sites at {start:#x} can't have {size} bytes")
    try:
        values = np.frombuffer(image.read(start, size - size % 8), "<u8").astype(np.uint64)
    except FaultError as error:
        raise ImageError(f"{image.path}: the table of ftrace sites at {start:#x} is not in the image") from error
    pointers = image.pointers.within(start, start + len(values) * 8)
    values[((pointers.places - np.uint64(start)) >> np.uint64(3)).astype(np.intp)] = pointers.values
    return values


def _kind_of(image: Image, listed: Addresses) -> SiteKind:
    """Told from all words that the tables name, so that a real nop behind a single one does not mislead."""
    texts = image.text()
    first, second = (_words_at(image, texts, listed + np.uint64(place)) for place in (0, 4))
    if np.all(first == NOP):
        return SiteKind.PATCHABLE if np.all(second == NOP) else SiteKind.OUT_OF_LINE
    is_call = (first >> 26 == 18) & is_link(first)
    if not np.all(is_call):
        wrong = int(listed[~is_call][0])
        raise ImageError(
            f"{image.path}: its table of ftrace sites names {wrong:#x}, which holds {image.word(wrong):#010x}",
            address=wrong,
            advice="neither a nop nor a call of _mcount; is this the image as it was built?",
        )
    return SiteKind.MPROFILE


def _words_at(image: Image, texts: list[Text], addresses: Addresses) -> Words:
    """The words at scattered addresses of the text."""
    found = np.zeros(len(addresses), np.uint32)
    known = np.zeros(len(addresses), np.bool_)
    for _, start, words in texts:
        inside = (addresses >= start) & (addresses < start + len(words) * 4)
        found[inside] = words[((addresses[inside] - np.uint64(start)) >> np.uint64(2)).astype(np.intp)]
        known |= inside
    if not np.all(known):
        outside = int(addresses[~known][0])
        raise ImageError(
            f"{image.path}: its table of ftrace sites names {outside:#x}, which is no code", address=outside
        )
    return found


def _calls_to_mcount(image: Image) -> Addresses:
    """The `bl _mcount` of a program that keeps no table."""
    callees = np.array([symbol.address for symbol in image.symbols.find("_mcount")], np.uint64)
    if image.is_relocatable or not len(callees):
        return np.empty(0, np.uint64)
    calls = []
    for _, start, words in image.text():
        places, targets = branch_targets(start, words)
        chosen = np.isin(targets, callees) & is_link(words[places])
        calls.append(np.uint64(start) + places[chosen].astype(np.uint64) * np.uint64(4))
    return np.concatenate(calls)
