"""The answer of `oddtoc trace`: lines, each an object."""

from __future__ import annotations

from typing import Any, Final

from oddtoc.report.schemas.parts import Schema, address, count, either, listing, record, seconds, text, texts

_FUNCTION: Final = text("the function")


def _line(meaning: str, event: str, **properties: Any) -> Schema:
    return record(meaning, event=text("what the line is about", event), **properties)


_EVENT: Final[dict[str, Schema]] = {
    "number": count("in the order of the events"),
    "time": seconds("by the time base of the target"),
    "thread": text("its name and number, or the address of what stands for it"),
    "function": _FUNCTION,
    "caller": text("where the call comes from: a function and the distance into it, or an address"),
    "frame": address("the stack pointer of the caller, by which a call and its return belong together"),
}

TRACE: Final = either(
    "one line",
    _line(
        "the first line",
        "start",
        functions=texts("what is traced"),
        refused=listing("what is not", record("a function", function=_FUNCTION, reason=text("why it can't be traced"))),
        pause_seconds=seconds("how long the target stood still while the words changed"),
    ),
    _line("a call", "call", **_EVENT, arguments=listing("r3 to r10", address("a register"))),
    _line("a return", "return", **_EVENT, value=address("r3"), seconds=seconds("how long the call took")),
    _line(
        "the last line",
        "end",
        lost=count("events that were overwritten before they were read"),
        missed_returns=count("calls whose return could not be watched, as too many were under way"),
        counts=listing(
            "each function",
            record(
                "a function",
                function=_FUNCTION,
                calls=count("calls"),
                returns=count("returns that were watched"),
                seconds=seconds("all of those together"),
                longest_seconds=seconds("the longest of them"),
            ),
        ),
        still_in_use=texts("who was in the way of giving the trace's memory back"),
    ),
)
