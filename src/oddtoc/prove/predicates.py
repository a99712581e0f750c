"""Side conditions as z3 Booleans over the unknowns of a call."""

from __future__ import annotations

from collections.abc import Callable

import z3

from oddtoc.mechanism.conditions import SideCondition
from oddtoc.prove.bits import Term
from oddtoc.prove.scene import Scene

PREDICATES: dict[SideCondition, Callable[[Scene], Term]] = {
    SideCondition.DELTA_FITS: lambda scene: scene.delta_fits(),
    SideCondition.SAME_TOC: lambda scene: scene.caller_toc == scene.toc,
    SideCondition.TRUE_RETURN_ADDRESS: lambda scene: scene.lr == scene.home,
    SideCondition.CALLER_RELOADS: lambda scene: z3.Or(z3.Not(scene.through_entry), scene.reloads(scene.home)),
    SideCondition.FRESH_R12: lambda scene: z3.Or(scene.through_entry, scene.r12 != scene.subject.global_entry),
    SideCondition.WITHIN_A_BRANCH: lambda scene: z3.Or(scene.reloads(scene.home), scene.within_a_branch()),
    SideCondition.BEYOND_A_BRANCH: lambda scene: z3.Or(
        z3.Not(scene.reloads(scene.home)), z3.Not(scene.within_a_branch())
    ),
    SideCondition.HELPER_IN_BLOCK: lambda scene: scene.in_helper_block(scene.lr),
    SideCondition.NO_HELPER_IN_LR: lambda scene: z3.Not(scene.helper_in_lr),
    SideCondition.NARROW_CR_SAVE: lambda scene: z3.Not(scene.wide_cr_save),
    SideCondition.RETURNS: lambda scene: z3.Not(scene.leaves),
    SideCondition.NO_MEMORY_PARAMETERS: lambda scene: z3.Not(scene.memory_parameters),
}
