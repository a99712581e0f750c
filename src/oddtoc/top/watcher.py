"""What there is to see of a target, looked at again and again.

Between two looks nobody is connected, so that patches can be applied and reverted meanwhile. That is different while
calls are counted: the counting is a trace, which lasts as long as the connection does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock

from oddtoc.live.journal import PatchStatus
from oddtoc.live.quiescence import zones_of_revert
from oddtoc.live.record import FunctionRecord
from oddtoc.live.session import Session
from oddtoc.process.object import LoadedObject
from oddtoc.target.pause import Pause
from oddtoc.trace.tracer import Tracer


@dataclass(frozen=True)
class FunctionNow:
    """A patched function.

    Attributes:
        name, mechanism: as recorded.
        condition: what the live words say.
        calls: since counting began; None where calls are not counted.
        rate: calls in a second, since the look before.
    """

    name: str
    mechanism: str
    condition: str
    calls: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class PatchNow:
    """A recorded patch.

    Attributes:
        name: of the patch.
        condition: what the live words say of it as a whole.
        functions: what it replaces.
        in_the_way: who could not be passed if it were taken back now, with the stack; empty if nobody.
    """

    name: str
    condition: str
    functions: tuple[FunctionNow, ...]
    in_the_way: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One look at a target.

    Attributes:
        patches: oldest first.
        pauses: how often the target was stopped since watching began.
        longest, total: of those, in seconds.
    """

    patches: tuple[PatchNow, ...] = ()
    pauses: int = 0
    longest: float = 0.0
    total: float = 0.0


class Watcher:
    """Looks at one target.

    Args:
        connect: opens a session with it.
        counting: whether to count the calls of patched functions: with a trace, which holds the target until `close`.
    """

    def __init__(self, connect: Callable[[], Session], *, counting: bool = False) -> None:
        self._connect = connect
        self._counting = counting
        self._one_at_a_time = Lock()
        self._kept = ExitStack()
        self._session: Session | None = None
        self._tracer: Tracer | None = None
        self._before: dict[int, tuple[int, float]] = {}
        self._pauses: list[Pause] = []

    def close(self) -> None:
        """End the counting, and let go of the target; a look that is under way is waited for."""
        with self._one_at_a_time:
            self._let_go()

    def _let_go(self) -> None:
        self._session = self._tracer = None
        self._kept.close()

    def look(self) -> Snapshot:
        """Look once.

        Raises:
            OddtocError: the target can't be reached, another oddtoc is at it, or its calls can't be counted.
        """
        with self._one_at_a_time:
            return self._look()

    def _look(self) -> Snapshot:
        if self._session is not None:
            return self._seen(self._session)
        with ExitStack() as kept:
            session = kept.enter_context(self._connect())
            patches = _patches(session)
            if not (self._counting and patches):
                return self._seen(session)
            tracer = kept.enter_context(Tracer(session, _patterns(session, patches)))
            # from here on the connection is kept, and calls are counted
            self._session, self._tracer = session, tracer
            self._kept = kept.pop_all()
        try:
            return self._seen(session)
        except BaseException:
            self._let_go()
            raise

    def _seen(self, session: Session) -> Snapshot:
        patches = _patches(session)
        calls = self._calls()
        ways = self._ways(session, patches)
        found = tuple(
            PatchNow(
                status.record.name,
                status.condition.value,
                tuple(_functions(status, calls)),
                ways.get(status.record.name, ()),
            )
            for status in patches
        )
        self._pauses += session.target.pauses
        session.target.pauses.clear()
        seconds = [pause.seconds for pause in self._pauses]
        return Snapshot(found, len(seconds), max(seconds, default=0.0), sum(seconds))

    def _calls(self) -> dict[int, tuple[int, float]]:
        """Entry of a function -> its calls so far, and in a second."""
        if self._tracer is None:
            return {}
        now = time.monotonic()
        counts = self._tracer.read().counts
        found = {}
        for entry, count in zip(self._tracer.entries, counts, strict=True):
            calls, then = self._before.get(entry, (0, now))
            found[entry] = count.calls, (count.calls - calls) / (now - then) if now > then else 0.0
            self._before[entry] = count.calls, now
        return found

    def _ways(self, session: Session, patches: Sequence[PatchStatus]) -> dict[str, tuple[str, ...]]:
        """Name of a patch -> who stands in it, all looked at in one stop."""
        present = [status for status in patches if status.present]
        if not present:
            return {}
        threads, ways = session.threads, {}
        threads.prepare()
        with session.target.stopped() as stopped:
            standers, memory = stopped.look(threads.requests())
            for status in present:
                zones = zones_of_revert([function for function, _ in status.functions], [status])
                busy = threads.obstacle(zones, stopped, standers, memory)
                if busy is not None:
                    ways[status.record.name] = (busy.message, *busy.stack)
        return ways


def _functions(status: PatchStatus, calls: dict[int, tuple[int, float]]) -> Iterator[FunctionNow]:
    for function, condition in status.replaced:
        count, rate = calls.get(function.entry, (None, None))
        yield FunctionNow(function.name, function.mechanism, condition.value, count, rate)


def _patches(session: Session) -> list[PatchStatus]:
    return [status for status in session.status() if not status.record.temporary]


def _patterns(session: Session, patches: Sequence[PatchStatus]) -> list[str]:
    """What a trace calls the patched functions: those of one image, as a trace watches one."""
    names: dict[str, set[str]] = {}
    for status in patches:
        for function, _ in status.replaced:
            names.setdefault(_image_of(session, status, function), set()).add(function.name)
    image = next(iter(names))
    return [f"{image}:{name}" if image else name for name in sorted(names[image])]


def _image_of(session: Session, status: PatchStatus, function: FunctionRecord) -> str:
    """The name of the file that a function is in, as a trace wants it; empty for the kernel proper."""
    if status.record.module:
        return f"{status.record.module}.ko"
    subject = session.running.subject_at(function.entry)
    return subject.name if isinstance(subject, LoadedObject) else ""
