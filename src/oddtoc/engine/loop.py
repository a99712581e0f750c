"""The loop that keeps workers busy and hands out results as they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Final, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_PATIENCE: Final = 1.0
"""Seconds without a result after which an engine looks whether anybody still works."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands for the result of an item whose worker died, and died again when it had this item alone."""

    reason: str


class Engine(ABC):
    """Somewhere to run work."""

    is_cluster = False
    """Whether others than this machine may do the work, who see other files."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Items that are worked on at the same time."""

    @abstractmethod
    def submit(self, work: Callable[[Any], Any], item: Any, need: str = "") -> Future[Any]:
        """Let somebody work on an item.

        Raises:
            ClusterError: nobody has the resource that it needs.
        """

    @abstractmethod
    def result(self, work: Callable[[Any], Any], item: Any, future: Future[Any]) -> Any:
        """What came of a future that is done. Who was lost on the way is replaced, and the work done again."""

    @abstractmethod
    def close(self) -> None:
        """Give up what has not begun, and wait for the rest."""

    def check(self) -> None:  # noqa: B027 - most have nothing to look at
        """Look whether anybody still works.

        Raises:
            ClusterError: nobody does.
        """

    def everywhere(self, work: Callable[[_Item], _Result], item: _Item) -> list[_Result]:
        """Do the same on every machine that takes part."""
        return [work(item)]

    def each(
        self,
        work: Callable[[_Item], _Result],
        items: Iterable[_Item],
        *,
        ahead: int = 1,
        needs: Callable[[_Item], str] = lambda _item: "",
    ) -> Iterator[tuple[_Item, _Result | Lost]]:
        """Do some work for each of many items.

        Args:
            work: a function that other processes can import; items and results go through pickle.
            items: asked for the next one when there is somebody to work on it.
            ahead: how many items wait for each slot: more than 1 leaves no gap between them.
            needs: the resource that a worker of a cluster must have for an item; nothing if anyone can do it.

        Returns:
            Each item and what came of it, in the order in which that is known.
        """
        rest = iter(items)
        waiting: dict[Future[Any], _Item] = {}
        while True:
            for item in islice(rest, max(0, self.slots * ahead - len(waiting))):
                waiting[self.submit(work, item, needs(item))] = item
            if not waiting:
                return
            done, _ = wait(waiting, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
            if not done:
                self.check()
            for future in done:
                item = waiting.pop(future)
                yield item, self.result(work, item, future)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Here(Engine):
    """This process, one item after the other."""

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, work: Callable[[Any], Any], item: Any, need: str = "") -> Future[Any]:  # noqa: ARG002
        """Do it at once."""
        future: Future[Any] = Future()
        future.set_result(work(item))
        return future

    def result(self, work: Callable[[Any], Any], item: Any, future: Future[Any]) -> Any:  # noqa: ARG002
        """What was done."""
        return future.result()

    def close(self) -> None:
        """Nothing is left to do."""
