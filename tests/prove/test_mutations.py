"""A proof is worth something if a trampoline with one wrong word has none."""

import pytest

from oddtoc import isa
from oddtoc.mechanism.catalog import by_name
from oddtoc.prove import Verdict
from oddtoc.prove.lift import disassembled
from oddtoc.prove.proof import first_refuted, known_helpers, prove_subject
from oddtoc.prove.subject import ReplacementKind, subjects

FLIPS = (1 << 21, 1 << 22, 1 << 16, 1 << 17, 1 << 2, 1 << 3, 1 << 26)
"""Two bits of each register field, two of the immediate or displacement, the lowest of the opcode."""

SUBJECTS = [
    subject
    for name in ("shared-toc", "guarded/slot", "odd-toc/cr4", "always/lr-stack")
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
            if other != word:
                yield disassembled(word, place), disassembled(other, place), subject.with_word(index, other)


def survivors(subject, change):
    calls = proven_calls(subject)
    return {
        f"{before} -> {after}"
        for before, after, mutant in mutants(subject, change)
        if first_refuted(mutant, calls, known_helpers()) is None
    }


def named(subject):
    return subject.template


@pytest.mark.parametrize("subject", SUBJECTS, ids=named)
def test_no_word_can_be_left_out(subject):
    assert survivors(subject, lambda _: [isa.NOP]) == set()


@pytest.mark.parametrize("subject", SUBJECTS, ids=named)
def test_no_field_can_be_changed(subject):
    assert survivors(subject, lambda word: [word ^ bit for bit in FLIPS]) == set()
