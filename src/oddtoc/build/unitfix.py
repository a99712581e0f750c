"""One file of a fix: what its two versions differ in, against the code that runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from oddtoc.build.compare import Comparison
from oddtoc.build.names import KernelNames
from oddtoc.build.refusal import Refusal
from oddtoc.build.subjects import Proper
from oddtoc.link.fidelity import Fidelity
from oddtoc.link.unitobject import UnitObject


@dataclass
class UnitFix:
    """One file of a fix.

    Attributes:
        file: relative to the tree.
        fidelity: the old source against the code that runs.
        comparison: the old source against the new one.
        new: the new unit; with its line numbers where the patch depends on them, as `has_lines` says.
        names: what its names stand for in the running kernel.
        subject: the kernel proper or the module that it is part of.
        refusals: what is in the way.
        lost: functions that only ran at boot, and that a part of the change is in.
        on_stacks: structures that are laid out anew: all their objects are on stacks (oddtoc.build.onstack).
        beside: exported functions that stay as they were for others (oddtoc.build.beside).
    """

    file: str
    fidelity: Fidelity
    comparison: Comparison
    new: UnitObject
    names: KernelNames
    subject: Proper
    refusals: list[Refusal] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    on_stacks: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    has_lines: bool = False
