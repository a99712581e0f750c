"""A patch object that was built, for people and programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oddtoc.link.notes import callbacks_of
from oddtoc.link.object import PatchObject


def built_text(patch: PatchObject, path: Path) -> str:
    """One line per replaced function."""
    lines = built_lines(patch, path)
    lines += [f"  {r.image}: {r.function} -> {r.symbol.name}" for part in patch.parts for r in part.replacements]
    return "\n".join(lines)


def built_lines(patch: PatchObject, path: Path) -> list[str]:
    """Where a patch object is, how large, and its callbacks."""
    lines = [f"{path}: patch {patch.name}, {_size(patch)} bytes of code and data"]
    if callbacks := _callbacks(patch):
        lines.append(f"  callbacks: {', '.join(callbacks)}")
    return lines


def built_json(patch: PatchObject, path: Path) -> str:
    """The same as JSON."""
    return json.dumps(built_record(patch, path), indent=2)


def built_record(patch: PatchObject, path: Path) -> dict[str, Any]:
    """A patch object as plain values."""
    return {
        "patch": patch.name,
        "path": str(path),
        "bytes": _size(patch),
        "callbacks": _callbacks(patch),
        "replacements": [
            {"image": r.image, "function": r.function, "by": r.symbol.name}
            for part in patch.parts
            for r in part.replacements
        ],
    }


def _callbacks(patch: PatchObject) -> list[str]:
    return [when for part in patch.parts for when in callbacks_of(part)]


def _size(patch: PatchObject) -> int:
    return sum(len(section.data) for part in patch.parts for section in part.loaded)
