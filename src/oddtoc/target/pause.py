"""A stop of a target: how long it was, and that it is not cut short."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Pause:
    """One stop: how long the target stood still at most (seconds), and how many round trips were made meanwhile.

    It counts from when the stop is asked for; the target runs on for a part of that.
    """

    seconds: float
    round_trips: int


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back the user's signals for one stop: what is done in it is done whole or not at all."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
