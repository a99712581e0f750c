"""Who called whom: a tree of calls, made of their events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from oddtoc.trace.reading import Event


@dataclass
class Node:
    """Calls of one function that came the same way.

    Attributes:
        function: its index; -1 for the root, which stands for all threads.
        calls: how many have returned.
        ticks: that they took, with all that they called.
        inner: what they called, by index.
    """

    function: int
    calls: int = 0
    ticks: int = 0
    inner: dict[int, Node] = field(default_factory=dict)


@dataclass
class _Open:
    """A call that has not returned yet."""

    event: Event
    node: Node


class CallTree:
    """All calls of a trace that were seen to return.

    A call is inside of another one if that is on the same stack and has not returned. Where events were lost nothing is
    known of the calls that were open: those that follow stand at the top of the tree.

    Args:
        stack: tells the stack that a frame is on.

    Attributes:
        root: of the tree.
    """

    def __init__(self, stack: Callable[[int], int]) -> None:
        self.root = Node(-1)
        self._stack = stack
        self._open: dict[tuple[int, int], list[_Open]] = {}
        self._next = 0

    @property
    def calls(self) -> int:
        """How many have returned."""
        return _returned(self.root)

    def add(self, events: Iterable[Event]) -> None:
        """More events, in order."""
        for event in events:
            if event.number != self._next:
                self._open.clear()
            self._next = event.number + 1
            calls = self._open.setdefault((event.thread, self._stack(event.frame)), [])
            while calls and calls[-1].event.frame < event.frame:
                calls.pop()
            if event.is_return:
                _close(calls, event)
            else:
                above = calls[-1].node if calls else self.root
                node = above.inner.setdefault(event.function, Node(event.function))
                calls.append(_Open(event, node))


def _close(calls: list[_Open], event: Event) -> None:
    """A return ends the newest open call of the same function from the same frame, and what that had called."""
    fitting = [i for i, one in enumerate(calls) if _is_same(one.event, event)]
    if not fitting:
        return
    node = calls[fitting[-1]].node
    node.calls += 1
    node.ticks += event.values[1]
    del calls[fitting[-1] :]


def _is_same(call: Event, back: Event) -> bool:
    return call.function == back.function and call.frame == back.frame


def _returned(node: Node) -> int:
    return node.calls + sum(_returned(one) for one in node.inner.values())
