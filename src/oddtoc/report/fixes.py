"""Patch objects made of source fixes, and why none could be made, for people and programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oddtoc.build.records import HOOK
from oddtoc.build.refusal import RefusedError
from oddtoc.report.built import built_lines, built_record

if TYPE_CHECKING:
    from oddtoc.build.fix import Fix
    from oddtoc.build.headers import HeaderChange
    from oddtoc.build.unitfix import UnitFix


def fix_text(fix: Fix, path: Path) -> str:
    """What a patch was made of."""
    lines = built_lines(fix.patch, path)
    for unit in fix.units:
        found = unit.comparison
        lines.append(f"  {unit.file}: {_changed(unit)}")
        lines += [f"    {name} is new" for name in found.new if name not in (HOOK, *unit.beside)]
        lines += [f"    {name} is gone" for name in found.removed]
        lines += [f"    {name} ran at boot, before what it calls has changed" for name in found.init_code]
        lines += [f"    struct {name} is laid out anew: all objects of it are on stacks" for name in unit.on_stacks]
        lines += [f"    {name} stays for others: it takes or returns something else now" for name in unit.beside]
        equal, all_of_them = len(unit.fidelity.addresses), len(unit.fidelity.unit.functions)
        lines.append(f"    {equal} of {all_of_them} functions of the old source are the code that runs")
        lines += [f"    {name} is not: {how}" for name, how in unit.fidelity.different.items()]
    if fix.asked_keys:
        lines.append(f"  {fix.asked_keys} static keys are asked when the code runs")
    if fix.left_out:
        lines.append(f"  only a part of the fix; {len(fix.left_out)} changes are left out:")
        lines += [f"    {one.name} of {one.file}, {one.reason}" for one in fix.left_out]
    if fix.written:
        lines.append(f"  first values that are written in place: {', '.join(fix.written)}")
    for structure, functions in fix.confined.items():
        lines.append(f"  {structure} changes: its objects were told to exist only while {' or '.join(functions)} runs")
    for structure, members in fix.in_padding.items():
        lines.append(f"  {structure} gets {', '.join(members)} in its padding, told to be 0 in objects that exist")
    if fix.taken:
        lines.append("  taken from newer headers, for these files alone:")
        lines += [f"    {_shown(change)}" for change in fix.taken]
    if fix.left:
        mentioned = [change for change in fix.left if change.is_mentioned]
        lines.append(
            f"  left of newer headers: {len(fix.left)} changes, {len(mentioned)} of what the changed code names"
        )
        lines += [f"    {_shown(change)}" for change in mentioned]
    if fix.ignored:
        lines.append(f"  left out, as no code is made of it: {', '.join(fix.ignored)}")
    return "\n".join(lines)


def fix_json(fix: Fix, path: Path) -> str:
    """The same for programs."""
    plain = {
        **built_record(fix.patch, path),
        "files": [_plain(unit) for unit in fix.units],
        "written_in_place": fix.written,
        "confined": fix.confined,
        "in_padding": fix.in_padding,
        "left_out": list(map(asdict, fix.left_out)),
        "headers": {"taken": list(map(asdict, fix.taken)), "left": list(map(asdict, fix.left))},
    }
    return json.dumps(plain, indent=2)


def refused_text(error: RefusedError) -> str:
    """All that is in the way, a line each."""
    return "\n".join(f"{r.id:14} {r.file}: {r.subject} {r.reason}" for r in error.refusals)


def _changed(unit: UnitFix) -> str:
    names = unit.comparison.changed
    return f"{', '.join(names)} changed" if names else "no function changed"


def _shown(change: HeaderChange) -> str:
    state = "new" if change.is_new else "changed"
    return f"{change.kind} {change.name} ({state}) of {change.header}"


def _plain(unit: UnitFix) -> dict[str, Any]:
    found = unit.comparison
    return {
        "file": unit.file,
        "changed": found.changed,
        "new": found.new,
        "removed": found.removed,
        "ran_at_boot": found.init_code,
        "on_stacks": unit.on_stacks,
        "beside": unit.beside,
        "running_as_compiled": len(unit.fidelity.addresses),
        "different": unit.fidelity.different,
        "overridden": unit.fidelity.overridden,
    }
