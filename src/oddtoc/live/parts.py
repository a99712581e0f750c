"""Patches of several parts (`PatchObject.parts`): each has a record of its own, and all come into force in one stop.

They are planned one beside the other, the one first that finds the others' tables and has what they use. The part of a
module that is not loaded waits (`oddtoc.live.loading`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oddtoc.kernel.modulelist import plain_name
from oddtoc.kernel.running import RunningKernel
from oddtoc.link.object import MODULE_SUFFIX, PatchObject
from oddtoc.live.commit import Commit
from oddtoc.live.moduleroom import lacks_room
from oddtoc.live.outcome import Outcome
from oddtoc.live.plan import Plan, joint_commit
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


@dataclass(frozen=True)
class Rehearsal:
    """What applying a patch of one or more parts would write.

    Attributes:
        plans: of the parts that would come in the one stop.
        commit: what changes in that; None if nothing has to.
        behind: parts that can't be planned before the kernel has given room for them.
        waiting: the parts whose modules are not loaded.
    """

    plans: list[Plan]
    commit: Commit | None
    behind: list[PatchObject]
    waiting: list[PatchObject]


def rehearse(
    session: Session,
    patch: PatchObject,
    *,
    mechanism: str = AUTO,
    which: Mapping[str, str] | None = None,
    replace: bool = False,
) -> Rehearsal:
    """Plan all parts of a patch that there is something for, and write nothing.

    Args:
        session: with the target.
        patch: the patch object.
        mechanism, which, replace: as in `Session.plan`.

    Raises:
        OddtocError: what planning a part raises.
    """
    parts, waiting = split_parts(session.running, patch)
    behind = [part for part in parts[1:] if lacks_room(session.running, part)]
    here = [part for part in parts if part not in behind]
    plans = plan_parts(session, here, mechanism=mechanism, which=which, replace=replace)
    return Rehearsal(plans, joint_commit(session.journal(), plans), behind, waiting)


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
    """Apply all parts of a patch that there is something for, in one stop; all of them or none.

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
    for part in parts:
        session.prepare(part, timeout=timeout)
    plans = plan_parts(session, parts, mechanism=mechanism, which=which, replace=replace)
    outcomes = session.apply_together(plans, timeout=timeout, immediate=immediate)
    return Applied(list(zip(plans, outcomes, strict=True)), waiting)


def plan_parts(
    session: Session,
    parts: Sequence[PatchObject],
    *,
    mechanism: str = AUTO,
    which: Mapping[str, str] | None = None,
    replace: bool = False,
) -> list[Plan]:
    """Everything that applying parts of a patch in one stop would write.

    Args:
        session: with the target.
        parts: of one patch, in its order.
        mechanism, which, replace: as in `Session.plan`.

    Raises:
        OddtocError: what planning a part raises.
    """
    plans: list[Plan] = []
    for part in parts:
        options: dict[str, Any] = {"mechanism": mechanism, "which": which, "replace": replace and not plans}
        plans.append(session.plan(part, beside=list(plans), **options))
    return plans


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


def module_of(part: PatchObject) -> str:
    """The module that a part of a patch changes, as the kernel writes it; empty for the kernel proper."""
    image = part.images[0]
    return plain_name(image) if image.endswith(MODULE_SUFFIX) else ""
