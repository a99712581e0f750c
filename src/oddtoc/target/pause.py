"""How long a target stood still."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pause:
    """One stop: how long the target stood still at most (seconds), and how many round trips were made meanwhile.

    It counts from when the stop is asked for; the target runs on for a part of that.
    """

    seconds: float
    round_trips: int
