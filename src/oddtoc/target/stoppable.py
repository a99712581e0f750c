"""Something that runs, and is stopped for short whiles: what kernels and processes, near and far, have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from oddtoc.errors import TargetError
from oddtoc.target.memory import batches, pieces, pieces_of_data
from oddtoc.target.pause import Pause


class StandingStill(Protocol):
    """The target inside of a stop.

    Attributes:
        round_trips: how many were made so far.
        began: when the stop was asked for, by `time.monotonic`, if that was later than its block began.
    """

    round_trips: int
    began: float | None

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes)."""

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write several (address, bytes) in order, and read them back."""


Stop_co = TypeVar("Stop_co", bound=StandingStill, covariant=True)


class StoppableTarget(ABC, Generic[Stop_co]):
    """A target, which runs whenever no `stopped` block is active. A context manager: leaving it lets go of it.

    Attributes:
        pauses: every stop that has ended, in order.
    """

    def __init__(self) -> None:
        self._inside = False
        self.pauses: list[Pause] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for messages."""

    @abstractmethod
    def close(self) -> None:
        """Let go; safe to call twice and after any error."""

    @abstractmethod
    def _held(self) -> AbstractContextManager[Stop_co]:
        """Make it stand still for the length of a block, however that ends."""

    def stopped(self) -> AbstractContextManager[Stop_co]:
        """Stop the target for the length of a block; it runs on afterwards, however the block ends.

        Raises:
            TargetInUseError: another debugger holds it.
            TargetGoneError: the connection broke, now or before: connect again.
        """
        return self._timed(self._held)

    @contextmanager
    def _timed(self, hold: Callable[[], AbstractContextManager[Stop_co]]) -> Iterator[Stop_co]:
        if self._inside:
            raise TargetError("the target is stopped already: a stop inside a stop")
        started = time.monotonic()
        session: Stop_co | None = None
        self._inside = True
        try:
            with hold() as session:
                yield session
        finally:
            self._inside = False
            began = session.began if session and session.began else started
            self.pauses.append(Pause(time.monotonic() - began, session.round_trips if session else 0))

    def exclusively(self) -> AbstractContextManager[Stop_co]:
        """For a short block that reads and writes the target while no other debugger can: it stands still, unless there
        is a gentler way."""
        return self.stopped()

    @contextmanager
    def undoable(self, cpus: Sequence[Any], writes: Sequence[tuple[int, bytes]]) -> Iterator[None]:
        """Inside of a stop: whoever looks after the target undoes the writes of a block if this process dies in it.

        Nobody looks after most targets.

        Args:
            cpus: of this stop.
            writes: (address, old bytes) each: what undoes them.
        """
        del cpus, writes
        yield

    def read(self, address: int, size: int) -> bytes:
        """Memory of the running target."""
        return self.read_many([(address, size)])[0]

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes) of the running target, in as few short stops as they need.

        Raises:
            FaultError: there is no memory.
        """
        parts = [part for address, size in requests for part in pieces(address, size)]
        answers: list[bytes] = []
        for batch in batches([size for _, size in parts]):
            with self.stopped() as stopped:
                answers += stopped.read_many(parts[batch])
        remaining = iter(answers)
        return [b"".join(next(remaining) for _ in pieces(address, size)) for address, size in requests]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write to the running target, in pieces, each in a short stop; each piece is read back.

        Raises:
            WriteFaultError: there is no memory, or it did not take the bytes; pieces before that one are written.
        """
        parts = [part for address, data in writes for part in pieces_of_data(address, data)]
        for batch in batches([len(data) for _, data in parts]):
            with self.stopped() as stopped:
                stopped.write_many(parts[batch])
