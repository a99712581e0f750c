"""Waiting for a thread to come by, in slices, between which somebody is asked whether to give up."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from oddtoc.isa import begins_atomic_sequence

SLICE = 0.1
"""Seconds between two questions whether to give up."""


class Awaiting(ABC):
    """Waits for threads in slices, between which somebody is asked whether to give up."""

    def run(
        self, seconds: float, give_up: Callable[[], bool], prefers: Callable[[str], bool] = lambda _: True
    ) -> str | None:
        """As `Stepping.run`; breakpoints are gone when one was met, and all other threads go on.

        Raises:
            TargetGoneError: the process has ended.
        """
        self.release()
        for left in slices(seconds, give_up):
            if arrived := self.arrived(left):
                chosen = next((thread for thread in arrived if prefers(thread)), arrived[0])
                self.keep(chosen)
                return chosen
        return None

    def run_to(self, name: str, address: int, stack: int, seconds: float, give_up: Callable[[], bool]) -> str | None:
        """As `Stepping.run_to`."""
        self.await_at(address, stack)
        for left in slices(seconds, give_up):
            if self.has_arrived(name, stack, left):
                return name
        return None

    def can_step(self, word: int) -> bool:
        """Whether an instruction can be stepped: to stop between lwarx and stwcx. makes the latter fail for ever."""
        return not begins_atomic_sequence(word)

    @abstractmethod
    def release(self) -> None:
        """Let all threads that stand still go on."""

    @abstractmethod
    def arrived(self, seconds: float) -> list[str]:
        """Wait for threads to be at a breakpoint; those stand still then, and breakpoints are gone."""

    @abstractmethod
    def keep(self, thread: str) -> None:
        """Let all threads that stand still go on but one."""

    @abstractmethod
    def await_at(self, address: int, stack: int) -> None:
        """One breakpoint for a thread with that stack pointer, and let all threads that stand still go on."""

    @abstractmethod
    def has_arrived(self, thread: str, stack: int, seconds: float) -> bool:
        """Wait for that thread to be there; it stands still then, and the breakpoint is gone."""


def slices(seconds: float, give_up: Callable[[], bool]) -> Iterator[float]:
    """How long to wait next, in seconds, for as long as there is time and nobody gives up."""
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0 and not give_up():
        yield min(SLICE, left)
