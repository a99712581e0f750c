"""What every command prints with --format json, as JSON Schema. The same text documents it."""

from __future__ import annotations

import json
from typing import Final

from oddtoc.errors import Status, UsageError
from oddtoc.image.suggest import close_names
from oddtoc.report.schemas import fleet, images, mechanisms, patches, traces
from oddtoc.report.schemas.parts import Schema, address, count, nullable, record, text, texts

_ERROR: Final = record(
    "what any command prints with --format json when it fails; standard error has it as text",
    error=record(
        "the error",
        {
            "candidates": texts("the functions of a name that stands more than once"),
            "stack": texts("where the thread that is in the way stands, innermost first"),
            "output": text("what the compiler or assembler printed"),
            "size": count("of the memory that can't be read or written, in bytes"),
            "refusals": patches.REFUSALS,
        },
        kind=text("the class of oddtoc.errors"),
        status={**count("the exit status"), "enum": [int(one) for one in Status]},
        message=text("what is wrong, in one line"),
        advice=nullable(text("what to do about it")),
        address=nullable(address("the address concerned")),
        function=nullable(text("the function concerned")),
    ),
)

SCHEMAS: Final[dict[str, Schema]] = {
    "build": patches.BUILD,
    "check": patches.CHECK,
    "apply": patches.APPLY,
    "status": patches.STATUS,
    "revert": patches.REVERT,
    "watch": patches.APPLIED,
    "trace": traces.TRACE,
    "top": patches.TOP,
    "gc": patches.GC,
    "sign": patches.SIGN,
    "verify": patches.VERIFY,
    "boot": images.BOOT,
    "guest list": images.GUESTS,
    "guest run": images.GUEST_RUN,
    "guest stop": images.GUEST_STOP,
    "kernel fetch": images.KERNELS,
    "kernel list": images.KERNELS,
    "inspect": images.INSPECT,
    "scan": images.SCAN,
    "report": images.REPORT,
    "lab": mechanisms.LAB,
    "prove": mechanisms.PROVE,
    "explain": mechanisms.EXPLAIN,
    "fleet apply": fleet.APPLY,
    "fleet status": fleet.STATUS,
    "fleet revert": fleet.REVERT,
    "error": _ERROR,
}
"""Command -> the schema of its answer; `error` -> that of all errors."""


def schema_of(command: str) -> Schema:
    """The schema of a command's answer, whole: with the dialect and a title.

    Args:
        command: such as "apply" or "guest list"; "error" for what all print when they fail.

    Raises:
        UsageError: no such command answers in JSON.
    """
    if command not in SCHEMAS:
        close = close_names(command, SCHEMAS) or SCHEMAS
        raise UsageError(f"no answer of {command} has a schema", advice=f"there are: {', '.join(close)}")
    title = f"oddtoc {command}" if command != "error" else "an error of oddtoc"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **SCHEMAS[command]}


def schema_json(command: str) -> str:
    """The same as JSON.

    Raises:
        UsageError: no such command answers in JSON.
    """
    return json.dumps(schema_of(command), indent=2)
