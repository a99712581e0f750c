"""A patch on its way to many targets: a canary first, then wave after wave, until too many of a wave fail.

The truth about who has the patch is in the targets: a rollout that was stopped or killed goes on when it is asked for
again, and finds those applied that are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from oddtoc.engine import Engine
from oddtoc.errors import UsageError
from oddtoc.fleet.survey import revert_everywhere, survey, visits
from oddtoc.fleet.targets import FleetTarget
from oddtoc.fleet.visit import Answer, Apply, Manner, Shipment


@dataclass(frozen=True)
class Pace:
    """How fast a rollout goes, and when it stops.

    Attributes:
        canary: targets in the first wave; 0 for no wave of its own.
        wave: targets in each of the others.
        limit: the share of a wave that may fail.
        settle: seconds between the applies of a wave and the look at how it does.
        check: a shell command that has to succeed for a target to be well.
    """

    canary: int = 1
    wave: int = 10
    limit: float = 0.1
    settle: float = 5.0
    check: str = ""

    def waves(self, targets: Sequence[FleetTarget]) -> list[list[FleetTarget]]:
        """The targets in their order, cut into waves."""
        rest = list(targets[self.canary :])
        starts = range(0, len(rest), self.wave)
        waves = [list(targets[: self.canary]), *(rest[start : start + self.wave] for start in starts)]
        return [wave for wave in waves if wave]


def wave_size(text: str, count: int) -> int:
    """How many targets a wave has.

    Args:
        text: a number, or a share of all targets as ``25%``.
        count: of all targets.

    Raises:
        UsageError: it is neither.
    """
    digits = text.removesuffix("%")
    if not digits.isdecimal() or not int(digits):
        raise UsageError(f"{text} is no size of a wave", advice="write a number of targets, or a share as 25%")
    return math.ceil(int(digits) * count / 100) if text.endswith("%") else int(digits)


class State(Enum):
    """What a rollout knows of a target."""

    WAITING = "not tried"
    APPLIED = "applied"
    THERE = "applied already"
    FAILED = "failed"
    UNWELL = "unwell"
    REVERTED = "rolled back"


@dataclass
class Row:
    """One target in a rollout.

    Attributes:
        target: which one.
        wave: the number of its wave, from 0.
        state: how far it is.
        answer: what came of the last visit; None before the first.
    """

    target: FleetTarget
    wave: int
    state: State = State.WAITING
    answer: Answer | None = None

    @property
    def failed(self) -> bool:
        """Whether it counts against the limit."""
        return self.state in (State.FAILED, State.UNWELL)


@dataclass(frozen=True)
class Stop:
    """Why a rollout stopped: in a wave (number, size) so many targets failed."""

    wave: int
    size: int
    failed: int


class Rollout:
    """Brings one patch to many targets.

    Args:
        engine: who does it.
        targets: all of them, in the order in which they come.
        shipment: the patch.
        manner: how it is applied.
        pace: how fast.
        tell: is told of a row whenever something came of it.

    Attributes:
        rows: one for each target.
        stop: where too many failed; None if that did not happen.
    """

    def __init__(
        self,
        engine: Engine,
        targets: Sequence[FleetTarget],
        shipment: Shipment,
        manner: Manner,
        pace: Pace,
        tell: Callable[[Row], None] = lambda _row: None,
    ) -> None:
        self._engine = engine
        self._shipment = shipment
        self._manner = manner
        self._pace = pace
        self._tell = tell
        waves = pace.waves(targets)
        self.rows = [Row(target, number) for number, wave in enumerate(waves) for target in wave]
        self.stop: Stop | None = None

    @property
    def waves(self) -> list[list[Row]]:
        """The rows of each wave."""
        return [[row for row in self.rows if row.wave == number] for number in range(self.rows[-1].wave + 1)]

    def run(self) -> bool:
        """Go on until all targets have the patch, or too many of a wave failed.

        Returns:
            Whether all of them have it now, and are well.
        """
        for number, wave in enumerate(self.waves):
            self._apply(wave)
            if not self._is_too_much(wave):
                self._look(wave)
            if self._is_too_much(wave):
                self.stop = Stop(number, len(wave), sum(row.failed for row in wave))
                return False
        return not any(row.failed for row in self.rows)

    def roll_back(self) -> bool:
        """Take the patch back from every target that was tried, those too that had it before.

        Returns:
            Whether none of them has it now.
        """
        rows = {row.target: row for row in self.rows if row.state is not State.WAITING}

        def note(target: FleetTarget, answer: Answer) -> None:
            row = rows[target]
            if answer.changed or answer.error:
                row.state = State.REVERTED if answer.changed else State.FAILED
                self._noted(row, answer)

        shipment = self._shipment
        answers = revert_everywhere(
            self._engine, list(rows), self._manner, shipment.name, sha256=shipment.sha256, tell=note
        )
        return not any(answer.error for answer in answers.values())

    def _apply(self, wave: Sequence[Row]) -> None:
        rows = {row.target: row for row in wave}

        def wanted() -> Iterator[FleetTarget]:
            for target in rows:
                if self._is_too_much(wave):
                    return
                yield target

        for target, answer in visits(self._engine, Apply(self._manner, self._shipment), wanted()):
            row = rows[target]
            if answer.error:
                row.state = State.FAILED
            else:
                row.state = State.APPLIED if answer.changed else State.THERE
            self._noted(row, answer)

    def _look(self, wave: Iterable[Row]) -> None:
        """Whether they are still well, a little later."""
        rows = {row.target: row for row in wave if not row.failed}
        if any(row.state is State.APPLIED for row in rows.values()):
            time.sleep(self._pace.settle)

        def note(target: FleetTarget, answer: Answer) -> None:
            row = rows[target]
            before = row.answer.complaints if row.answer else None
            if reason := self._why_unwell(answer, before or frozenset()):
                row.state = State.UNWELL
                self._noted(row, Answer(answer.patches, answer.complaints, error=reason, advice=answer.advice))

        survey(self._engine, list(rows), self._manner, check=self._pace.check, tell=note)

    def _why_unwell(self, answer: Answer, before: frozenset[str]) -> str:
        if answer.error:
            return answer.error
        if not answer.has(self._shipment.sha256):
            return "the patch is not applied any more"
        fresh = sorted((answer.complaints or frozenset()) - before)
        return f"its kernel has complained since: {', '.join(fresh)}" if fresh else ""

    def _is_too_much(self, wave: Sequence[Row]) -> bool:
        return sum(row.failed for row in wave) > self._pace.limit * len(wave)

    def _noted(self, row: Row, answer: Answer) -> None:
        row.answer = answer
        self._tell(row)
