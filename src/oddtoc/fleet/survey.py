"""Who has what: all targets looked at, and a patch taken back wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from oddtoc.engine import Engine, Lost
from oddtoc.fleet.targets import FleetTarget
from oddtoc.fleet.visit import Answer, Look, Manner, Rehearse, Revert, Shipment

Tell = Callable[[FleetTarget, Answer], None]
"""Told what came of a visit, as soon as it is known."""


def survey(
    engine: Engine, targets: Sequence[FleetTarget], manner: Manner, *, check: str = "", tell: Tell | None = None
) -> dict[FleetTarget, Answer]:
    """Look at all targets, without writing.

    Args:
        engine: who looks.
        targets: at what; the answers come in this order.
        manner: how.
        check: a shell command that has to succeed for a target to be well.
        tell: is told each answer as it comes.
    """
    return _all(engine, Look(manner, check), targets, tell)


def rehearse(
    engine: Engine, targets: Sequence[FleetTarget], manner: Manner, shipment: Shipment
) -> dict[FleetTarget, Answer]:
    """Plan an apply to all targets, without writing.

    Args:
        engine: who plans.
        targets: where; the answers come in this order.
        manner: how.
        shipment: the patch.
    """
    return _all(engine, Rehearse(manner, shipment), targets, None)


def revert_everywhere(
    engine: Engine,
    targets: Sequence[FleetTarget],
    manner: Manner,
    name: str,
    *,
    sha256: str = "",
    tell: Tell | None = None,
) -> dict[FleetTarget, Answer]:
    """Take a patch back from all targets that have it. Given again, it goes on with those that could not be reached.

    Args:
        engine: who does it.
        targets: where; the answers come in this order.
        manner: how.
        name: the patch's name.
        sha256: its hash, if another one of that name stays.
        tell: is told each answer as it comes.
    """
    return _all(engine, Revert(manner, name, sha256), targets, tell)


def visits(
    engine: Engine, act: Callable[[FleetTarget], Answer], targets: Iterable[FleetTarget]
) -> Iterator[tuple[FleetTarget, Answer]]:
    """Visit targets, one for each slot at a time; who dies over one has not visited it."""
    for target, answer in engine.each(act, targets, needs=attrgetter("resource")):
        yield target, Answer(error=answer.reason) if isinstance(answer, Lost) else answer


def _all(
    engine: Engine, act: Callable[[FleetTarget], Answer], targets: Sequence[FleetTarget], tell: Tell | None
) -> dict[FleetTarget, Answer]:
    found = {}
    for target, answer in visits(engine, act, targets):
        found[target] = answer
        if tell:
            tell(target, answer)
    return {target: found[target] for target in targets}
