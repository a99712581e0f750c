"""Patches of several parts (`PatchObject.parts`): one after the other, the one that finds the others' tables first.

Each part has a record of its own and is in force from a stop of its own. The part of a module that is not loaded waits
(`oddtoc.live.loading`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from oddtoc.kernel.modulelist import plain_name
from oddtoc.kernel.running import RunningKernel
from oddtoc.link.object import MODULE_SUFFIX, PatchObject
from oddtoc.live.outcome import Outcome
from oddtoc.live.plan import Plan, images_of
from oddtoc.live.running import Running
from oddtoc.live.session import DEFAULT_TIMEOUT, Session
from oddtoc.mechanism.catalog import AUTO


@dataclass
class Applied:
    """What came of a patch of one or more parts.

    Attributes:
        done: plan and outcome of each part that is in force.
        waiting: the parts whose modules are not loaded.
    """

    done: list[tuple[Plan, Outcome]] = field(default_factory=list)
    waiting: list[PatchObject] = field(default_factory=list)


def apply_parts(
    session: Session,
    patch: PatchObject,
    *,
    mechanism: str = AUTO,
    which: Mapping[str, str] | None = None,
    replace: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    immediate: bool = False,
) -> Applied:
    """Apply all parts of a patch that there is something for.

    When one can't be applied, those that this call has applied are taken back.

    Args:
        session: with the target.
        patch: the patch object.
        mechanism, which, replace: as in `Session.plan`.
        timeout, immediate: as in `Session.apply`.

    Raises:
        NotLoadedError: it is for modules alone, and none is loaded.
        OddtocError: what planning and applying a part raise.
    """
    parts, waiting = split_parts(session.running, patch)

    def one(part: PatchObject) -> tuple[Plan, Outcome]:
        session.prepare(part, timeout=timeout)
        plan = session.plan(part, mechanism=mechanism, which=which, replace=replace and part is parts[0])
        return plan, session.apply(plan, timeout=timeout, immediate=immediate)

    return Applied(together(session, parts, one, timeout=timeout), waiting)


def split_parts(running: Running, patch: PatchObject) -> tuple[list[PatchObject], list[PatchObject]]:
    """The parts that can be applied now, and those whose modules are not loaded.

    A patch of one part is always among the former: planning it says what is wrong.
    """
    parts = patch.parts
    if len(parts) == 1 or not isinstance(running, RunningKernel):
        return parts, []
    loaded = running.modules.all()
    waiting = [part for part in parts if module_of(part) not in ("", *loaded)]
    here = [part for part in parts if part not in waiting]
    return (here, waiting) if here else (parts, [])


def together(
    session: Session,
    parts: Sequence[PatchObject],
    one: Callable[[PatchObject], tuple[Plan, Outcome]],
    *,
    timeout: float,
) -> list[tuple[Plan, Outcome]]:
    """Apply parts, each with `one`; when that fails, take back those that it has changed something for.

    Raises:
        OddtocError: what `one` raises.
    """
    done: list[tuple[Plan, Outcome]] = []
    try:
        for part in parts:
            done.append(one(part))
    except BaseException:
        for plan, outcome in reversed(done):
            if outcome.changed:
                session.revert(plan.record.name, timeout=timeout)
        raise
    return done


def module_of(part: PatchObject) -> str:
    """The module that a part of a patch changes, as the kernel writes it; empty for the kernel proper."""
    image = images_of(part)[0]
    return plain_name(image) if image.endswith(MODULE_SUFFIX) else ""
