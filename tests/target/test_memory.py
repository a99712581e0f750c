"""Which addresses are memory, and how requests are cut. QEMU's real answers are in test_qemu_target.py."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddtoc.errors import FaultError, WriteFaultError
from oddtoc.target.memory import LINEAR_MAP, Memory, batches, pieces, pieces_of_data, read_memory

TREE = """\
FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-000000000000ffff (prio 0, i/o): io

FlatView #1
 AS "cpu-memory-0", root: system
 AS "memory", root: system
 Root memory region: system
  0000000000000000-000000000fffffff (prio 0, ram): ppc_spapr.ram KVM
  0000000010000000-000000001000ffff (prio 1, rom): boot
  0000000010010000-000000001fffffff (prio 0, ram): ppc_spapr.ram @0000000010010000
  0000000020000000-0000000020000fff (prio -1, i/o): uart
  0000000030000000-00000000300fffff (prio 0, romd): flash
  0000000040000000-000000004fffffff (prio 0, nv-ram): dimm

FlatView #2
 AS "pci", root: bus
 Root memory region: bus
  0000000080000000-00000000ffffffff (prio 0, ram): elsewhere

"""
READABLE = ((0, 0x20000000), (0x40000000, 0x50000000))
WRITABLE = ((0, 0x10000000), (0x10010000, 0x20000000), (0x40000000, 0x50000000))


@pytest.mark.parametrize("text", [TREE, TREE.replace("\n", "\r\n")])
def test_the_memory_that_vcpus_see_is_found(text):
    assert read_memory(text) == Memory(READABLE, WRITABLE)


@given(st.text() | st.lists(st.sampled_from(TREE.splitlines(keepends=True))).map("".join))
def test_any_text_gives_ranges_in_order(text):
    memory = read_memory(text)
    for ranges in (memory.readable, memory.writable):
        borders = [border for pair in ranges for border in pair]
        assert borders == sorted(set(borders))


INSIDE = [(0, 1), (0, 0x20000000), (0xFFFFFFF, 2), (0x1FFFFFFF, 1), (0x4FFFFFF0, 16)]
OUTSIDE = [(0x1FFFFFFF, 2), (0x20000000, 1), (0x30000000, 4), (0x3FFFFFFF, 2), (0x50000000, 1), (1 << 59, 8)]


@pytest.mark.parametrize("physical, size", INSIDE)
def test_what_is_memory_can_be_read(physical, size):
    assert Memory(READABLE, WRITABLE).to_read(LINEAR_MAP + physical, size) == physical


@pytest.mark.parametrize("physical, size", OUTSIDE)
def test_what_is_no_memory_is_a_fault(physical, size):
    memory, address = Memory(READABLE, WRITABLE), LINEAR_MAP + physical
    with pytest.raises(FaultError) as caught:
        memory.to_read(address, size)
    assert (caught.value.address, caught.value.size) == (address, size)
    with pytest.raises(WriteFaultError):
        memory.to_write(address, size)


def test_rom_is_read_but_not_written():
    memory = Memory(READABLE, WRITABLE)
    assert memory.to_read(LINEAR_MAP + 0x10000000, 0x10000) == 0x10000000
    for start, size in [(0x10000000, 4), (0xFFFFFFE, 4), (0x1000FFFF, 2)]:
        with pytest.raises(WriteFaultError):
            memory.to_write(LINEAR_MAP + start, size)


NOT_LINEAR = [0, 0x10000000, LINEAR_MAP - 1, 0xD000000000000000, (1 << 64) - 1, 1 << 64, -1]


@pytest.mark.parametrize("memory", [Memory(), Memory(READABLE, WRITABLE)], ids=["unknown", "known"])
@pytest.mark.parametrize("address", NOT_LINEAR, ids=hex)
def test_addresses_outside_of_the_linear_map_are_faults(memory, address):
    with pytest.raises(FaultError):
        memory.to_read(address, 4)
    with pytest.raises(WriteFaultError):
        memory.to_write(address, 4)


@given(st.integers(0, 1 << 63), st.binary(max_size=300), st.integers(1, 64))
def test_pieces_join_to_the_whole(address, data, most):
    cut = pieces_of_data(address, data, most)
    assert b"".join(part for _, part in cut) == data
    assert [(start, len(part)) for start, part in cut] == pieces(address, len(data), most)
    assert all(0 < len(part) <= most and start == address + n * most for n, (start, part) in enumerate(cut))


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_batches_are_in_order_and_no_larger_than_they_must_be(sizes, most):
    groups = [sizes[group] for group in batches(sizes, most)]
    assert [size for group in groups for size in group] == sizes
    assert all(group and (sum(group) <= most or len(group) == 1) for group in groups)
    assert all(sum(group) + after[0] > most for group, after in pairwise(groups))
