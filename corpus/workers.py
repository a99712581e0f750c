"""Files judged by several processes, each with a guest of its own; the guests end with the run, however that ends.

A terminal sends Ctrl-C to all of them at once. Only the first process heeds it: it has the others end, each of which
stops its guest, and waits for that.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from corpus.judge import Verdict
from oddtoc.build.several import share_processors

_STATE: dict[str, Any] = {}
_ENDING = (signal.SIGINT, signal.SIGTERM)


class Judge(Protocol):
    """What judges files in one process."""

    def judge(self, file: str) -> Verdict:
        """What became of a file."""

    def stop(self) -> None:
        """End what it has started."""


class Workers:
    """Processes that judge files. A context manager; SIGTERM is a KeyboardInterrupt inside.

    Args:
        make: called in each of them.
        jobs: how many.
    """

    def __init__(self, make: Callable[[], Judge], jobs: int) -> None:
        self._make = make
        self._jobs = jobs
        self._verdicts: multiprocessing.SimpleQueue[Verdict] = multiprocessing.SimpleQueue()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, _interrupt) for number in _ENDING}
        self._pool = multiprocessing.Pool(self._jobs, _start, (self._make, self._verdicts, self._jobs))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._pool.close()
        else:
            self._pool.terminate()
        self._pool.join()
        # after an interrupt the run ends: who asks for that once more, late, shall still read what it says
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def judged(self, groups: Sequence[Sequence[str]]) -> Iterator[Verdict]:
        """The verdicts, as they come.

        Args:
            groups: files that one process judges, one after the other: a patch for several of them is made once.
        """
        under_way = self._pool.map_async(_judge_all, groups, chunksize=1)
        for _ in range(sum(map(len, groups))):
            yield self._verdicts.get()
        under_way.get()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once: whoever is impatient would leave guests behind."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _start(make: Callable[[], Judge], verdicts: multiprocessing.SimpleQueue[Verdict], jobs: int) -> None:
    share_processors(jobs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    _STATE["verdicts"] = verdicts
    _STATE["judge"] = judge = make()
    multiprocessing.util.Finalize(None, judge.stop, exitpriority=10)


def _end(_number: int, _frame: FrameType | None) -> None:
    """Unwind, so that what is under way is undone; once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _judge_all(files: Sequence[str]) -> None:
    for file in files:
        _STATE["verdicts"].put(_judge(file))


def _judge(file: str) -> Verdict:
    try:
        verdict: Verdict = _STATE["judge"].judge(file)
    except Exception as error:
        return Verdict(file, "failed", f"{type(error).__name__}: {error}"[:300])
    return verdict
