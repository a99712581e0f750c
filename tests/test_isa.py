"""Words of the Power ISA against the assembler; whole kernels of them are compared in tests/image."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddtoc import isa

FAR = st.integers(-isa.BRANCH_REACH // 4, isa.BRANCH_REACH // 4 - 1).map(lambda words: words * 4)
ADDRESS = st.integers(2**62, 2**62 + 2**40).map(lambda address: address & ~3)


def assembled(tmp_path: Path, *lines: str) -> list[int]:
    """The words that the real assembler makes of instructions, each at its own address from 0 on."""
    source = "\n".join(("\t.abiversion 2", "\t.machine power10", *lines, ""))
    run = ["powerpc64le-linux-gnu-as", "-mregnames", "-o", tmp_path / "a.o", "-"]
    subprocess.run(run, input=source.encode(), check=True)
    subprocess.run(
        ["powerpc64le-linux-gnu-objcopy", "-O", "binary", "-j", ".text", tmp_path / "a.o", tmp_path / "a"], check=True
    )
    return np.fromfile(tmp_path / "a", "<u4").tolist()


def test_every_constant_is_what_the_assembler_makes(tmp_path: Path):
    expected = {
        "nop": isa.NOP,
        "blr": isa.BLR,
        "bctr": isa.BCTR,
        "bctrl": isa.BCTRL,
        "mflr r0": isa.MFLR_R0,
        "trap": isa.TRAP,
        "ld r2,24(r1)": isa.TOC_RELOAD,
        "std r2,24(r1)": isa.TOC_SAVE,
        "addis r2,r12,0": isa.ADDIS_R2_R12,
        "lis r2,0": isa.LIS_R2,
        "addi r2,r2,0": isa.ADDI_R2_R2,
        "ld r2,0(r12)": isa.LD_R2_R12,
        "add r2,r2,r12": isa.ADD_R2_R2_R12,
        "std r0,16(r1)": isa.STD_R0_16_R1,
    }
    assert assembled(tmp_path, *expected) == list(expected.values())


def test_branches_are_the_assemblers(tmp_path: Path):
    distances = [4, -4, 0x8000, -0x8000, isa.BRANCH_REACH - 4, -isa.BRANCH_REACH]
    lines = [f"{name} .{distance:+d}" for distance in distances for name in ("b", "bl")]
    words = assembled(tmp_path, *lines)
    ours = [
        isa.branch(0x10000000, 0x10000000 + distance, link=link) for distance in distances for link in (False, True)
    ]
    assert words == ours


@given(address=ADDRESS, distance=FAR, link=st.booleans())
def test_a_branch_goes_where_it_was_sent(address: int, distance: int, link: bool):
    word = isa.branch(address, address + distance, link=link)
    assert isa.is_branch(word) and isa.is_link(word) is link
    assert isa.branch_target(address, word) == address + distance
    places, targets = isa.branch_targets(address, np.array([isa.NOP, word], np.uint32))
    assert places.tolist() == [1] and targets.tolist() == [address + 4 + distance]


@pytest.mark.parametrize("distance", [isa.BRANCH_REACH, -isa.BRANCH_REACH - 4, 2, 1 << 40])
def test_a_branch_out_of_reach_is_refused(distance: int):
    with pytest.raises(OverflowError, match="no branch from"):
        isa.branch(0x1000000000, 0x1000000000 + distance)


def test_conditional_branches_have_targets_and_others_none(tmp_path: Path):
    words = assembled(tmp_path, "beq .+0x20", "bdnz .-0x8000", "bcl 20,31,.+4", "bla 0x100", "ba 0x100", "blr", "bctrl")
    found = [isa.branch_target(0x10000 + 4 * index, word) for index, word in enumerate(words)]
    assert found == [0x10020, 0x10004 - 0x8000, 0x1000C, None, None, None, None]
    places, targets = isa.branch_targets(0x10000, np.array(words, np.uint32))
    assert dict(zip(places.tolist(), targets.tolist(), strict=True)) == {i: to for i, to in enumerate(found) if to}


@given(st.integers(-(2**31) + 0x8000, 2**31 - 0x8001))
def test_halves_add_up(value: int):
    first, second = isa.ADDIS_R2_R12 | isa.high_adjusted(value), isa.ADDI_R2_R2 | isa.low(value)
    assert isa.toc_pair(first, second) == value


@given(st.integers(0, 2**32 - 1))
def test_only_the_pair_is_a_pair(word: int):
    if word >> 16 != isa.ADDIS_R2_R12 >> 16:
        assert isa.toc_pair(word, isa.ADDI_R2_R2) is None
    if word >> 16 != isa.ADDI_R2_R2 >> 16:
        assert isa.toc_pair(isa.ADDIS_R2_R12, word) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 32))
def test_sign_extension_keeps_the_low_bits(value: int, bits: int):
    extended = isa.sign_extend(value, bits)
    assert -(1 << bits - 1) <= extended < 1 << bits - 1
    assert (extended - value) % (1 << bits) == 0


def test_descriptions_are_assembled_to_the_same_words(tmp_path: Path):
    """What is described can be fed to the assembler and gives the word again."""
    words = [
        *(isa.ADDIS_R2_R12 | low for low in (0, 1, 0x7FFF, 0x8000, 0xFFFF)),
        *(base | low for base in (isa.LIS_R2, isa.ADDI_R2_R2) for low in (0, 0x8000, 0xFFFF)),
        *(isa.LD_R2_R12 | low for low in (0, 0xFFF8, 0x7FFC)),
        *(isa.NOP, isa.BLR, isa.BCTR, isa.BCTRL, isa.MFLR_R0, isa.ADD_R2_R2_R12, isa.STD_R0_16_R1),
    ]
    assert assembled(tmp_path, *(isa.describe(word, 0) for word in words)) == words
    unknown = assembled(tmp_path, "ldu r2,8(r12)", "addi r3,r2,1", "ba 0x100", "addis r2,r2,1")
    assert [isa.describe(word, 0) for word in unknown] == [""] * 4
    assert isa.describe(isa.branch(0x1000, 0x2000), 0x1000) == "b 0x2000"
    assert isa.describe(isa.branch(0x1000, 0xFF0, link=True), 0x1000) == "bl 0xff0"
