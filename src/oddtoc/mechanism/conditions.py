"""Side conditions: what has to hold at a site where a mechanism alone is not enough."""

from __future__ import annotations

from enum import Enum


class Keeper(Enum):
    """Who sees to a condition."""

    CONSTRUCTION = "the ABI, or how payloads are built"
    SITE = "nobody: it has to be looked at for every function"


class SideCondition(Enum):
    """A condition that makes a call come back right. The value is what has to hold.

    `keeper` says who sees to it; the predicate over the unknowns of a call is in `predicates.py`.
    """

    SAME_TOC = "whoever comes with an even r2 and restores its own from 24(r1) is on the patched object's TOC"
    TRUE_RETURN_ADDRESS = "LR is the caller's return address: no tracer has put its own trampoline there"
    DELTA_FITS = "r2 - LR fits 32 bits: nobody calls from beyond 2 GiB, no tracer's trampoline lies there"
    CALLER_RELOADS = "whoever calls the global entry reloads r2 from 24(r1) behind the call"
    FRESH_R12 = "r12 holds the function's global entry only in calls that came through it"
    WITHIN_A_BRANCH = "whoever expects r2 back calls from within the 32 MiB of a bl"
    BEYOND_A_BRANCH = "whoever restores its own r2 calls from beyond the 32 MiB of a bl"
    HELPER_IN_BLOCK = "a return helper that is found in LR stands in the mechanism's own block of helpers"
    NO_HELPER_IN_LR = "LR is no return helper: no replacement of another function tail-calls this one"
    NARROW_CR_SAVE = "the replacement saves CR in the 32 bits of the CR save word"
    RETURNS = "the replacement returns: no longjmp leaves it"
    NO_MEMORY_PARAMETERS = "the replacement has no parameters in its caller's frame"

    @property
    def id(self) -> str:
        """A name for programs: ``delta-fits``."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def named(cls, id: str) -> SideCondition:
        """The condition with that id. Raises KeyError when there is none."""
        return cls[id.upper().replace("-", "_")]

    @property
    def keeper(self) -> Keeper:
        """Who sees to it."""
        return Keeper.CONSTRUCTION if self is SideCondition.NARROW_CR_SAVE else Keeper.SITE
