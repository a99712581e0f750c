"""The old source, compiled here, is the code that runs; and its static names are found without asking for names."""

import subprocess

import pytest

from oddtoc.build.compile import tool
from oddtoc.image.elf import Image
from oddtoc.link.fidelity import compare

FILES = {
    "kernel/fork.c": 80,
    "mm/mmap.c": 87,
    "net/ipv4/tcp_input.c": 85,
    "fs/seq_file.c": 48,
    "fs/read_write.c": 54,
    "fs/proc/cmdline.c": 2,
}
OVERRIDDEN = {"arch_dup_task_struct"}
"""Weak, and defined by arch/powerpc too."""


@pytest.fixture(scope="module")
def compared(running, image):
    return {file: compare(running(file), image) for file in FILES}


def test_every_function_of_whole_files_is_the_one_that_runs(compared):
    for file, found in compared.items():
        assert found.different == {} and found.absent == [], file
        assert set(found.overridden) <= OVERRIDDEN
        assert len(found.addresses) + len(found.overridden) == len(found.unit.functions)
    assert sum(len(found.addresses) for found in compared.values()) == sum(FILES.values()) - len(OVERRIDDEN)


def test_addresses_that_code_tells_are_those_of_the_symbol_table(compared, kernel):
    """nm knows nothing of this reading of code; names that stand once can be held against it."""
    printed = subprocess.run([tool("nm"), kernel.vmlinux], capture_output=True, text=True, check=True).stdout
    table = {}
    for line in printed.splitlines():
        *address, _, name = line.split()
        table.setdefault(name, set()).update(int(number, 16) for number in address)
    checked = 0
    for found in compared.values():
        for symbol in (*found.unit.functions, *found.unit.objects):
            address = found.address_of(symbol.name)
            if address is not None and len(table.get(symbol.name, ())) == 1:
                assert table[symbol.name] == {address}, symbol.name
                checked += 1
    assert checked > 450


def test_static_names_that_stand_more_than_once_are_told_apart(compared, image):
    """A file's functions stay together, so each of them has to be between two global ones of the same file."""
    told_apart = 0
    for found in compared.values():
        text = {s.name for s in found.unit.functions if found.unit.sections[s.section].name == f".text.{s.name}"}
        several = [n for n in text & set(found.addresses) if len({s.address for s in image.symbols.find(n)}) > 1]
        unique = [found.addresses[name] for name in text & set(found.addresses) if name not in several]
        assert all(min(unique) - 512 < found.addresses[name] < max(unique) + 512 for name in several)
        told_apart += len(several)
    assert told_apart >= 3


def test_calls_through_stubs_of_the_linker_lead_where_the_source_says(running, image):
    """init_idle, in the kernel's init text, calls sched_clock from more than 32 MiB away."""
    found = compare(running("kernel/sched/core.c"), image)
    assert found.different == {} and "init_idle" in found.addresses


def test_strings_that_code_counts_from_before_their_start_are_those_strings(running, image):
    """`*++p` in device_node_string begins a byte before its string, and ld moves both together."""
    unit = running("lib/vsprintf.c")
    assert compare(unit, image).different == {}
    section = next(s for s in unit.sections.values() if s.strings and b"fnpPFcC\0" in s.data)
    before = [s for s in unit.symbols if s.section == section.index and s.name.startswith(".LC")]
    assert before
    for symbol in before:
        data = bytearray(section.data)
        data[symbol.value] ^= 1
        section.data = bytes(data)
    assert any("its constant" in reason for reason in compare(unit, image).different.values())


def test_weak_variables_are_those_that_override_them(running, image):
    """filter.c defines some of BPF's prototypes for the case that nobody else does."""
    found = compare(running("net/core/filter.c"), image)
    assert found.different == {} and len(found.addresses) == len(found.unit.functions)


@pytest.mark.parametrize("word", range(0, 48, 8))
def test_one_changed_word_is_a_difference_that_is_named(running, image, word):
    unit = running("fs/proc/cmdline.c")
    symbol = next(s for s in unit.functions if s.name == "cmdline_proc_show")
    section = unit.sections[symbol.section]
    relocated = {r.offset & ~3 for r in section.relocations}
    place = next(o for o in range(word, symbol.size, 4) if o % 4 == 0 and o not in relocated)
    data = bytearray(section.data)
    data[place] ^= 1
    section.data = bytes(data)
    found = compare(unit, image)
    assert f"at +{place:#x} runs" in found.different["cmdline_proc_show"]


def test_a_call_of_another_function_is_a_difference(running, image):
    unit = running("fs/proc/cmdline.c")
    index = next(s.index for s in unit.symbols if s.name == "seq_puts")
    unit.symbols[index] = next(
        type(s)(s.index, "seq_printf", s.type, s.binding, s.section, s.value, s.size, s.other)
        for s in unit.symbols
        if s.index == index
    )
    assert "compiled here to seq_printf" in compare(unit, image).different["cmdline_proc_show"]


def test_another_string_is_a_difference(running, image):
    unit = running("fs/seq_file.c")
    section = next(s for s in unit.sections.values() if s.strings and b"seq_file: buggy" in s.data)
    section.data = section.data.replace(b"seq_file: buggy", b"seq_file: fuzzy")
    assert any("compiled here b'" in reason for reason in compare(unit, image).different.values())


def test_another_kernel_runs_other_code(running, kernels):
    found = compare(running("fs/seq_file.c"), Image.open(kernels["6.12"].vmlinux))
    assert len(found.different) > 40
