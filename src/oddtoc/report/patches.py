"""What build, apply, status and revert say, for people and as JSON.

Addresses and words are hexadecimal strings in JSON: they do not fit the numbers of many readers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from oddtoc.link.object import PatchObject
from oddtoc.live.commit import Commit
from oddtoc.live.journal import PatchStatus
from oddtoc.live.plan import Plan
from oddtoc.live.record import HEADER, Change, FunctionRecord
from oddtoc.live.session import Outcome

_WORDS_PER_LINE = 8
_TEXT_WIDTH = 72


def built(patch: PatchObject, path: Path) -> str:
    """One line per replaced function."""
    size = sum(len(section.data) for section in patch.loaded)
    lines = [f"{path}: patch {patch.name}, {size} bytes of code and data"]
    lines += [f"  {r.image}: {r.function} -> {r.symbol.name}" for r in patch.replacements]
    return "\n".join(lines)


def plan_text(plan: Plan) -> str:
    """Every word that an apply would write, in the order in which it would be written."""
    lines = [f"patch {plan.record.name} ({plan.mechanism.name}) would write:", "", "while the target runs:"]
    for address, data, what in plan.segments:
        lines += [f"  {what}, {len(data)} bytes", *_dump(address, data)]
    lines += [f"  record, {len(plan.journal_entry)} bytes", *_record_dump(plan.journal_address, plan.journal_entry)]
    lines += ["", "in one stop, if the old words are still there:", *_changes(plan.record.functions, to_new=True)]
    lines.append("  and the record's state: applied")
    return "\n".join(lines)


def plan_json(plan: Plan) -> str:
    """The same as JSON."""
    return _json(
        {
            "patch": plan.record.name,
            "mechanism": plan.mechanism.name,
            "payload": [
                {"what": what, "address": hex(address), "bytes": data.hex()} for address, data, what in plan.segments
            ],
            "record": {"address": hex(plan.journal_address), "bytes": plan.journal_entry.hex()},
            "functions": [_function(function) for function in plan.record.functions],
        }
    )


def applied_text(plan: Plan, outcome: Outcome, target: str) -> str:
    """What is in force now, and what it cost the target."""
    lines = [f"applied {plan.record.name} to {target}"]
    lines += [f"  {f.name}  {f.mechanism}  {f.behind:#x} -> {f.target:#x}" for f in plan.record.functions]
    return "\n".join([*lines, pause_text(outcome)])


def applied_json(plan: Plan, outcome: Outcome) -> str:
    """The same as JSON."""
    functions = [_function(function) for function in plan.record.functions]
    return _json({"patch": plan.record.name, "functions": functions, "pause": _pause(outcome)})


def reverted_text(outcome: Outcome, target: str) -> str:
    """What was taken back, and what it cost the target."""
    return f"reverted {outcome.name} on {target}\n{pause_text(outcome)}"


def reverted_json(outcome: Outcome) -> str:
    """The same as JSON."""
    return _json({"patch": outcome.name, "pause": _pause(outcome)})


def revert_text(name: str, commit: Commit) -> str:
    """Every word that a revert would write."""
    lines = [f"reverting {name} would write, in one stop:", *_changes(commit.functions, to_new=False)]
    return "\n".join([*lines, "  and the record's state: reverted"])


def status_text(patches: Sequence[PatchStatus], target: str) -> str:
    """One block per patch that is recorded, oldest first."""
    if not patches:
        return f"nothing is applied to {target}"
    lines = []
    for status in patches:
        lines.append(f"{status.record.name}: {status.condition.value}")
        for function, condition in status.functions:
            place = f"{function.behind:#x} -> {function.target:#x}"
            lines.append(f"  {function.name}  {function.mechanism}  {place}  {condition.value}")
    return "\n".join(lines)


def status_json(patches: Sequence[PatchStatus]) -> str:
    """The same as JSON."""
    return _json(
        [
            {
                "patch": status.record.name,
                "condition": status.condition.value,
                "sha256": status.record.sha256,
                "time": status.record.time,
                "functions": [{**_function(f), "condition": condition.value} for f, condition in status.functions],
            }
            for status in patches
        ]
    )


def pause_text(outcome: Outcome) -> str:
    """How long the target stood still."""
    return (
        f"the target stood still for {outcome.commit_pause * 1000:.1f} ms while the words changed; "
        f"{outcome.stops} stops, the longest {outcome.longest_pause * 1000:.1f} ms"
    )


def _pause(outcome: Outcome) -> dict[str, Any]:
    return {
        "commit_seconds": outcome.commit_pause,
        "longest_seconds": outcome.longest_pause,
        "total_seconds": outcome.total_pause,
        "stops": outcome.stops,
        "commit_round_trips": outcome.round_trips,
    }


def _function(function: FunctionRecord) -> dict[str, Any]:
    return {
        "name": function.name,
        "mechanism": function.mechanism,
        "entry": hex(function.entry),
        "branch_at": hex(function.behind),
        "branch_to": hex(function.target),
        "changes": [
            {"address": hex(change.address), "old": hex(change.old), "new": hex(change.new), "role": change.role}
            for change in function.changes
        ],
    }


def _changes(functions: Iterable[FunctionRecord], *, to_new: bool) -> list[str]:
    def line(function: FunctionRecord, change: Change) -> str:
        old, new = (change.old, change.new) if to_new else (change.new, change.old)
        return f"  {change.address:#x}  {old:08x} -> {new:08x}  {change.role} of {function.name}"

    return [line(function, change) for function in functions for change in function.changes]


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
