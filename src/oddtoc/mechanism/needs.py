"""What the proofs ask of a site: `needs.json`, written by ``python -m oddtoc.prove.needs`` and held against the proofs
by the tests, so that an apply can ask without a solver.

The file has for each mechanism, for functions `with` and `without` TOC set-up, the kinds of call that can go wrong and
what repairs each: ``same-toc and delta-fits or true-return-address``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from oddtoc.errors import MechanismError
from oddtoc.mechanism.catalog import Mechanism
from oddtoc.mechanism.conditions import SideCondition

_Table = dict[str, dict[str, dict[str, list[str]]]]


@dataclass(frozen=True)
class Need:
    """One kind of call that can go wrong, and what repairs it.

    Attributes:
        call: the id of the kind of call.
        alternatives: each holds conditions that are enough together; one alternative has to hold.
    """

    call: str
    alternatives: tuple[tuple[SideCondition, ...], ...]


def needs(mechanism: Mechanism, *, has_toc_setup: bool) -> tuple[Need, ...]:
    """What has to hold at a site before a mechanism may be used there.

    Args:
        mechanism: one of the catalogue.
        has_toc_setup: whether the function to be redirected sets up a TOC pointer.

    Raises:
        MechanismError: nothing is proven about the mechanism.
    """
    if mechanism.name not in _table():
        raise MechanismError(f"nothing is proven about {mechanism.name}", advice="choose one that oddtoc prove knows")
    calls = _table()[mechanism.name]["with" if has_toc_setup else "without"]
    return tuple(Need(call, _alternatives(text)) for call, texts in calls.items() for text in texts)


def _alternatives(text: str) -> tuple[tuple[SideCondition, ...], ...]:
    return tuple(tuple(map(SideCondition.named, part.split(" and "))) for part in text.split(" or "))


@cache
def _table() -> _Table:
    table: _Table = json.loads(files(__package__).joinpath("needs.json").read_text())
    return table
