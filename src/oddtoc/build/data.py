"""New first values of variables that exist once, to be written in place: which words, and what the patch says of them.

A record of `.oddtoc.data` has the variable's name, the address and the size (bytes) of words that change, and points to
the new ones in a copy that comes along; the old ones are in the image that the patch is for. Of a module's variable,
the address comes with a relocation against its place (oddtoc.kernel.spot).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from oddtoc.build.canonical import Meanings
from oddtoc.build.compare import object_named
from oddtoc.build.objectfile import ALLOC
from oddtoc.errors import UsageError
from oddtoc.link.data import NAME_SIZE, RECORD
from oddtoc.link.decode import ADDR64
from oddtoc.link.object import DATA_SECTION
from oddtoc.link.unitobject import UnitSymbol

if TYPE_CHECKING:
    from oddtoc.build.extract import Extractor
    from oddtoc.build.subjects import Proper

_WORD = 4
_KEPT_ELSEWHERE = (".data..percpu", ".init.")
"""Sections whose contents were copied or given back when the kernel started."""


def check_told(told: Collection[str], changed: Collection[str]) -> None:
    """Whether what is to be written in place are variables of a fix whose first values change.

    Raises:
        UsageError: one is not.
    """
    for name in told:
        if name not in changed:
            advice = f"those that have: {', '.join(sorted(changed))}" if changed else "none has"
            raise UsageError(f"{name} is no variable of the fix that has another first value", advice=advice)


def write_in_place(extractor: Extractor, name: str, subject: Proper) -> None:
    """Have a variable's words changed in place where its first value differs; a refusal where that can't be.

    Args:
        extractor: of the file.
        name: of the variable.
        subject: what the file is part of.
    """
    names, new = extractor.names, extractor.meanings
    before, after = object_named(names.old, name), object_named(new.unit, name)
    running = names.variable(after[0], new) if len(before) == len(after) == 1 else None
    reason = "is no one variable that runs and keeps its size"
    if running is not None:
        reason = _why_not(after[0], new, running.address, subject)
    if running is None or reason:
        extractor.refuse("data-changed", name, f"{reason}: it can't be written in place")
        return
    section = new.unit.sections[after[0].section]
    copy = extractor.target.section(f".rodata.oddtoc_data.{name}", ALLOC, 8)
    copy.append(new.unit.bytes_of(after[0]), 8)
    extractor.pending.append(lambda: extractor.fill_data(section, after[0].value, after[0].size, copy, after[0]))
    table = extractor.target.shared(DATA_SECTION, 0, 8)
    for offset, size in changed_runs(names.meanings, before[0], new, after[0]):
        spot = subject.data_spot(name, running.address + offset)
        packed = RECORD.pack(name.encode()[: NAME_SIZE - 1], 0 if spot else running.address + offset, size)
        start = table.append(packed + bytes(8), 8)
        if spot:
            table.relocations.append((start + NAME_SIZE, ADDR64, extractor.target.outside(str(spot)), 0))
        table.relocations.append((start + RECORD.size, ADDR64, extractor.target.mark(copy), offset))
    extractor.found.written.append(name)


def _why_not(after: UnitSymbol, new: Meanings, address: int, subject: Proper) -> str:
    """Why a variable's new first value can't be written in place, in words; empty if it can."""
    section = new.unit.sections[after.section]
    if section.name.startswith(_KEPT_ELSEWHERE) or subject.is_given_back(address):
        return f"is in {section.name}, which the kernel has copied or given back"
    if address % _WORD or after.size % _WORD:
        return "does not consist of whole words"
    if any(relocation.type != ADDR64 for relocation in new.unit.relocations_of(after)):
        return "holds something else than addresses and numbers"
    return ""


def changed_runs(old: Meanings, before: UnitSymbol, new: Meanings, after: UnitSymbol) -> Iterator[tuple[int, int]]:
    """Offset and size (bytes) of each run of words in which two versions of a variable differ, both of one size."""
    first, second = old.unit.bytes_of(before), new.unit.bytes_of(after)
    changed = {at for at in range(0, after.size, _WORD) if first[at : at + _WORD] != second[at : at + _WORD]}
    pointers = _pointers(old, before), _pointers(new, after)
    for at in pointers[0].keys() | pointers[1].keys():
        if pointers[0].get(at) != pointers[1].get(at):
            changed |= {at, at + _WORD}
    for start in sorted(at for at in changed if at - _WORD not in changed):
        end = start
        while end in changed:
            end += _WORD
        yield start, end - start


def _pointers(unit: Meanings, symbol: UnitSymbol) -> dict[int, object]:
    """Offset -> what the address there leads to."""
    return {r.offset - symbol.value: unit.of(r) for r in unit.unit.relocations_of(symbol)}
