"""Interrupts by the user, held back while a target has to be left as it was found."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from oddtoc.errors import OddtocError


class GaveUpError(OddtocError):
    """Something was ended early because a signal came."""


_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts_held(*, ends_well: bool = False) -> Iterator[Callable[[], bool]]:
    """Hold signals back that would end the program, and give something to ask whether one came.

    They take effect when the block ends, also by a GaveUpError, which goes no further. Only the main thread can hold
    signals; others get what never says so.

    Args:
        ends_well: Ctrl-C is how the block is meant to end, and has no other effect.
    """
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in _HELD}
    try:
        yield lambda: bool(came)
    except GaveUpError:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        # also where an error ends the block: who sent it waits for this process to end
        if others := [number for number in came if number != signal.SIGINT]:
            sys.exit(128 + others[0])
    if came and not ends_well:
        raise KeyboardInterrupt
