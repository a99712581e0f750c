"""Proofs against what real machine code did: the laboratory's matrix, which its own tests hold against qemu-ppc64le."""

import pytest

from lab.expected import expected
from oddtoc.mechanism.catalog import MECHANISMS
from oddtoc.prove import Verdict, prove_all
from oddtoc.prove.subject import EntryKind, ReplacementKind

WITH, WITHOUT = EntryKind.WITH_TOC, EntryKind.WITHOUT_TOC
SAME_CALL = {
    "local": ("local", WITH),
    "stale-r12": ("local", WITH),
    "saves-toc": ("local", WITH),
    "global-object": ("global", WITH),
    "no-toc-local": ("local", WITHOUT),
    "no-toc-object": ("global", WITHOUT),
    "enabling": ("window", WITH),
    "sibling": ("sibling", WITH),
    "sibling-patched": ("helper", WITH),
    "stack-arguments": ("memory-parameters", WITH),
    "far-caller": ("jit", WITH),
    "delta-within": ("jit", WITH),
    "delta-over": ("jit", WITH),
    "no-reload": ("assembly", WITH),
    "return-replaced": ("traced-local", WITH),
    "return-replaced-object": ("traced-global", WITH),
    "return-replaced-sibling": ("traced-sibling", WITH),
    "longjmp-saver": ("longjmp", WITH),
    "cr-doubleword": ("wide-cr-save", WITH),
}
"""Scenario of the laboratory to kind of call."""

KEEPS_THE_CONDITION = {
    ("odd-toc/cr4", "delta-within"),
    ("return-site/cr4", "delta-within"),
    ("guarded/cr4", "delta-within"),
    # the laboratory's tracer stands within 2 GiB
    ("odd-toc/cr4", "return-replaced"),
    ("return-site/cr4", "return-replaced"),
    ("guarded/cr4", "return-replaced"),
}
"""Calls that need a condition for their proof, and that come back right because the scenario keeps it."""


@pytest.fixture(scope="module")
def proofs():
    found = prove_all(list(MECHANISMS.values()), process=True)
    return {
        (mechanism.name, proof.call.id, proof.subject.entry): proof
        for mechanism, proofs in found
        for proof in proofs
        if proof.subject.replacement_kind is ReplacementKind.WITH_TOC
    }


def pairs(proofs):
    """(mechanism, scenario, proof, whether it came back right) of everything that both rooms know."""
    for name in MECHANISMS:
        for scenario, (call, entry) in SAME_CALL.items():
            outcome = expected(name, scenario)
            if (name, call, entry) in proofs and outcome != "refused":
                yield name, scenario, proofs[name, call, entry], outcome == "ok"


def test_nothing_that_is_proven_went_wrong(proofs):
    wrong = [
        (name, scenario) for name, scenario, proof, ok in pairs(proofs) if proof.verdict is Verdict.PROVEN and not ok
    ]
    assert not wrong
    assert sum(proof.verdict is Verdict.PROVEN for _, _, proof, _ in pairs(proofs)) > 250


def test_nothing_that_is_refuted_came_back_right_unless_the_scenario_keeps_the_condition(proofs):
    right = {
        (name, scenario)
        for name, scenario, proof, ok in pairs(proofs)
        if proof.verdict is not Verdict.PROVEN and ok and not name.startswith("heuristic/")
    }
    assert right == KEEPS_THE_CONDITION


def test_the_heuristic_is_right_only_where_its_conditions_hold(proofs):
    """The laboratory's callers have a fresh r12 and are near, other than these."""
    for name, scenario, proof, ok in pairs(proofs):
        if name.startswith("heuristic/") and not ok:
            assert proof.repairs, (name, scenario)
            assert scenario in {
                "stale-r12", "far-caller", "delta-within", "delta-over", "stack-arguments", "no-reload",
                "sibling-patched", "longjmp-saver", "cr-doubleword", "sibling", "return-replaced-sibling",
            }, (name, scenario)  # fmt: skip
