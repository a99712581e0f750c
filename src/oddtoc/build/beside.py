"""Exported functions that take or return something else after a fix.

Modules that nobody knows may call them as they were. So the old function stays what it is, for all who are not part of
the fix, and the new one is a function of the patch, beside it. All code of the fix that names it becomes part of the
patch, also where it is the same: the same call is one of another function now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from oddtoc.build.unitfix import UnitFix
from oddtoc.errors import SymbolError
from oddtoc.image.btf import Btf
from oddtoc.image.elf import Image
from oddtoc.link.unitobject import UnitObject


def is_exported(image: Image, name: str) -> bool:
    """Whether a kernel or module has a function or variable for other modules (include/linux/export.h)."""
    return bool(image.symbols.find(f"__ksymtab_{name}"))


def retyped(image: Image, before: Path, after: Path, names: Iterable[str]) -> list[str]:
    """Those of some functions that a kernel or module exports, and that have other types in a newer unit.

    Args:
        image: the kernel or module that runs.
        before, after: the unit, compiled with type information.
        names: functions of both.
    """
    exported = [name for name in names if is_exported(image, name)]
    if not exported:
        return []
    old, new = Btf.of(Image.open(before)), Btf.of(Image.open(after))
    return [name for name in exported if _signature(old, name) != _signature(new, name)]


def live_beside(units: Sequence[UnitFix]) -> None:
    """Have the new functions be others than those that run, and all that name one of them be replaced."""
    everywhere = {name for unit in units for name in unit.beside}
    for unit in units if everywhere else ():
        # a file may have a static function of that name
        names = everywhere - (unit.names.old_functions - {*unit.beside})
        unit.names.beside |= names
        found = unit.comparison
        found.changed = [name for name in found.changed if name not in unit.beside]
        found.new += unit.beside
        known = {*found.changed, *found.new, *found.init_code}
        there = unit.subject.still_there(unit.fidelity)
        found.changed += [name for name in _users(unit.new, names) if name in there and name not in known]


def _signature(types: Btf, name: str) -> tuple[str, ...]:
    try:
        return types.signature(name)
    except SymbolError:
        return ()


def _users(unit: UnitObject, names: Collection[str]) -> Iterator[str]:
    """The functions of a unit that name one of some functions."""
    for function in unit.functions:
        if any(unit.symbols[relocation.symbol].name in names for relocation in unit.relocations_of(function)):
            yield function.name
