"""Words of a patch that the kernel would have rewritten at boot, as it did with the same words of its own code.

Which barrier a processor needs is decided at boot: the kernel goes through tables (`__lwsync_fixup`,
`__barrier_nospec_fixup`, arch/powerpc/lib/feature-fixups.c) and writes the same word at every place that one of them
names. What stands at its own places now is what belongs into a patch's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oddtoc.errors import PatchError
from oddtoc.image.elf import Image
from oddtoc.link.object import PatchObject, Section
from oddtoc.live.running import Subject

PREFIX = ".oddtoc.fixup"
_MOST_READ = 64


def settle_fixups(subject: Subject, patch: PatchObject) -> PatchObject:
    """The patch with the words that this kernel decided for; the patch itself if it names no such places.

    Raises:
        PatchError: the kernel's own places do not agree, or it has none.
    """
    tables = [section for section in patch.sections.values() if section.name.startswith(PREFIX)]
    if not tables:
        return patch
    changed = {index: bytearray(section.data) for index, section in patch.sections.items() if section.executable}
    for table in tables:
        word = _decided(subject, table.name.removeprefix(PREFIX))
        for index, offset in _places(patch, table):
            changed[index][offset : offset + 4] = word.to_bytes(4, "little")
    sections = {
        index: replace(section, data=bytes(changed[index])) if index in changed else section
        for index, section in patch.sections.items()
    }
    return replace(patch, sections=sections)


def _places(patch: PatchObject, table: Section) -> list[tuple[int, int]]:
    """Section and offset of each place that a table names."""
    found = []
    for relocation in table.relocations:
        symbol = patch.symbols[relocation.symbol]
        section = patch.sections.get(symbol.section) if symbol.section is not None else None
        offset = symbol.value + relocation.addend
        if section is None or not section.executable or not 0 <= offset <= len(section.data) - 4:
            raise PatchError(f"{patch.name}: {table.name} names a place that is not in its code")
        found.append((section.index, offset))
    return found


def _decided(subject: Subject, name: str) -> int:
    """The word that stands at the kernel's own places."""
    places = _own_places(subject.proper, name)[:_MOST_READ]
    words = {int.from_bytes(word, "little") for word in subject.read_many([(place, 4) for place in places])}
    if len(words) != 1:
        raise PatchError(f"the kernel's own places of {name} hold {len(words)} different words, so which is right?")
    return words.pop()


def _own_places(image: Image, name: str) -> list[int]:
    """The places that a table of the image names outside of its init code; each entry is relative to itself."""
    bounds = [image.symbols.find(f"__{end}_{name}") for end in ("start", "stop")]
    if not all(bounds):
        bounds = [image.symbols.find(f"__{end}__{name}") for end in ("start", "stop")]
    if not all(bounds):
        raise PatchError(f"the kernel has no table {name}")
    start, stop = (found[0].address for found in bounds)
    entries = np.frombuffer(image.read(start, stop - start), "<i8")
    init = image.symbols.one("__init_begin").address
    places: list[int] = [start + 8 * index + int(distance) for index, distance in enumerate(entries)]
    return [place for place in places if place < init]
