"""A trace of a target: put there, read while it runs, taken back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from oddtoc.errors import TargetInUseError, UsageError
from oddtoc.live.outcome import Outcome
from oddtoc.live.running import Subject
from oddtoc.live.session import DEFAULT_TIMEOUT, Session
from oddtoc.process.running import RunningProcess
from oddtoc.target.local import LocalProcess
from oddtoc.target.onlooker import Onlooker
from oddtoc.target.process import ProcessTarget
from oddtoc.target.qemu import QemuTarget
from oddtoc.trace.people import KernelPeople, People, ProcessPeople
from oddtoc.trace.plan import plan_trace
from oddtoc.trace.reading import Reader, Reading

_KERNEL = "vmlinux"
_SEPARATOR = ":"


class Tracer:
    """A trace, as a context manager: it is there inside of the block.

    Args:
        session: with the target. Nothing else can use that meanwhile.
        patterns: names of functions, or globs as of a shell. For a process each may begin with the name of a loaded
            file and a colon, as in ``libz.so.1:inflate*``; all with the same one. Without it the program is meant.
        events: record calls one by one, with arguments.
        returns: watch returns, too.
        timeout: seconds to wait for vCPUs that stand on a word that changes.

    Attributes:
        names: of the functions, in the order of everything that is counted.
        entries: addresses of their global entries, in that order.
        refused: (name, reason) of functions that fit and can't be traced.
        outcome: what turning it on has cost.
        last: what was counted and recorded in all that time; known when the block has ended.
        seconds: how long that was.
        still_in_use: why its memory could not be given back, one reason or none; known then, too.

    Raises:
        SymbolError, NoSiteError: there are no such functions, or none that can be traced.
        RoomError, BuildError: see `plan_trace`.
    """

    def __init__(
        self,
        session: Session,
        patterns: Sequence[str],
        *,
        events: bool = False,
        returns: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._session = session
        self._timeout = timeout
        session.end_temporary(timeout=timeout)
        session.gc(temporary_only=True)
        subject, patterns = _subject(session, patterns)
        self._plan = plan_trace(session, subject, patterns, events=events, returns=returns)
        self._reader = Reader(self._plan.data)
        self._onlooker: Onlooker | None = None
        self.names = tuple(function.name for function in self._plan.choice.functions)
        self.entries = tuple(function.entry for function in self._plan.choice.functions)
        self.refused = self._plan.choice.refused
        self.outcome: Outcome | None = None
        self.last: Reading | None = None
        self.seconds = 0.0
        self.still_in_use: tuple[str, ...] = ()

    def __enter__(self) -> Tracer:
        if isinstance(self._session.target, QemuTarget):
            # it can be read through stops as well
            with suppress(TargetInUseError):
                self._onlooker = Onlooker.beside(self._session.target.name)
        self.people = self._people()
        self._session.keeper.vouch(self._plan.plan.record)
        try:
            self.outcome = self._session.apply(self._plan.plan, timeout=self._timeout, immediate=True)
            self._began = time.monotonic()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    @property
    def stops_target(self) -> bool:
        """Whether every look stops the target for a moment."""
        return self._onlooker is None and not isinstance(self._session.target, LocalProcess)

    @property
    def name(self) -> str:
        """Of its record."""
        return self._plan.plan.record.name

    @property
    def ring_size(self) -> int:
        """How many events the target keeps for whoever comes to read them."""
        return self._reader.ring_size

    def read(self) -> Reading:
        """What was counted and recorded until now.

        Raises:
            TargetGoneError: the target has ended.
        """
        return self._reader.make(self._look(self._reader.requests))

    def _look(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        if self._onlooker is not None:
            return self._onlooker.read_many(requests)
        return self._session.target.read_many(requests)

    def _people(self) -> People:
        running, target = self._session.running, self._session.target
        if isinstance(running, RunningProcess) and isinstance(target, ProcessTarget):
            return ProcessPeople(running, target)
        return KernelPeople(self._session.kernel, self._look)

    def _end(self) -> None:
        try:
            if self._session.end_temporary(timeout=self._timeout) and self.outcome:
                self.seconds = time.monotonic() - self._began
                self.last = self.read()
            kept = self._session.gc(temporary_only=True).kept
            self.still_in_use = tuple(reason for _, reason in kept)
        finally:
            if self._onlooker is not None:
                self._onlooker.close()
                self._onlooker = None


def _subject(session: Session, patterns: Sequence[str]) -> tuple[Subject, list[str]]:
    """The image that patterns mean, and what they say of its functions."""
    parts = [pattern.rpartition(_SEPARATOR) for pattern in patterns]
    images = {image for image, _, _ in parts}
    if len(images) > 1:
        raise UsageError("a trace watches functions of one file", advice="all patterns must name the same")
    image = next(iter(images), "")
    running = session.running
    if not image:
        image = running.program if isinstance(running, RunningProcess) else _KERNEL
    return running.subject([image]), [function for _, _, function in parts]
