"""Processes of this machine. When one of them dies, what was under way is done again, each item by one of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Lock, Thread
from typing import Any, Final

from oddtoc.engine.loop import Engine, Lost

_BUSY: Final = Lock()
"""Held by a process while it works on an item."""


class Processes(Engine):
    """Processes that live as long as there is work.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._executor = _processes(count)

    @property
    def slots(self) -> int:
        """One for each process."""
        return self._count

    def submit(self, work: Callable[[Any], Any], item: Any, need: str = "") -> Future[Any]:  # noqa: ARG002
        """Let one of them work on an item."""
        try:
            return self._executor.submit(_do, work, item)
        except BrokenProcessPool:
            self._executor = _processes(self._count)
            return self._executor.submit(_do, work, item)

    def result(self, work: Callable[[Any], Any], item: Any, future: Future[Any]) -> Any:
        """What came of it; when a process has died, it is not known which item it had: all of them are done again."""
        try:
            return future.result()
        except BrokenProcessPool:
            return _alone(work, item)

    def close(self) -> None:
        """Give up what has not begun, and wait for the rest."""
        self._executor.shutdown(cancel_futures=True)


def _alone(work: Callable[[Any], Any], item: Any) -> Any:
    with _processes(1) as executor:
        try:
            return executor.submit(_do, work, item).result()
        except BrokenProcessPool:
            return Lost("the process that had it was killed: is there enough memory?")


def _processes(count: int) -> ProcessPoolExecutor:
    # forked ones have their libraries loaded; nothing of ours starts threads before
    return ProcessPoolExecutor(count, mp_context=get_context("fork"), initializer=_settle)


def _settle() -> None:
    """A new process leaves Ctrl-C to its parent, and ends when that terminates it, whatever the parent does then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Nobody tells a process that its parent was killed. What it works on is brought to its end."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    with _BUSY:
        os._exit(1)


def _do(work: Callable[[Any], Any], item: Any) -> Any:
    with _BUSY:
        return work(item)
