"""Reading a trace again and again, often enough for its ring and not more often."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from oddtoc.trace.calls import CallTree
from oddtoc.trace.reading import Reading
from oddtoc.trace.tracer import Tracer

_SHORTEST, _LONGEST = 0.0005, 0.02
_BETWEEN_STOPS = 0.2
_BETWEEN_COUNTS = 0.25
"""Seconds between two looks: at events, from outside; at events, in a stop; at counts alone."""
_FULL = 8
"""A look comes early enough if it finds one part in so many of the ring full."""


class View(Protocol):
    """Shows a trace to somebody."""

    def start(self, tracer: Tracer) -> None:
        """It is there now."""

    def show(self, reading: Reading) -> None:
        """What was just read."""

    def end(self, tracer: Tracer) -> None:
        """It is gone; `Tracer.last` has been read."""


def watch(tracer: Tracer, view: View, *, duration: float | None, give_up: Callable[[], bool]) -> CallTree:
    """Trace for a while, and show what is found.

    Args:
        tracer: whose block has not begun.
        view: gets everything.
        duration: seconds; None for ever.
        give_up: asked again and again whether to end.

    Returns:
        Who called whom; nobody where no events are recorded.
    """
    with tracer:
        tree = CallTree(tracer.people.stack)
        view.start(tracer)
        for reading in readings(tracer, duration=duration, give_up=give_up):
            tree.add(reading.events)
            view.show(reading)
    if tracer.last is not None:
        tree.add(tracer.last.events)
    view.end(tracer)
    return tree


def readings(tracer: Tracer, *, duration: float | None, give_up: Callable[[], bool]) -> Iterator[Reading]:
    """Readings, until the time is over.

    Args:
        tracer: inside of its block.
        duration: seconds; None for ever.
        give_up: asked before each look whether to end.
    """
    end = time.monotonic() + duration if duration is not None else None
    delay = _SHORTEST if tracer.ring_size else _BETWEEN_COUNTS
    while not give_up() and (end is None or time.monotonic() < end):
        reading = tracer.read()
        yield reading
        if tracer.stops_target:
            delay = _BETWEEN_STOPS
        elif tracer.ring_size:
            busy = len(reading.events) > tracer.ring_size // _FULL
            delay = max(delay / 2, _SHORTEST) if busy else min(delay * 1.5, _LONGEST)
        time.sleep(delay if end is None else min(delay, max(end - time.monotonic(), 0)))
