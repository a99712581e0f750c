"""Entries of tables about the functions of a patch: taken along, or done away with (oddtoc.build.tables)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oddtoc.build.features import PLACE, feature_entry
from oddtoc.build.keys import ask_key, is_label
from oddtoc.build.objectfile import ALLOC, EXECUTE, WRITE, NewSection, NewSymbol
from oddtoc.build.tables import ENTRY_SIZES, FAULTS, FEATURES, KEYS, ONE_WORD_FIXUPS, Entry
from oddtoc.link.decode import ADDR64
from oddtoc.link.unitobject import UnitRelocation, UnitSymbol

if TYPE_CHECKING:
    from oddtoc.build.extract import Extractor


def take_entry(extractor: Extractor, entry: Entry, symbol: UnitSymbol, code: NewSection) -> None:
    """Take an entry of a table along.

    Args:
        extractor: moves the function.
        entry: of the unit that it is in.
        symbol: the function that it is about.
        code: where that went.
    """
    table = entry.section.name
    if table in FEATURES:
        _take_feature(extractor, entry, symbol)
    elif table not in ENTRY_SIZES:
        extractor.refuse("section", table, f"has entries for {symbol.name}")
    elif table == KEYS:
        _take_key(extractor, entry, symbol, code)
    else:
        name = f".oddtoc.fixup{table}" if table in ONE_WORD_FIXUPS else table
        flags = 0 if table in ONE_WORD_FIXUPS else ALLOC if table == FAULTS else ALLOC | WRITE
        new = extractor.target.shared(name, flags, 8 if table in ONE_WORD_FIXUPS else 4)
        start = new.append(entry.data)
        for relocation in entry.relocations:
            referred = _place(extractor, relocation, symbol) or extractor.refer(relocation, symbol)
            if referred:
                new.relocations.append((start + relocation.offset - entry.offset, relocation.type, *referred))


def _take_feature(extractor: Extractor, entry: Entry, symbol: UnitSymbol) -> None:
    """Take along what the kernel may have to replace."""
    content = feature_entry(extractor.unit, entry)
    if content is None:
        extractor.refuse("section", entry.section.name, f"has an alternative for {symbol.name} that can't be moved")
        return
    new = extractor.target.shared(f".oddtoc.fixup{entry.section.name}", 0, 8)
    start = new.append(content, 8)
    new.relocations.append((start + PLACE, ADDR64, extractor.mark_of(extractor.moved[symbol.name]), entry.place))


def _place(extractor: Extractor, relocation: UnitRelocation, function: UnitSymbol) -> tuple[NewSymbol, int] | None:
    """A place in the function itself or its cold part, its end included."""
    target = extractor.unit.symbols[relocation.symbol]
    offset = target.value + relocation.addend
    if target.section == function.section and 0 <= offset - function.value <= function.size:
        return extractor.mark_of(extractor.moved[function.name]), offset - function.value
    return None


def _take_key(extractor: Extractor, entry: Entry, symbol: UnitSymbol, code: NewSection) -> None:
    """Let a jump label be a branch to instructions that ask its key."""
    by_offset = {r.offset - entry.offset: r for r in entry.relocations}
    target, key = by_offset.get(4), by_offset.get(8)
    leads = _place(extractor, target, symbol) if target else None
    word = int.from_bytes(code.data[entry.place : entry.place + 4], "little")
    if leads is None or key is None or not is_label(word):
        extractor.refuse("section", KEYS, f"has a label of {symbol.name} that leads out of it")
        return
    aligned = UnitRelocation(key.offset, key.type, key.symbol, key.addend & ~3)
    referred = extractor.refer(aligned, symbol)
    if referred is None:
        return
    thunks = extractor.target.shared(".text.oddtoc.keys", ALLOC | EXECUTE, 4)
    code.data[entry.place : entry.place + 4] = (0x48000000).to_bytes(4, "little")
    asked = referred[0], referred[1] | key.addend & 1
    own = extractor.mark_of(extractor.moved[symbol.name])
    code.relocations = [r for r in code.relocations if r[0] & ~3 != entry.place]
    code.relocations.append(ask_key(thunks, own, entry.place, leads[1], asked, extractor.target.mark(thunks)))
    extractor.found.asked_keys += 1
