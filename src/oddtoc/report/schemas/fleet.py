"""The answers of the commands about many targets."""

from __future__ import annotations

from typing import Final

from oddtoc.fleet import State
from oddtoc.live.journal import Condition
from oddtoc.report.schemas.parts import (
    Schema,
    address,
    count,
    either,
    flag,
    listing,
    mapping,
    nullable,
    record,
    seconds,
    text,
    texts,
)

_PATCH: Final = text("the patch's name")
_WAVE: Final = count("the wave that it is in; 0 for the canary")
_PARTS: Final[dict[str, Schema]] = {
    "target": text("its address, as the file of targets has it"),
    "name": text("what it is called there"),
    "labels": mapping("its labels", text("the value")),
    "patches": nullable(
        listing(
            "what is applied to it",
            record(
                "a patch",
                patch=_PATCH,
                sha256=text("of the patch object"),
                condition=text("what the live words say", *(one.value for one in Condition)),
            ),
        )
    ),
    "complaints": nullable(texts("what its kernel has complained of since it booted, before an apply")),
    "changed": flag("whether something was written to it just now"),
    "pause_seconds": seconds("how long it stood still for that"),
    "error": nullable(text("what went wrong")),
    "advice": nullable(text("what to do about it")),
}


def _targets(**more: Schema) -> Schema:
    return listing("the targets, in the order of the file", record("a target", **_PARTS, **more))


APPLY: Final = either(
    "a rollout, or what it would do",
    record(
        "a rollout",
        patch=_PATCH,
        sha256=text("of the patch object"),
        complete=flag("whether all targets have it, and are well"),
        stopped_by_wave=nullable(count("the wave in which too many failed")),
        targets=_targets(wave=_WAVE, state=text("what came of it", *(state.value for state in State))),
    ),
    record(
        "with --dry-run",
        patch=_PATCH,
        targets=_targets(
            wave=_WAVE,
            would_write=listing(
                "the words of code that would be written to it",
                record(
                    "a word",
                    address=address("where"),
                    old=address("the word before"),
                    new=address("the word after"),
                    function=text("whose it is"),
                ),
            ),
        ),
    ),
)
STATUS: Final = record("who has what", targets=_targets())
REVERT: Final = record(
    "a patch taken back everywhere",
    patch=_PATCH,
    complete=flag("whether no target failed"),
    targets=_targets(),
)
