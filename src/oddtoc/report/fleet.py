"""What the fleet's commands say: line by line while it goes on, one table of who has what, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from oddtoc.errors import printable
from oddtoc.fleet import Answer, FleetTarget, Rollout, Row, Shipment, State
from oddtoc.report.patches import changes_text
from oddtoc.report.rows import aligned

_NOTHING, _UNKNOWN = "-", "?"


def row_text(row: Row) -> str:
    """What came of one target just now, in one line."""
    answer = row.answer or Answer()
    details = [f": {answer.error}"] if answer.error else []
    if answer.changed:
        details.append(f", stood still for {answer.pause * 1000:.1f} ms")
    return f"{_wave(row.wave)}  {_called(row.target)}  {row.state.value}{''.join(details)}"


def answer_text(target: FleetTarget, answer: Answer, name: str) -> str:
    """The same for a revert of a patch of that name outside of a rollout."""
    if answer.error:
        return f"{_called(target)}  failed: {answer.error}"
    if not answer.changed:
        return f"{_called(target)}  has no {name}"
    return f"{_called(target)}  reverted, stood still for {answer.pause * 1000:.1f} ms"


def rollout_text(rollout: Rollout, shipment: Shipment, targets_file: str) -> str:
    """The table of all targets, and the way on if it was stopped."""
    rows = [("TARGET", "WAVE", "STATE", "HAS", "WHY")]
    for row in rollout.rows:
        answer = row.answer or Answer()
        rows.append((_called(row.target), _wave(row.wave), row.state.value, _patches(answer), answer.error))
    lines = ["", *aligned(rows)]
    if stop := rollout.stop:
        lines += ["", f"stopped: {stop.failed} of {stop.size} failed in {_wave(stop.wave)}, which is above the limit"]
        if not any(row.state is State.REVERTED for row in rollout.rows):
            lines += [
                "  to go on, mend what failed and give the same command",
                f"  to go back: oddtoc fleet revert {shipment.name} --targets {targets_file}",
            ]
    return "\n".join(lines)


def rollout_json(rollout: Rollout, shipment: Shipment, *, complete: bool) -> str:
    """The same as JSON."""
    rows = [
        {**_plain(row.target, row.answer or Answer()), "wave": row.wave, "state": row.state.value}
        for row in rollout.rows
    ]
    return _json(
        {
            "patch": shipment.name,
            "sha256": shipment.sha256,
            "complete": complete,
            "stopped_by_wave": rollout.stop.wave if rollout.stop else None,
            "targets": rows,
        }
    )


def rehearsal_text(waves: Sequence[Sequence[FleetTarget]], answers: Mapping[FleetTarget, Answer], name: str) -> str:
    """Which target is in which wave, and what would be done to it; every word for those of the first wave."""
    rows = [("TARGET", "WAVE", "WOULD", "HAS", "WHY")]
    for number, wave in enumerate(waves):
        for target in wave:
            answer = answers[target]
            rows.append((_called(target), _wave(number), _would(answer), _patches(answer), answer.error))
    lines = aligned(rows)
    for target in waves[0]:
        if functions := answers[target].planned:
            lines += ["", f"{name} would write to {_called(target)}, in one stop:", *changes_text(functions)]
    return "\n".join(lines)


def rehearsal_json(waves: Sequence[Sequence[FleetTarget]], answers: Mapping[FleetTarget, Answer], name: str) -> str:
    """The same as JSON."""
    rows = [
        {
            **_plain(target, answers[target]),
            "wave": number,
            "would_write": [
                {"address": hex(change.address), "old": hex(change.old), "new": hex(change.new), "function": f.name}
                for f in answers[target].planned
                for change in f.changes
                if change.old != change.new
            ],
        }
        for number, wave in enumerate(waves)
        for target in wave
    ]
    return _json({"patch": name, "targets": rows})


def survey_text(answers: Mapping[FleetTarget, Answer]) -> str:
    """Who has what."""
    rows = [("TARGET", "HAS", "COMPLAINTS", "LABELS", "WHY")]
    for target, answer in answers.items():
        labels = " ".join(f"{key}={value}" for key, value in target.labels)
        complaints = ", ".join(sorted(answer.complaints or ())) or _NOTHING
        rows.append((_called(target), _patches(answer), complaints, printable(labels) or _NOTHING, answer.error))
    return "\n".join(aligned(rows))


def survey_json(answers: Mapping[FleetTarget, Answer]) -> str:
    """The same as JSON."""
    return _json({"targets": [_plain(target, answer) for target, answer in answers.items()]})


def reverted_json(answers: Mapping[FleetTarget, Answer], name: str) -> str:
    """What came of a revert, as JSON."""
    complete = not any(answer.error for answer in answers.values())
    rows = [_plain(target, answer) for target, answer in answers.items()]
    return _json({"patch": name, "complete": complete, "targets": rows})


def _plain(target: FleetTarget, answer: Answer) -> dict[str, Any]:
    patches = answer.patches
    return {
        "target": target.address,
        "name": target.name,
        "labels": dict(target.labels),
        "patches": None
        if patches is None
        else [{"patch": one.name, "sha256": one.sha256, "condition": one.condition} for one in patches],
        "complaints": None if answer.complaints is None else sorted(answer.complaints),
        "changed": answer.changed,
        "pause_seconds": answer.pause,
        "error": answer.error or None,
        "advice": answer.advice or None,
    }


def _patches(answer: Answer) -> str:
    if answer.patches is None:
        return _UNKNOWN
    return ", ".join(_shown(one.name, one.condition) for one in answer.patches) or _NOTHING


def _shown(name: str, condition: str) -> str:
    return printable(name if condition == "applied" else f"{name} ({condition})")


def _would(answer: Answer) -> str:
    if answer.error:
        return "fail"
    count = len(changes_text(answer.planned))
    return f"change {count} word{'s' if count > 1 else ''}" if count else "be left as it is"


def _called(target: FleetTarget) -> str:
    return printable(target.name)


def _wave(number: int) -> str:
    return "canary" if number == 0 else f"wave {number}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
