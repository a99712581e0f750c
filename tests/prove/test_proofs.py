"""What is proven and what is refuted, with the conditions that repair it."""

import json
import subprocess
import sys

import pytest

from oddtoc import isa
from oddtoc.mechanism.catalog import AUTOMATIC, MECHANISMS, by_name
from oddtoc.prove import SideCondition, Verdict, is_sound_by_default, prove, prove_all, sound_by_default
from oddtoc.prove.calls import CALLS
from oddtoc.prove.claims import Claim
from oddtoc.prove.paths import explore
from oddtoc.prove.proof import known_helpers
from oddtoc.prove.scene import Scene
from oddtoc.prove.subject import TOC, EntryKind, ReplacementKind, subjects
from oddtoc.report.proofs import matrix_as_text, proofs_as_json, proofs_as_text

WITH, WITHOUT = EntryKind.WITH_TOC, EntryKind.WITHOUT_TOC


@pytest.fixture(scope="module")
def proofs():
    names = ("shared-toc", "guarded/slot", "odd-toc/cr4")
    return {mechanism.name: found for mechanism, found in prove_all([by_name(name) for name in names])}


def one(proofs, call, entry=WITH, replacement=ReplacementKind.WITH_TOC):
    (found,) = [
        p
        for p in proofs
        if (p.call.id, p.subject.entry, p.subject.replacement_kind) == (call, entry, replacement)
    ]  # fmt: skip
    return found


def needed(proof):
    return {(str(repair), repair.exact) for repair in proof.repairs}


def conditional(proofs):
    """(call, entry kind) of everything that is not simply proven, whatever the replacement."""
    return {(p.call.id, p.subject.entry) for p in proofs if p.verdict is not Verdict.PROVEN}


@pytest.mark.parametrize("process", [False, True])
@pytest.mark.parametrize("mechanism", AUTOMATIC, ids=lambda mechanism: mechanism.name)
def test_what_auto_picks_is_proven_with_nothing_to_look_at(mechanism, process):
    found = prove(mechanism, process=process)
    assert is_sound_by_default(found)
    plain = [proof for proof in found if proof.call.special is None]
    assert {proof.verdict for proof in plain} == {Verdict.PROVEN}
    assert {proof.call.id for proof in plain} >= {"local", "global", "sibling", "helper", "any-helper", "jit"}


def test_the_rfc_can_not_be_the_default():
    assert not sound_by_default(by_name("odd-toc/cr4"))


def test_shared_toc_needs_nothing_at_all(proofs):
    assert {proof.verdict for proof in proofs["shared-toc"]} == {Verdict.PROVEN}


def test_guarded_slot_is_wrong_in_these_special_cases_only(proofs):
    assert conditional(proofs["guarded/slot"]) == {
        ("assembly", WITH),
        ("traced-sibling", WITH),
        ("traced-sibling", WITHOUT),
        ("traced-global", WITHOUT),
        ("longjmp", WITH),
        ("longjmp", WITHOUT),
    }
    chain = one(proofs["guarded/slot"], "traced-sibling")
    assert needed(chain) == {("same-toc or true-return-address", True)}
    assert chain.counterexample.values["lr"] != chain.counterexample.values["home"]
    assert chain.counterexample.values["caller_toc"] != TOC
    assert needed(one(proofs["guarded/slot"], "assembly")) == {("caller-reloads", True)}


def test_sibling_hazard_of_the_rfc(proofs):
    proof = one(proofs["odd-toc/cr4"], "sibling")
    assert proof.verdict is Verdict.CONDITIONAL
    assert {Claim.CALLER_TOC, Claim.SAVED_TOC} <= set(proof.failed)
    assert needed(proof) == {("same-toc", True)}
    values = proof.counterexample.values
    assert values["r2"] == TOC and values["r2"] % 2 == 0
    assert values["saved"] == values["caller_toc"] != TOC
    assert values["saved_after"] == TOC
    text = " ".join(proof.counterexample.story + proof.counterexample.consequences)
    assert f"24(r1) holds {TOC:#x} instead of {values['caller_toc']:#x}" in text
    assert "B tail-calls C locally" in text


def test_distance_hazard_of_the_rfc(proofs):
    for entry in EntryKind:
        proof = one(proofs["odd-toc/cr4"], "jit", entry)
        assert proof.failed == (Claim.RETURN_ADDRESS,)
        assert needed(proof) == {("delta-fits", True)}
        values = proof.counterexample.values
        assert not -(1 << 31) <= values["r2"] - values["lr"] < 1 << 31
        # what the helper makes of the low half of the distance
        assert values["target"] == (values["r2"] - isa.sign_extend(values["r2"] - values["lr"], 32)) % (1 << 64)


def test_other_hazards_of_the_rfc(proofs):
    found = proofs["odd-toc/cr4"]
    assert needed(one(found, "window")) == {("same-toc", True)}
    assert needed(one(found, "traced-sibling")) == {("same-toc and delta-fits", True)}
    assert ("helper-in-block", False) in needed(one(found, "any-helper"))
    assert ("narrow-cr-save", False) in needed(one(found, "wide-cr-save"))
    assert {call for call, entry in conditional(found) if entry is WITH} == {
        "window", "sibling", "any-helper", "jit", "assembly", "traced-local", "traced-sibling", "wide-cr-save",
    }  # fmt: skip


def test_who_borrows_the_toc_save_doubleword(proofs):
    for name, during in (("guarded/slot", ("LR", "TOC")), ("odd-toc/cr4", ("r2", "r2"))):
        far = one(proofs[name], "jit")
        assert [way.borrowed.saved for way in far.ways] == [during]
        restored = one(proofs[name], "global")
        assert [way.borrowed.saved for way in restored.ways] == [("unchanged", "unchanged")]
    assert {way.borrowed.saved for p in proofs["shared-toc"] for way in p.ways} == {("unchanged", "unchanged")}
    chain = one(proofs["guarded/slot"], "sibling")
    assert [way.borrowed.saved for way in chain.ways] == [("unchanged", "unchanged")]


def test_instructions_in_and_out(proofs):
    def ways(name, call, entry=WITH):
        return {way.instructions for way in one(proofs[name], call, entry).ways}

    assert ways("shared-toc", "local") == ways("shared-toc", "global") == {(1, 0)}
    assert ways("guarded/slot", "global") == {(6, 0)}
    assert ways("guarded/slot", "jit") == {(11, 5)}
    assert ways("odd-toc/cr4", "local") == {(12, 5)}
    assert max(way.instructions for proof in proofs["guarded/slot"] for way in proof.ways) <= (17, 5)


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name.endswith("/frame")])
def test_a_frame_in_between_loses_parameters_in_memory(name):
    proof = one(prove(by_name(name)), "memory-parameters")
    assert Claim.MEMORY_PARAMETERS in proof.failed or name.startswith("heuristic/")
    assert all(SideCondition.NO_MEMORY_PARAMETERS in repair.conditions for repair in proof.repairs)


def test_always_without_a_borrowed_word_restores_everybody():
    for name in ("always/lr-stack", "always/livepatch-stack"):
        found = prove(by_name(name))
        assert {call for call, _ in conditional(found)} == {"longjmp"}
        assert {way.borrowed.saved for proof in found for way in proof.ways} == {("unchanged", "unchanged")}


def test_a_stale_r12_fools_the_heuristic():
    proof = one(prove(by_name("heuristic/slot")), "local")
    assert proof.failed == (Claim.CALLER_TOC,)
    assert needed(proof) == {("fresh-r12 and within-a-branch", False)}


@pytest.mark.parametrize("process", [False, True])
def test_helpers_found_by_running_are_the_words_behind_the_calls(process):
    """Whatever a trampoline leaves in LR is known to the proofs of all others."""
    for mechanism in MECHANISMS.values():
        for subject in subjects(mechanism, process=process):
            assert set(explore(Scene(subject)).helpers) <= set(known_helpers())


def test_every_call_has_states_and_paths(proofs):
    """A kind of call that nobody can make would be proven for nothing."""
    for found in proofs.values():
        assert all(proof.ways for proof in found)
    assert {proof.call.id for proof in proofs["guarded/slot"]} == {call.id for call in CALLS}


def test_text_and_json(proofs):
    mechanism = by_name("odd-toc/cr4")
    text = proofs_as_text(mechanism, proofs["odd-toc/cr4"])
    assert "odd-toc/cr4 can't be the default." in text
    assert "delta-fits" in text and SideCondition.DELTA_FITS.value.split(":")[0] in text
    assert max(map(len, text.splitlines())) <= 160
    matrix = matrix_as_text({by_name(name): found for name, found in proofs.items()}, 1.5)
    rows = {line.split()[0]: line.split()[1:] for line in matrix.splitlines() if line.startswith(("shared", "guarded"))}
    assert rows["shared-toc"] == ["ok", "ok", "-", *["ok"] * 11, "may", "be"]
    records = json.loads(proofs_as_json(proofs["odd-toc/cr4"]))
    sibling = next(r for r in records if r["call"] == "sibling" and r["entry"] == WITH.value)
    assert sibling["verdict"] == "conditional"
    assert sibling["conditions"] == [
        {"conditions": ["same-toc"], "any_of": False, "exact": True, "by_construction": False}
    ]
    assert int(sibling["counterexample"]["values"]["toc"], 16) == TOC


@pytest.mark.parametrize("library", ["pypcode", "z3"])
def test_a_missing_library_is_one_clear_error(library):
    code = f"import sys; sys.modules[{library!r}] = None\nfrom oddtoc.errors import LibraryError\n" + (
        "try:\n    import oddtoc.prove.proof\nexcept LibraryError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, advice = result.stdout.splitlines()
    assert first == f"proofs need pypcode and z3-solver, and {library} is not installed"
    assert advice == "pip install 'oddtoc[prove]'"
