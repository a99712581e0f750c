"""Payloads that no branch reaches: what islands and long branches are, by another assembler; what needs no island."""

import subprocess

import pytest

from oddtoc.build.compile import tool
from oddtoc.errors import RelocationError
from oddtoc.link.stubs import island, long_branch

TARGET = 0x7FFF8A9D1234
DISTANCE = -0x12348004


def assembled(folder, text):
    """The words that gas makes of some lines."""
    source, made, raw = (folder / f"words.{end}" for end in ("s", "o", "bin"))
    source.write_text(text)
    subprocess.run([tool("as"), "-mregnames", "-o", made, source], check=True)
    subprocess.run([tool("objcopy"), "-O", "binary", "-j", ".text", made, raw], check=True)
    data = raw.read_bytes()
    return [int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data), 4)]


def test_an_island_loads_the_address_into_r0(tmp_path):
    parts = TARGET >> 32, TARGET >> 16 & 0xFFFF, TARGET & 0xFFFF
    lines = "li r0,{}\nsldi r0,r0,32\noris r0,r0,{}\nori r0,r0,{}\nmtctr r0\nbctr\n".format(*parts)
    assert list(island(TARGET)) == assembled(tmp_path, lines)


@pytest.mark.parametrize("address", [-4, 1 << 47, 0xC000000000000000])
def test_an_island_goes_to_addresses_of_processes_alone(address):
    with pytest.raises(OverflowError):
        island(address)


def test_a_long_branch_goes_by_the_toc_pointer(tmp_path):
    high, low = (DISTANCE + 0x8000) >> 16, (DISTANCE + 0x8000 & 0xFFFF) - 0x8000
    lines = f"addis r12,r2,{high}\naddi r12,r12,{low}\nmtctr r12\nbctr\n"
    assert list(long_branch("f", DISTANCE)) == assembled(tmp_path, lines)
    with pytest.raises(RelocationError, match="beyond 2 GiB"):
        long_branch("f", 1 << 31)
