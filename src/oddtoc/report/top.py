"""One look at a target, for people and programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from oddtoc.report.rows import aligned

if TYPE_CHECKING:
    from oddtoc.top import Snapshot


def snapshot_json(snapshot: Snapshot) -> str:
    """All of it; times in seconds."""
    return json.dumps(asdict(snapshot), indent=2)


def snapshot_text(snapshot: Snapshot) -> str:
    """A row for each function, and below who is in the way."""
    rows = [("PATCH", "FUNCTION", "MECHANISM", "CONDITION")]
    rows += [(p.name, f.name, f.mechanism, f.condition) for p in snapshot.patches for f in p.functions]
    lines = aligned(rows) if snapshot.patches else ["nothing is applied"]
    for patch in snapshot.patches:
        if patch.in_the_way:
            lines.append(f"in the way of reverting {patch.name}: " + "\n    ".join(patch.in_the_way))
    return "\n".join(lines)
