"""The conditions that proofs leave to the site, as the table that `oddtoc.mechanism.needs` reads.

``python -m oddtoc.prove.needs > src/oddtoc/mechanism/needs.json``
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from oddtoc.mechanism.catalog import MECHANISMS
from oddtoc.mechanism.conditions import Keeper
from oddtoc.prove.proof import Proof, prove_all
from oddtoc.prove.repair import Repair
from oddtoc.prove.subject import EntryKind

_SEEN_TO = {"window": "the commit looks where every thread stands"}
"""Kinds of calls that are no matter of the site, and who sees to them."""
_KEYS = {EntryKind.WITH_TOC: "with", EntryKind.WITHOUT_TOC: "without"}


def needs_of(proofs: Iterable[Proof]) -> dict[str, dict[str, list[str]]]:
    """What one mechanism leaves to the site: with or without TOC set-up -> kind of call -> what repairs it.

    Args:
        proofs: all of the mechanism.
    """
    found: dict[str, dict[str, list[str]]] = {key: {} for key in _KEYS.values()}
    for proof in proofs:
        if proof.by_construction or proof.call.id in _SEEN_TO:
            continue
        texts = found[_KEYS[proof.subject.entry]].setdefault(proof.call.id, [])
        text = " or ".join(_text(repair) for repair in proof.repairs)
        if text not in texts:
            texts.append(text)
    return found


def _text(repair: Repair) -> str:
    left = [condition.id for condition in repair.conditions if condition.keeper is Keeper.SITE]
    return (" or " if repair.any_of else " and ").join(left)


if __name__ == "__main__":
    proven = prove_all(list(MECHANISMS.values()))
    print(json.dumps({mechanism.name: needs_of(proofs) for mechanism, proofs in proven}, indent=1))
