"""What build, apply, status and revert say, for people and as JSON.

Addresses and words are hexadecimal strings in JSON: they do not fit the numbers of many readers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from oddtoc.link.object import PatchObject
from oddtoc.live.callbacks import Turn
from oddtoc.live.commit import Commit
from oddtoc.live.journal import Condition, PatchStatus
from oddtoc.live.parts import Applied, Rehearsal
from oddtoc.live.plan import Plan
from oddtoc.live.record import FunctionRecord, Record
from oddtoc.live.session import Outcome
from oddtoc.live.store import HEADER

_WORDS_PER_LINE = 8
_TEXT_WIDTH = 72
_IMMEDIATE = (
    "stacks were not looked at: a thread that was inside goes on in the code that it was in, "
    "beside others that run what is in force now"
)
_LEFT_OVER = "the command that made it has ended; the next oddtoc trace, revert or gc takes it back"


def plan_text(rehearsal: Rehearsal) -> str:
    """Every word that an apply would write, in the order in which it would be written."""
    lines = []
    for plan in rehearsal.plans:
        done = f"patch {plan.record.name} is applied already: nothing would be written"
        lines += [done] if plan.commit is None else [*_writes_text(plan), ""]
    coming = [plan for plan in rehearsal.plans if plan.commit is not None]
    if rehearsal.commit is not None:
        lines += ["in one stop, if the old words are still there:", *changes_text(rehearsal.commit.functions)]
        for plan in coming:
            lines.append(
                "  and the record's state: applied" if len(coming) == 1 else f"  and {plan.record.name}: applied"
            )
            lines += [f"  and that of {name}: reverted" for name in plan.replaced]
    for plan in coming:
        lines += _callbacks(plan.record, ("pre_patch", "post_patch"), _hooks(plan))
    for part in rehearsal.behind:
        lines.append(f"with that comes {part.name}, when the kernel has given room for it: {_functions_of(part)}")
    return "\n".join([*lines, *_waiting_text(rehearsal.waiting)])


def _hooks(plan: Plan) -> tuple[FunctionRecord, ...]:
    return plan.record.hooks or (plan.carrier.record.hooks if plan.carrier else ())


def _writes_text(plan: Plan) -> list[str]:
    lines = [*_writes_text(plan.carrier), ""] if plan.carrier else []
    lines += [f"patch {plan.record.name} ({plan.mechanism.name}) would write:", "", "while the target runs:"]
    lines += [f"  the state of a record, {len(data)} bytes at {address:#x}" for address, data in plan.settling]
    if plan.journal_entry:
        lines += [f"  record, {len(plan.journal_entry)} bytes", *_record_dump(plan.journal_address, plan.journal_entry)]
    for address, data, what in plan.segments:
        lines += [f"  {what}, {len(data)} bytes", *_dump(address, data)]
    return lines


def _functions_of(part: PatchObject) -> str:
    return ", ".join(replacement.function for replacement in part.replacements)


def _waiting_text(waiting: Sequence[PatchObject]) -> list[str]:
    return [f"{part.name} waits: its module is not loaded (oddtoc watch waits for it)" for part in waiting]


def plan_json(rehearsal: Rehearsal) -> str:
    """The same as JSON; further parts of the patch are in a list of their own."""
    first, *further = map(_plan_record, rehearsal.plans)
    names = {key: [part.name for part in getattr(rehearsal, key)] for key in ("behind", "waiting")}
    return _json({**first, "parts": further, **names})


def _plan_record(plan: Plan) -> dict[str, Any]:
    return {
        "patch": plan.record.name,
        "mechanism": plan.mechanism.name,
        "payload": [
            {"what": what, "address": hex(address), "bytes": data.hex()} for address, data, what in plan.segments
        ],
        "record": {"address": hex(plan.journal_address), "bytes": plan.journal_entry.hex()},
        "already_applied": plan.commit is None,
        "replaces": list(plan.replaced),
        "functions": [_function(function) for function in plan.record.functions],
    }


def applied_text(applied: Applied, target: str) -> str:
    """What is in force now, and what it cost the target."""
    lines: list[str] = []
    stops: list[str] = []
    for plan, outcome in applied.done:
        lines += _part_text(plan, outcome, target)
        stops += [pause_text(outcome)] if outcome.changed else []
    return "\n".join([*lines, *dict.fromkeys(stops), *_waiting_text(applied.waiting)])


def _part_text(plan: Plan, outcome: Outcome, target: str) -> list[str]:
    if not outcome.changed:
        return [f"{plan.record.name} is applied to {target} already; nothing was changed"]
    lines = [f"applied {plan.record.name} to {target}"]
    lines += [f"  in place of {name}" for name in plan.replaced]
    return [*lines, *(f"  {_place(function)}" for function in plan.record.replaced)]


def applied_json(applied: Applied) -> str:
    """The same as JSON; further parts of the patch are in a list of their own."""
    first, *further = [_part_record(plan, outcome) for plan, outcome in applied.done]
    return _json({**first, "parts": further, "waiting": [part.name for part in applied.waiting]})


def _part_record(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    return {
        "patch": plan.record.name,
        "changed": outcome.changed,
        "replaced": list(plan.replaced),
        "functions": [_function(function) for function in plan.record.functions],
        "stacks_checked": outcome.changed and not outcome.immediate,
        "pause": _pause(outcome),
    }


def reverted_text(outcome: Outcome, target: str) -> str:
    """What was taken back, and what it cost the target."""
    return f"reverted {outcome.name} on {target}\n{pause_text(outcome)}"


def reverted_json(outcome: Outcome) -> str:
    """The same as JSON."""
    return _json({"patch": outcome.name, "stacks_checked": not outcome.immediate, "pause": _pause(outcome)})


def revert_text(name: str, commit: Commit, turns: Sequence[Turn] = ()) -> str:
    """Every word that a revert would write.

    Args:
        name: of the patch.
        commit: what changes.
        turns: the callbacks of its parts.
    """
    lines = [f"reverting {name} would write, in one stop:", *changes_text(commit.functions)]
    if not commit.functions:
        lines.append("  no word of code: later patches cover all of it")
    lines.append("  and the record's state: reverted")
    for turn in turns:
        lines += _callbacks(turn.record, turn.whens, turn.hooks)
    return "\n".join(lines)


def revert_json(name: str, commit: Commit) -> str:
    """The same as JSON."""
    return _json({"patch": name, "functions": [_function(function) for function in commit.functions]})


def status_text(patches: Sequence[PatchStatus], target: str) -> str:
    """One block per patch that is recorded, oldest first."""
    if not patches:
        return f"nothing is applied to {target}"
    lines = []
    for status in patches:
        lines.append(f"{status.record.name}: {status.condition.value}")
        if status.record.temporary:
            names = [function.name for function, _ in status.functions]
            lines.append(f"  {names[0] if len(names) == 1 else f'{len(names)} functions'}; {_LEFT_OVER}")
            continue
        for function, condition in status.functions:
            if function.finder and condition in (Condition.COVERED, status.condition):
                continue
            lines.append(f"  {_place(function)}  {condition.value}")
        if status.record.pinned:
            lines.append(f"  its memory stays in use after a revert: {status.record.pinned}")
    return "\n".join(lines)


def status_json(patches: Sequence[PatchStatus]) -> str:
    """The same as JSON."""
    names = {status.record.serial: status.record.name for status in patches}
    return _json(
        [
            {
                "patch": status.record.name,
                "needs": [names[serial] for serial in status.record.needs if serial in names],
                "module": status.record.module or None,
                "condition": status.condition.value,
                "sha256": status.record.sha256,
                "time": status.record.time,
                "temporary": status.record.temporary,
                "pinned": status.record.pinned or None,
                "replaced_all": status.record.replaces,
                "states": {hex(number): version for number, version in status.record.states},
                "callbacks": {when: hex(address) for when, address in status.record.callbacks},
                "payload": [
                    {"area": area, "address": hex(span.start), "size": span.size}
                    for area, span in status.record.spans.items()
                ],
                "functions": [{**_function(f), "condition": condition.value} for f, condition in status.functions],
            }
            for status in patches
        ]
    )


def pause_text(outcome: Outcome) -> str:
    """How long the target stood still, and what was not looked at."""
    text = (
        f"the target stood still for {outcome.commit_pause * 1000:.1f} ms while the words changed; "
        f"{outcome.stops} stops, the longest {outcome.longest_pause * 1000:.1f} ms"
    )
    return f"{text}\n{_IMMEDIATE}" if outcome.immediate and outcome.changed else text


def _pause(outcome: Outcome) -> dict[str, Any]:
    return {
        "commit_seconds": outcome.commit_pause,
        "longest_seconds": outcome.longest_pause,
        "total_seconds": outcome.total_pause,
        "stops": outcome.stops,
        "commit_round_trips": outcome.round_trips,
    }


def _place(function: FunctionRecord) -> str:
    """What it is and where, in a line."""
    if function.is_data:
        return f"{function.name}  written in place  {function.entry:#x}"
    island = f"{function.island:#x} (island) -> " if function.island else ""
    return f"{function.name}  {function.mechanism}  {function.behind:#x} -> {island}{function.target:#x}"


def _function(function: FunctionRecord) -> dict[str, Any]:
    return {
        "name": function.name,
        "mechanism": function.mechanism,
        "entry": hex(function.entry),
        "branch_at": hex(function.behind),
        "branch_to": hex(function.target),
        "island": hex(function.island) if function.island else None,
        "changes": [
            {"address": hex(change.address), "old": hex(change.old), "new": hex(change.new), "role": change.role}
            for change in function.changes
        ],
    }


def _callbacks(record: Record, whens: Sequence[str], hooks: Sequence[FunctionRecord]) -> list[str]:
    """What is written so that callbacks run."""
    found = [f"  {when} at {address:#x}" for when, address in record.callbacks if when in whens]
    if not found:
        return []
    lines = ["", "around that, through the mailbox that all patches share, the callbacks", *found]
    return [*lines, "and for as long as they have to run:", *changes_text(hooks)]


def changes_text(functions: Iterable[FunctionRecord]) -> list[str]:
    """A line for each word of code that changes."""
    return [
        f"  {change.address:#x}  {change.old:08x} -> {change.new:08x}  {change.role} of {function.name}"
        for function in functions
        for change in function.changes
        if change.old != change.new
    ]


def _dump(address: int, data: bytes) -> list[str]:
    padded = data.ljust(-(-len(data) // 4) * 4, b"\0")
    words = [int.from_bytes(padded[i : i + 4], "little") for i in range(0, len(padded), 4)]
    rows = range(0, len(words), _WORDS_PER_LINE)
    return [f"    {address + 4 * i:#x}  " + " ".join(f"{w:08x}" for w in words[i : i + _WORDS_PER_LINE]) for i in rows]


def _record_dump(address: int, entry: bytes) -> list[str]:
    """The header in words, the body as the text that it is, the padding counted."""
    body = entry[HEADER.size :].rstrip(b"\0")
    padding = len(entry) - HEADER.size - len(body)
    text = [body[i : i + _TEXT_WIDTH].decode("ascii") for i in range(0, len(body), _TEXT_WIDTH)]
    lines = [f"    {address + HEADER.size + _TEXT_WIDTH * i:#x}  {line}" for i, line in enumerate(text)]
    return [*_dump(address, entry[: HEADER.size]), *lines, f"    and {padding} bytes of zero"]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
