"""What a mechanism did in a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The verdict over one cell; the value is what tables show."""

    OK = "ok"
    WRONG_R2 = "wrong r2"
    WRONG_RETURN = "wrong return"
    LOST_ARGUMENT = "lost argument"
    LOST_REGISTER = "lost register"
    BROKEN_FRAME = "broken frame"
    CRASH = "crash"
    REFUSED = "refused"


@dataclass(frozen=True)
class Cell:
    """One mechanism in one scenario.

    Attributes:
        mechanism: its name.
        scenario: its name.
        outcome: the verdict.
        detail: what was found, for a failure; why, for a refusal; otherwise empty.
        calls: patched calls that were made before the verdict.
    """

    mechanism: str
    scenario: str
    outcome: Outcome
    detail: str = ""
    calls: int = 0
