"""What JSON Schemas are put together from (draft 2020-12, https://json-schema.org/draft/2020-12)."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(meaning: str, *words: str) -> Schema:
    """A string; one of some words, if there are any."""
    return {"type": "string", "description": meaning, **({"enum": list(words)} if words else {})}


def address(meaning: str) -> Schema:
    """An address, a word or the value of a register: "0x..."; it may not fit the numbers of a reader."""
    return {"type": "string", "pattern": "^0x[0-9a-f]+$", "description": meaning}


def count(meaning: str) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": meaning}


def seconds(meaning: str) -> Schema:
    """A time in seconds."""
    return {"type": "number", "minimum": 0, "description": f"{meaning}, in seconds"}


def flag(meaning: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": meaning}


def listing(meaning: str, item: Schema) -> Schema:
    """A list of equal things."""
    return {"type": "array", "items": item, "description": meaning}


def texts(meaning: str) -> Schema:
    """A list of strings."""
    return listing(meaning, {"type": "string"})


def mapping(meaning: str, value: Schema) -> Schema:
    """An object with names that are not known beforehand."""
    return {"type": "object", "additionalProperties": value, "description": meaning}


def nullable(one: Schema) -> Schema:
    """The same, or null where there is none."""
    bare = {key: value for key, value in one.items() if key != "description"}
    return {"anyOf": [bare, {"type": "null"}], "description": f"{one['description']}; null: none"}


def record(meaning: str, optional: dict[str, Schema] | None = None, /, **properties: Schema) -> Schema:
    """An object with these keys and no others.

    Args:
        meaning: what it is.
        optional: keys that are not always there.
        properties: keys that always are.
    """
    return {
        "type": "object",
        "description": meaning,
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def either(meaning: str, *ways: Schema) -> Schema:
    """One of several things."""
    return {"anyOf": list(ways), "description": meaning}
