"""Whole kernels, every symbol, entry, site and branch, against readelf, objdump and objcopy."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from oddtoc.image import SiteKind, TocSetup, read_entry
from oddtoc.image.flow import Flow
from oddtoc.isa import describe

from .conftest import PREFIX, Kernel, run


@pytest.fixture(scope="module")
def flow(kernel: Kernel) -> Flow:
    return Flow(kernel.image)


@pytest.fixture(scope="module")
def entries(kernel: Kernel):
    sites, kind = set(kernel.image.sites.tolist()), kernel.image.site_kind
    table = kernel.image.symbols
    functions = [table.symbol(int(index)) for index in table.functions().indices]
    return [read_entry(symbol, kernel.image.word, sites, kind) for symbol in functions]


def readelf_pointers(kernel: Kernel) -> dict[int, int]:
    """Every R_PPC64_RELATIVE of readelf -r: {place: value}."""
    text = run(f"{PREFIX}readelf", "-rW", kernel.path)
    rows = re.findall(r"^([0-9a-f]{16}) .* R_PPC64_RELATIVE +(-?[0-9a-f]+)$", text, re.M)
    return {int(place, 16): int(value, 16) % 2**64 for place, value in rows}


def listed_sites(kernel: Kernel) -> set[int]:
    """The mcount table as readelf sees it: what its relocations put there."""
    values = {symbol.name: symbol.value for symbol in kernel.symbols}
    start, stop = values["__start_mcount_loc"], values["__stop_mcount_loc"]
    return {value for place, value in readelf_pointers(kernel).items() if start <= place < stop}


def test_every_symbol_is_readelfs(kernel: Kernel):
    kinds = {"unique": "UNIQUE"}
    ours = [
        (s.name, s.address, s.size, s.type.upper(), kinds.get(s.binding, s.binding.upper()), s.file)
        for s in kernel.image.symbols
    ]
    theirs = [
        (s.name, s.value, s.size, s.type, s.binding, Path(s.file).name if s.file else None)
        for s in kernel.symbols
        if s.section != "UND" and s.type not in ("FILE", "SECTION")
    ]
    assert ours == theirs


def test_every_local_entry_is_readelfs(kernel: Kernel):
    table = kernel.image.symbols
    theirs = {s.index: s.value + s.local_offset for s in kernel.functions}
    assert {index: table.symbol(index).local_entry for index in theirs} == theirs
    columns = table.functions()
    assert dict(zip(columns.indices.tolist(), columns.local_entries.tolist(), strict=True)) == theirs
    assert sum(offset > 0 for offset in (s.local_offset for s in kernel.functions)) > 10_000


def test_every_name_of_several_functions_is_found_with_all_its_places(kernel: Kernel):
    places: dict[str, list[int]] = {}
    for symbol in kernel.functions:
        places.setdefault(symbol.name, []).append(symbol.value)
    several = {name: found for name, found in places.items() if len(found) > 1}
    assert len(several) > 100
    found = {name: [s.address for s in kernel.image.symbols.find(name) if s.is_function] for name in several}
    assert found == several


def test_all_sections_are_readelfs(kernel: Kernel):
    rows = re.findall(
        r"^ +\[ *(\d+)\] (\S+) +(\S+) +([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+) [0-9a-f]+ +([A-Z]*) ",
        run(f"{PREFIX}readelf", "-SW", kernel.path),
        re.M,
    )
    ours = [(s.index, s.name, s.address, s.offset, s.size, s.is_allocated) for s in kernel.image.sections[1:]]
    assert ours == [
        (int(n), name, int(address, 16), int(offset, 16), int(size, 16), "A" in flags)
        for n, name, _, address, offset, size, flags in rows
    ]


def test_all_text_is_what_objcopy_extracts(kernel: Kernel, tmp_path: Path):
    for name, address, words in kernel.image.text():
        run(f"{PREFIX}objcopy", "-O", "binary", "-j", name, kernel.path, tmp_path / "section")
        content = (tmp_path / "section").read_bytes()
        assert words.tobytes() == content[: len(content) & ~3]
        assert kernel.image.read(address, len(content)) == content
    assert len(kernel.image.text()) >= 3


def test_notes_and_build_id_are_readelfs(kernel: Kernel, tmp_path: Path):
    text = run(f"{PREFIX}readelf", "-nW", kernel.path)
    assert kernel.image.build_id is not None
    assert re.findall(r"Build ID: ([0-9a-f]+)", text) == [kernel.image.build_id.hex()]
    run(f"{PREFIX}objcopy", "-O", "binary", "-j", ".notes", kernel.path, tmp_path / "notes")
    section = kernel.image.section(".notes")
    assert section and kernel.image.notes == (section.address, (tmp_path / "notes").read_bytes())


def test_every_pointer_is_readelfs(kernel: Kernel):
    theirs = readelf_pointers(kernel)
    pointers = kernel.image.pointers
    assert dict(zip(pointers.places.tolist(), pointers.values.tolist(), strict=True)) == theirs
    (value, count), *_ = Counter(theirs.values()).most_common(1)
    assert count > 1
    assert kernel.image.references(value) == sorted(place for place, to in theirs.items() if to == value)


def test_every_site_is_listed(kernel: Kernel):
    listed = listed_sites(kernel)
    shift = 4 if kernel.image.site_kind is SiteKind.PATCHABLE else 0
    assert set(kernel.image.sites.tolist()) == {address + shift for address in listed}
    assert np.all(np.diff(kernel.image.sites.astype(np.int64)) > 0)
    assert len(listed) > 30_000


def test_every_call_of_mcount_is_a_site(kernel: Kernel):
    """Where the compiler calls _mcount, its calls are another source for the same list."""
    mcount = {symbol.value for symbol in kernel.functions if symbol.name == "_mcount"}
    calls = {source for source, (target, _) in kernel.listing.branches.items() if target in mcount}
    expected = set(kernel.image.sites.tolist()) if kernel.image.site_kind is SiteKind.MPROFILE else set()
    assert calls == expected


def test_every_entry_fits_what_objdump_shows(kernel: Kernel, entries):
    toc = next(symbol.value for symbol in kernel.symbols if symbol.name == ".TOC.")
    assert kernel.image.toc == toc
    lines = kernel.listing.entry_lines
    shown = {
        symbol.index: (lines[symbol.value], lines[symbol.value + 4])
        for symbol in kernel.functions
        if symbol.local_offset
    }
    by_index = dict(zip(kernel.image.symbols.functions().indices.tolist(), entries, strict=True))
    assert len(by_index) == len(kernel.functions)
    for index, entry in by_index.items():
        if index not in shown:
            assert (entry.toc_setup, entry.mark, entry.toc) == (TocSetup.NONE, None, None)
            continue
        (_, first), (word, second) = shown[index]
        high = re.fullmatch(r"addis\s+r2,r12,(-?\d+)\s*", first)
        low = re.fullmatch(r"addi\s+r2,r2,(-?\d+)\s*", second)
        assert high and low, (entry.function, first, second)
        assert entry.global_entry + (int(high[1]) << 16) + int(low[1]) == toc
        assert (entry.toc_setup, entry.toc, entry.is_marked) == (TocSetup.PAIR, toc, False)
        assert (entry.mark, entry.mark_word) == (entry.global_entry + 4, word)


def test_every_site_belongs_to_the_functions_around_it(kernel: Kernel, entries):
    """Each listed site inside a function's size is at its entry; the rest is code that another definition overrides."""
    starts = sorted((s.value, s.value + s.size) for s in kernel.functions if s.size)
    places = [start for start, _ in starts]
    inside = set()
    for site in kernel.image.sites.tolist():
        start, end = starts[bisect_right(places, site) - 1]
        if start <= site < end:
            inside.add(site)
    assert {entry.site for entry in entries} - {None} == inside
    assert all(entry.behind == entry.site + 4 for entry in entries if entry.site)


def test_every_word_at_a_site_is_objdumps(kernel: Kernel, entries):
    shapes = {
        SiteKind.MPROFILE: r"mflr r0; bl 0x[0-9a-f]+",
        SiteKind.PATCHABLE: r"nop; nop",
        SiteKind.OUT_OF_LINE: r"nop",
    }
    for entry in entries:
        if entry.site is None:
            continue
        lines = [kernel.listing.entry_lines[place] for place in range(entry.local_entry, entry.behind, 4)]
        text = "; ".join(as_described(line) for _, line in lines)
        assert re.fullmatch(shapes[entry.site_kind], text), (entry.function, text)
        assert entry.site_word == lines[-1][0]
        assert entry.site_kind is kernel.image.site_kind


def test_every_word_is_described_as_objdump_does(kernel: Kernel):
    described = 0
    for address, (word, line) in kernel.listing.entry_lines.items():
        if text := describe(word, address):
            assert text == as_described(line)
            described += 1
    assert described > 100_000


def as_described(line: str) -> str:
    mnemonic, _, operands = line.strip().partition(" ")
    operands = operands.split("<")[0].strip()
    if mnemonic in ("b", "bl"):
        operands = "0x" + operands
    return f"{mnemonic} {operands}".strip()


def test_every_traced_function_is_read_as_the_resting_one(kernel: Kernel, entries):
    """The words that the kernel's tracer writes lead to the same site, kind and mark, and so do those it leaves."""
    kind = kernel.image.site_kind
    sites = set(kernel.image.sites.tolist())
    table = kernel.image.symbols
    for index, resting in zip(table.functions().indices.tolist(), entries, strict=True):
        if resting.site is None:
            continue
        call = 0x48000100 if kind is SiteKind.OUT_OF_LINE else 0x48000101
        for at_site in (call, 0x60000000):
            live = {resting.site: at_site}
            if kind is SiteKind.PATCHABLE:
                live[resting.site - 4] = 0x7C0802A6

            def word(address: int, live=live) -> int:
                return live[address] if address in live else kernel.image.word(address)

            found = read_entry(table.symbol(index), word, sites, kind)
            assert (found.site, found.site_kind, found.behind) == (resting.site, kind, resting.behind)
            assert (found.mark, found.toc, found.site_word) == (resting.mark, resting.toc, at_site)


def test_every_branch_is_objdumps(kernel: Kernel, flow: Flow):
    sources, targets, links = (column.tolist() for column in flow.branches)
    ours = {source: (target, link) for source, target, link in zip(sources, targets, links, strict=True)}
    assert ours == kernel.listing.branches
    assert targets == sorted(targets)


def test_every_indirect_branch_is_objdumps(kernel: Kernel, flow: Flow):
    assert set(flow.indirect_jumps().tolist()) == kernel.listing.jumps
    addresses, reloads = (column.tolist() for column in flow.indirect_calls())
    assert set(addresses) == kernel.listing.calls
    ours = {address for address, reload in zip(addresses, reloads, strict=True) if reload}
    assert ours == {address for address in kernel.listing.calls if address + 4 in kernel.listing.reloads}


def test_every_word_behind_a_site_is_judged_by_all_branches(kernel: Kernel, flow: Flow, entries):
    targets = {target for target, _ in kernel.listing.branches.values()}
    found = {entry.behind for entry in entries if entry.behind and flow.is_branch_target(entry.behind)}
    assert found == {entry.behind for entry in entries if entry.behind in targets}
    assert found, "some functions begin with a loop"


def test_every_jump_to_an_entry_is_told_from_a_call(kernel: Kernel, flow: Flow):
    """For every function's local entry: something other than a call from outside goes there."""
    by_target: dict[int, list[tuple[int, bool]]] = {}
    for source, (target, link) in kernel.listing.branches.items():
        by_target.setdefault(target, []).append((source, link))
    table = kernel.image.symbols
    for theirs in kernel.functions:
        local = theirs.value + theirs.local_offset
        inside = range(theirs.value, theirs.value + theirs.size)
        expected = any(not link or source in inside for source, link in by_target.get(local, ()))
        assert flow.is_jumped_to(table.symbol(theirs.index), local) == expected, theirs


def test_every_jump_table_is_found(kernel: Kernel, flow: Flow):
    jumps = sorted(kernel.listing.jumps)
    table = kernel.image.symbols
    for theirs in kernel.functions:
        count = bisect_right(jumps, theirs.value + theirs.size - 1) - bisect_right(jumps, theirs.value - 1)
        assert flow.has_jump_table(table.symbol(theirs.index)) == (count > 0), theirs


def test_every_sibling_call_is_found(kernel: Kernel, flow: Flow):
    """Counted over sized functions: where an unsized one ends is a matter of taste."""
    sized = sorted({(s.value, s.value + s.size) for s in kernel.functions if s.size})
    starts = [start for start, _ in sized]
    locals_behind = {s.value + s.local_offset: s.value for s in kernel.functions if s.local_offset}
    globals_ = {s.value for s in kernel.functions}

    def owner(address: int) -> int | None:
        start, end = sized[bisect_right(starts, address) - 1]
        return start if start <= address < end else None

    expected = set()
    for source, (target, link) in kernel.listing.branches.items():
        callee = locals_behind.get(target, target if target in globals_ else None)
        if not link and callee is not None and owner(source) is not None and owner(source) != callee:
            expected.add((source, target, target in locals_behind))
    ours = set(zip(*(column.tolist() for column in flow.sibling_calls()), strict=True))
    assert {row for row in ours if owner(row[0]) is not None} == expected
    assert len(expected) > 3_000


def test_every_word_of_a_function_belongs_to_it(kernel: Kernel):
    table = kernel.image.symbols
    sized = [s for s in kernel.functions if s.size]
    for place in (lambda s: s.value, lambda s: s.value + s.size - 4):
        owners = table.owners(np.array([place(s) for s in sized], np.uint64))
        found = [table.symbol(int(index)) for index in owners]
        assert [s.address for s in found] == [s.value for s in sized]
