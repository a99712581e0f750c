"""What went wrong, for programs. People get the text of the error itself."""

from __future__ import annotations

import json
from typing import Any

from oddtoc.errors import OddtocError

_DETAILS = ("candidates", "stack", "output", "size")
"""What some kinds of errors carry."""


def error_json(error: OddtocError) -> str:
    """An object with one key, `error`: its kind, exit status, text and advice, and what that kind carries."""
    return json.dumps({"error": error_record(error)}, indent=2)


def error_record(error: OddtocError) -> dict[str, Any]:
    """An error as plain values: the address is a string ("0x..."), None stands where there is nothing."""
    refusals = getattr(error, "refusals", None)
    return {
        "kind": type(error).__name__,
        "status": int(error.status),
        "message": error.message,
        "advice": error.advice,
        "address": None if error.address is None else f"{error.address:#x}",
        "function": error.function,
        **{name: getattr(error, name) for name in _DETAILS if hasattr(error, name)},
        **({} if refusals is None else {"refusals": [refusal.plain() for refusal in refusals]}),
    }
