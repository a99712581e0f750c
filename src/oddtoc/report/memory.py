"""What gc says, for people and as JSON."""

from __future__ import annotations

import json
from collections import Counter

from oddtoc.live.collect import Collection


def collection_text(collection: Collection, dry_run: bool) -> str:
    """What is given back, and each reverted patch that keeps its memory, with the reason."""
    number = len(collection.free)
    verb = "would give back" if dry_run else "gave back"
    lines = [f"{verb} {collection.size} bytes of {number} reverted {'patch' if number == 1 else 'patches'}"]
    # every attempt to apply a patch has a record, one that found somebody in the way too
    records = Counter(entry.record.name for entry in collection.free)
    lines += [f"  {name}" + (f", {times} records" if times > 1 else "") for name, times in records.items()]
    lines += [f"kept {record.name}: {reason}" for record, reason in collection.kept]
    return "\n".join(lines)


def collection_json(collection: Collection, dry_run: bool) -> str:
    """The same as JSON."""
    return json.dumps(
        {
            "dry_run": dry_run,
            "bytes": collection.size,
            "freed": [entry.record.name for entry in collection.free],
            "kept": [{"patch": record.name, "reason": reason} for record, reason in collection.kept],
        },
        indent=2,
    )
