"""The ftrace sites that an image lists.

The compiler and recordmcount leave one address a function: the `bl _mcount` (-mprofile-kernel), or the first of the
nops (-fpatchable-function-entry). The kernel's linker script gathers them between __start_mcount_loc and
__stop_mcount_loc (include/asm-generic/vmlinux.lds.h); in modules and programs they stay a section. The kernel's
record (dyn_ftrace.ip) then names the word that becomes the branch: with two nops the second one
(ftrace_call_adjust in arch/powerpc/kernel/trace/ftrace.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from oddtoc.errors import FaultError, ImageError
from oddtoc.image.entry import SiteKind
from oddtoc.image.layout import RELOCATION, SYMBOL, Section, SectionType
from oddtoc.isa import NOP, Addresses, Words, branch_targets, is_link

if TYPE_CHECKING:
    from oddtoc.image.elf import Image

_R_PPC64_RELATIVE: Final = 22
_R_PPC64_ADDR64: Final = 38
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
        found = [_relocated(image, section.address, section.size, section) for section in tables]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *(values[values != 0] for values in found)]))


def _relocated(image: Image, start: int, size: int, section: Section | None = None) -> Addresses:
    """A table of addresses with its relocations applied."""
    try:
        values = np.frombuffer(image.read(start, size - size % 8), "<u8").astype(np.uint64)
    except FaultError as error:
        raise ImageError(f"{image.path}: the table of ftrace sites at {start:#x} is not in the image") from error
    for relocations in (s for s in image.sections if s.type == SectionType.RELA):
        if image.is_relocatable and (section is None or relocations.info != section.index):
            continue
        entries = np.frombuffer(image.contents(relocations), RELOCATION, count=relocations.size // RELOCATION.itemsize)
        offsets = entries["offset"] + np.uint64(_base(section) if image.is_relocatable else 0)
        inside = (offsets >= start) & (offsets < start + len(values) * 8)
        places = ((offsets[inside] - np.uint64(start)) // np.uint64(8)).astype(np.intp)
        values[places] = _targets(image, relocations, entries[inside])
    return values
