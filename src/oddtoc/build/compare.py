"""What a change of the source has changed in the object: functions and data, old against new."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from oddtoc.build.canonical import Meaning, Meanings, is_nameless, plain_name
from oddtoc.link.unitobject import UnitObject, UnitSymbol

_COLD = re.compile(r"\.cold(\.\d+)?\Z")
_FRESH = ("__already_done", "__warned", "__print_once", "__key", "_entry", "_entry_ptr", "_rs", "___tp_str")
"""Static variables that say whether something was done once, or hold what a call site says of itself: a patch may
have its own."""
_NOT_COMPARED = re.compile(
    r"_{2,3}ksymtab|__kstrtab|_{2,3}kcrctab|\.initcall|\.modinfo|\.discard|\.comment|\.note|\.BTF|\.init\.|\.exit\.|__param\Z|__dyndbg\Z"
)
_ALIASES = ("init_module", "cleanup_module")
"""What module_init and module_exit of include/linux/module.h call their functions a second time."""
_INIT = re.compile(r"\.(init|exit|meminit)\.")


@dataclass
class Comparison:
    """Names of what differs. A function's cold part differs with it.

    Attributes:
        changed: functions that are in both and differ.
        new: functions of the new unit alone.
        removed: functions of the old unit alone.
        changed_data: variables whose size or first value differs, by their plain names.
        new_data: variables of the new unit alone, by their plain names.
        init_code: changed functions that only ran at boot.
    """

    changed: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed_data: list[str] = field(default_factory=list)
    new_data: list[str] = field(default_factory=list)
    init_code: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether the code and the data are the same."""
        return not (self.changed or self.changed_data or self.init_code)


def compare_units(old: UnitObject, new: UnitObject) -> Comparison:
    """Compare two compilations of one file, both with one number for all lines (oddtoc.build.lines)."""
    meanings = Meanings(old), Meanings(new)
    found = Comparison()
    _compare_functions(*meanings, found)
    _compare_data(*meanings, found)
    return found


def is_fresh(name: str) -> bool:
    """Whether a patch may have a static variable of its own although the running kernel has one."""
    return plain_name(name) in _FRESH


def parent_of(name: str) -> str:
    """The function that a cold part belongs to; any other function itself."""
    return _COLD.sub("", name)


def parts(names: Iterable[str], unit: UnitObject) -> list[str]:
    """Functions together with their cold parts, in the unit's order."""
    wanted = {parent_of(name) for name in names}
    return [symbol.name for symbol in unit.functions if parent_of(symbol.name) in wanted]


def _compare_functions(old: Meanings, new: Meanings, found: Comparison) -> None:
    before = {symbol.name: symbol for symbol in old.unit.functions}
    after = {symbol.name: symbol for symbol in new.unit.functions}
    differ: dict[str, None] = {}
    for name in dict.fromkeys((*before, *after)):
        if name in _ALIASES:
            continue
        same = name in before and name in after and old.of_function(before[name]) == new.of_function(after[name])
        if not same:
            differ[parent_of(name)] = None
    for name in differ:
        if name not in after:
            found.removed.append(name)
        elif name not in before:
            found.new.append(name)
        elif _INIT.match(new.unit.sections[after[name].section].name):
            found.init_code.append(name)
        else:
            found.changed.append(name)


def _compare_data(old: Meanings, new: Meanings, found: Comparison) -> None:
    before, after = _contents(old), _contents(new)
    for name in dict.fromkeys((*before, *after)):
        if name not in before:
            found.new_data.append(name)
        elif name in after and not is_fresh(name):
            others = (after[name] - before[name]).total()
            more = after[name].total() - before[name].total()
            if others > max(more, 0):
                found.changed_data.append(name)
            elif more > 0:
                found.new_data.append(name)
    found.changed_data += _nameless_changes(old, new)


def _contents(meanings: Meanings) -> dict[str, Counter[Meaning]]:
    """Plain name -> contents of the variables that have it."""
    found: dict[str, Counter[Meaning]] = defaultdict(Counter)
    unit = meanings.unit
    for symbol in unit.objects:
        if not is_nameless(symbol) and not _NOT_COMPARED.match(unit.sections[symbol.section].name):
            found[plain_name(symbol.name)][meanings.of_object(symbol)] += 1
    return found


def _nameless_changes(old: Meanings, new: Meanings) -> list[str]:
    """Sections of writable data without names, and tables that register things, which differ."""
    before, after = (
        {s.name: s for s in meanings.unit.sections.values() if s.allocated and s.writable and s.size}
        for meanings in (old, new)
    )
    named = {meanings.unit.sections[s.section].name for meanings in (old, new) for s in meanings.unit.objects}
    return [
        name
        for name, section in after.items()
        if name not in named
        and not _is_about_code(name)
        and (name not in before or (before[name].data, before[name].size) != (section.data, section.size))
    ]


def _is_about_code(name: str) -> bool:
    from oddtoc.build.tables import is_table

    return is_table(name) or bool(_NOT_COMPARED.match(name)) or name == ".toc"


def object_named(unit: UnitObject, name: str) -> list[UnitSymbol]:
    """The variables of a unit that have a plain name."""
    return [symbol for symbol in unit.objects if plain_name(symbol.name) == name]
