"""Symbolic proof of the mechanisms, on the bytes that get planted.

`prove` links the trampolines of a mechanism to addresses as a kernel has them, runs those bytes on unknown registers
and memory with any replacement that keeps to the ABI, and asks a solver whether a call of some kind can come back
wrong. Needs pypcode and z3-solver.
"""

from __future__ import annotations

from oddtoc.errors import LibraryError

try:
    from oddtoc.mechanism.conditions import Keeper, SideCondition
    from oddtoc.prove.proof import (
        Proof,
        Verdict,
        conditions_at_sites,
        is_sound_by_default,
        prove,
        prove_all,
        sound_by_default,
    )
    from oddtoc.prove.repair import Repair
except ModuleNotFoundError as error:
    if error.name not in ("pypcode", "z3"):
        raise
    raise LibraryError(
        f"proofs need pypcode and z3-solver, and {error.name} is not installed", advice="pip install 'oddtoc[prove]'"
    ) from error

__all__ = [
    "Keeper",
    "Proof",
    "Repair",
    "SideCondition",
    "Verdict",
    "conditions_at_sites",
    "is_sound_by_default",
    "prove",
    "prove_all",
    "sound_by_default",
]
