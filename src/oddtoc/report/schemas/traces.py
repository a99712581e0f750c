"""The answer of `oddtoc trace`: lines, each of which is JSON."""

from __future__ import annotations

from typing import Final

from oddtoc.report.schemas.parts import Schema, address, count, either, listing, record, seconds, text, texts

_EVENT: Final[dict[str, Schema]] = {
    "number": count("of the event; a number that is missing was lost"),
    "time": seconds("of the target's timebase"),
    "thread": text("name and pid of a task, as it was called when the event was read; or an address"),
    "function": text("which one"),
    "caller": text("where the call returns to"),
    "frame": address("the caller's r1, the same at a call and at its return"),
}

TRACE: Final = either(
    "a line, one of",
    record(
        "the first line",
        event=text("what it is", "start"),
        functions=texts("what is traced"),
        refused=listing(
            "what fits a pattern and can't be traced",
            record("a function", function=text("its name"), reason=text("why not")),
        ),
        pause_seconds=seconds("how long the target stood still when the trace was turned on"),
    ),
    record(
        "a call, with --arguments or --returns",
        **{"event": text("what it is", "call"), **_EVENT},
        arguments=listing("r3 to r10", address("a register")),
    ),
    record(
        "a return, with --returns",
        **{"event": text("what it is", "return"), **_EVENT},
        value=address("r3"),
        seconds=seconds("how long the call took"),
    ),
    record(
        "the last line",
        event=text("what it is", "end"),
        lost=count("events that came faster than they were read"),
        missed_returns=count("calls that began while too many others were on their way"),
        counts=listing(
            "what was counted of every function; nothing is missing here",
            record(
                "a function",
                function=text("its name"),
                calls=count("how many"),
                returns=count("how many came back, with --returns"),
                seconds=seconds("all that came back took, with what they called"),
                longest_seconds=seconds("the longest took"),
            ),
        ),
        still_in_use=texts("why the trace's memory could not be given back yet"),
    ),
)
