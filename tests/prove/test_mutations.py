"""A proof is worth something if a trampoline with one wrong word has none."""

import re

import pytest

from oddtoc import isa
from oddtoc.mechanism.catalog import by_name
from oddtoc.prove import Verdict
from oddtoc.prove.lift import disassembled
from oddtoc.prove.proof import first_refuted, known_helpers, prove_subject
from oddtoc.prove.subject import ReplacementKind, subjects

FLIPS = (1 << 21, 1 << 22, 1 << 16, 1 << 17, 1 << 2, 1 << 3, 1 << 26)
"""Two bits of each register field, two of the immediate or displacement, the lowest of the opcode."""

HARMLESS = {
    r".*: (.+) -> \1": "a hint to the branch predictor",
    r".*: andi\. r0,r2,0x1 -> andi\. r0,r2,0x[59]": "a TOC pointer is a multiple of 256, so these bits are clear",
    r".*: lwz r0,0x0\(r12\) -> lwzu r0,0x0\(r12\)": "an update by 0",
    r".*: cmpldi r0,(\w+) -> cmp(lw|d)i r0,\1": "r0 has 32 bits in the calls that are proven",
    r"(guarded/slot 6|odd-toc/cr4 18): ld r2,0x10\(r13\) -> (ld r0,0x10\(r13\)|ori r0,r0,0x0)": "written for callers "
    "without a TOC pointer; the calls that are proven come with it",
}
"""Changes of a word, by mechanism and index, that make no difference to the calls that are proven, and why."""

SUBJECTS = [
    subject
    for name in ("shared-toc", "guarded/slot", "odd-toc/cr4")
    for subject in subjects(by_name(name))
    if subject.replacement_kind is ReplacementKind.WITH_TOC and subject.words
]


def proven_calls(subject):
    proofs = prove_subject(subject, known_helpers(), repair=False)
    return [proof.call for proof in proofs if proof.verdict is Verdict.PROVEN]


def mutants(subject, change):
    for index, word in enumerate(subject.words):
        place = subject.start + 4 * index
        for other in change(word):
            what = f"{subject.mechanism.name} {index}: {disassembled(word, place)} -> {disassembled(other, place)}"
            if not any(re.fullmatch(pattern, what) for pattern in HARMLESS):
                yield what, subject.with_word(index, other)


def survivors(subject, change):
    calls = proven_calls(subject)
    found = mutants(subject, change)
    return {what for what, mutant in found if first_refuted(mutant, calls, known_helpers()) is None}


def named(subject):
    return subject.template


@pytest.mark.parametrize("subject", SUBJECTS, ids=named)
def test_no_word_can_be_left_out(subject):
    assert survivors(subject, lambda _: [isa.NOP]) == set()


@pytest.mark.parametrize("subject", SUBJECTS, ids=named)
def test_no_field_can_be_changed(subject):
    assert survivors(subject, lambda word: [word ^ bit for bit in FLIPS]) == set()
