"""Records that oddtoc's own headers put into a unit (build/include): what it replaces, callbacks, states."""

from __future__ import annotations

from oddtoc.build.extract import Extractor
from oddtoc.link.object import HOOK_SECTION
from oddtoc.link.unitobject import UnitObject, UnitSection

HOOK = "oddtoc_hook"
"""The function that has callbacks run (oddtoc_callbacks.h)."""
_PREFIX = ".oddtoc."


def has_records(unit: UnitObject) -> bool:
    """Whether a unit says something to oddtoc."""
    return any(map(_is_record, unit.sections.values()))


def take_records(extractor: Extractor) -> None:
    """Copy the records of a unit into its object, with what they need."""
    unit = extractor.unit
    for section in filter(_is_record, unit.sections.values()):
        # every file with callbacks brings it along, and a patch needs it once
        if section.name == HOOK_SECTION and any(one.name == HOOK_SECTION for one in extractor.whole.sections):
            continue
        records = extractor.target.shared(section.name, 0, 8)
        start = records.append(section.data, 8)
        for relocation in section.relocations:
            user = unit.owner(section.index, relocation.offset)
            referred = extractor.refer(relocation, user) if user else None
            if referred:
                records.relocations.append((start + relocation.offset, relocation.type, *referred))


def _is_record(section: UnitSection) -> bool:
    return section.name.startswith(_PREFIX)
