"""What repairs a call that can go wrong. Plain data, without a solver."""

from __future__ import annotations

from dataclasses import dataclass

from oddtoc.mechanism.conditions import Keeper, SideCondition


@dataclass(frozen=True)
class Repair:
    """Conditions under which a call that can go wrong is proven right.

    Attributes:
        conditions: the conditions.
        any_of: one of them is enough; otherwise all are needed.
        exact: wherever they do not hold, the call does go wrong: no weaker condition would do.
    """

    conditions: tuple[SideCondition, ...]
    any_of: bool
    exact: bool

    @property
    def by_construction(self) -> bool:
        """Whether nothing has to be looked at."""
        kept = [condition.keeper is Keeper.CONSTRUCTION for condition in self.conditions]
        return any(kept) if self.any_of else all(kept)

    def __str__(self) -> str:
        return (" or " if self.any_of else " and ").join(condition.id for condition in self.conditions)
