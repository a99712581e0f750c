"""Every entry shape, in real objects and programs of the cross compiler."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from oddtoc.errors import AmbiguousSymbolError, FaultError, ImageError, NoSiteError, SymbolError
from oddtoc.image import Image, SiteKind, Symbol, TocSetup, entry_range, entry_words, read_entry
from oddtoc.image.flow import Flow, flow_of

from .conftest import PREFIX, read_symbols, run

HERE = Path(__file__).parent
PROGRAM = """
extern int outside(int);
int counter;
int uses_toc(int x) { counter += x; return outside(x) + 1; }
int leaf(int x) { return x + 1; }
void _start(void) { counter = uses_toc(leaf(counter)); for (;;); }
"""
OUTSIDE = """
long distance;
__asm__(".data; .globl real_toc; real_toc: .quad .TOC.; .text");
int outside(int x) { return x + distance; }
void _mcount(void) {}
"""


@pytest.fixture
def build(tmp_path: Path):
    """Compiles PROGRAM with the given flags and OUTSIDE without, and links both unless told not to."""

    def make(*flags: str, link: tuple[str, ...] = ("-no-pie", "-static"), source: str = PROGRAM) -> Image:
        parts = []
        for name, text, options in (("program", source, flags), ("outside", OUTSIDE, ())):
            (tmp_path / f"{name}.c").write_text(text)
            parts.append(tmp_path / f"{name}.o")
            run(f"{PREFIX}gcc", "-O2", "-fno-inline", *options, "-c", tmp_path / f"{name}.c", "-o", parts[-1])
        if not link:
            return Image.open(parts[0])
        run(f"{PREFIX}gcc", "-nostdlib", *link, "-Wl,--build-id", *parts, "-o", tmp_path / "linked")
        return Image.open(tmp_path / "linked")

    return make


@pytest.fixture
def shapes(tmp_path: Path):
    """shapes.s, linked as a shared library far from address zero."""
    run(f"{PREFIX}gcc", "-c", HERE / "shapes.s", "-o", tmp_path / "shapes.o")
    run(f"{PREFIX}ld", "-shared", "-Bsymbolic", tmp_path / "shapes.o", "-o", tmp_path / "shapes.so")
    return Image.open(tmp_path / "shapes.so")


def real_toc(image: Image) -> int:
    """What the linker put into a `.quad .TOC.`: in place, or as the addend of a relocation."""
    place = image.symbols.one("real_toc").address
    relocated = dict(zip(image.pointers.places.tolist(), image.pointers.values.tolist(), strict=True))
    return relocated.get(place, int.from_bytes(image.read(place, 8), "little"))


def objdump_words(image: Image, symbol: Symbol, count: int) -> list[str]:
    text = run(f"{PREFIX}objdump", "-d", f"--disassemble={symbol.name}", image.path)
    return [" ".join(line.split("\t")[2].split()) for line in text.splitlines() if line.count("\t") == 2][:count]


def test_program_at_a_fixed_address_has_lis(build):
    image = build()
    entry = image.entry("uses_toc")
    assert entry.toc_setup is TocSetup.ABSOLUTE
    assert entry.toc == image.toc == real_toc(image)
    assert (entry.mark, entry.mark_word) == (entry.global_entry + 4, image.word(entry.global_entry + 4))
    assert entry.site is None and entry.behind is None
    assert objdump_words(image, image.symbols.one("uses_toc"), 1)[0].startswith("lis r2,")


def test_position_independent_code_has_the_pair(build):
    image = build("-fPIC", link=("-shared", "-Wl,-Bsymbolic"))
    entry = image.entry("uses_toc")
    assert entry.toc_setup is TocSetup.PAIR
    assert entry.toc == image.toc == real_toc(image)
    assert entry.local_entry == entry.global_entry + 8


def test_large_code_model_in_an_object_loads_the_distance(build):
    image = build("-mcmodel=large", link=())
    symbol = image.symbols.one("uses_toc")
    entry = image.entry(symbol)
    assert image.is_relocatable
    assert entry.toc_setup is TocSetup.LOADED
    assert (entry.toc, entry.mark) == (None, symbol.address - 8), "unrelocated: nobody knows the TOC yet"
    section = image.section(symbol.section)
    theirs = next(s for s in read_symbols(image.path) if s.name == "uses_toc")
    assert symbol.address == section.offset + theirs.value
    assert symbol.local_entry - symbol.address == theirs.local_offset == 8


def test_loaded_distance_is_followed_to_the_toc(shapes):
    entry = shapes.entry("loaded")
    assert entry.toc_setup is TocSetup.LOADED
    assert entry.toc == shapes.toc == real_toc(shapes)
    assert entry.mark == entry.global_entry - 8
    assert entry.mark_word == shapes.word(entry.mark)
    marked = shapes.entry("loaded", lambda place: shapes.word(place) | (place == entry.mark))
    assert (marked.is_marked, marked.toc) == (True, entry.toc + 1)
    assert entry_words(entry)[0] == (entry.mark, entry.mark_word, "mark")


def test_pcrel_code_has_nothing_to_mark(build):
    image = build("-mcpu=power10", "-mpcrel")
    entry = image.entry("uses_toc")
    theirs = run(f"{PREFIX}readelf", "-sW", image.path)
    assert re.search(r"\[<localentry>: 1\]\s+\d+ uses_toc", theirs)
    assert entry.toc_setup is TocSetup.PCREL
    assert (entry.toc, entry.mark, entry.local_entry) == (None, None, entry.global_entry)


def test_function_without_set_up_has_one_entry(build):
    entry = build().entry("leaf")
    assert entry.toc_setup is TocSetup.NONE
    assert (entry.toc, entry.mark, entry.local_entry) == (None, None, entry.global_entry)


def test_calls_of_mcount_are_sites_in_a_program_without_a_table(build):
    image = build("-pg", "-mprofile-kernel")
    assert image.site_kind is SiteKind.MPROFILE
    for name in ("uses_toc", "leaf", "_start"):
        entry = image.entry(name)
        assert entry.site == entry.local_entry + 4 and entry.behind == entry.site + 4
        shown = objdump_words(image, image.symbols.one(name), 4)
        assert shown[(entry.site - entry.global_entry) // 4].endswith("<_mcount>")
    assert len(image.sites) == 3


def test_older_compilers_store_lr_before_the_call(build):
    """mflr r0; std r0,16(r1); bl: the site is one word later."""
    image = build()
    symbol = image.symbols.one("leaf")
    for last in (0x60000000, 0x48000101):
        words = [0x7C0802A6, 0xF8010010, last]
        entry = read_entry(symbol, lambda place, w=words: w[(place - symbol.address) // 4], {symbol.address + 8})
        assert (entry.site_kind, entry.site, entry.behind) == (
            SiteKind.MPROFILE,
            symbol.address + 8,
            symbol.address + 12,
        )


def test_patchable_sites_are_the_second_nop(shapes):
    assert shapes.site_kind is SiteKind.PATCHABLE
    for name in ("loaded", "single", "next"):
        entry = shapes.entry(name)
        assert entry.site == entry.local_entry + 4
        assert entry.behind == entry.local_entry + 8
    assert len(shapes.sites) == 3


def test_the_site_of_the_next_function_is_not_taken(shapes):
    """`short` ends right behind its local entry, 8 bytes before the next function's second nop."""
    entry = shapes.entry("short")
    assert entry.local_entry + 8 in shapes.sites.tolist()
    assert (entry.site, entry.site_kind) == (None, None)
    assert read_entry(shapes.symbols.one("short"), shapes.word, shapes.sites).site is None


def test_entries_may_be_16_bytes_apart(shapes):
    entry = shapes.entry("wide")
    assert entry.local_entry == entry.global_entry + 16
    assert (entry.toc_setup, entry.toc) == (TocSetup.PAIR, real_toc(shapes))


def test_without_sites_the_words_decide(shapes):
    single = shapes.symbols.one("single")
    assert read_entry(single, shapes.word).site_kind is SiteKind.PATCHABLE
    assert read_entry(single, lambda place: [0x60000000, 0x4E800020][place != single.address]).site == single.address
    assert read_entry(single, lambda _: 0x48000100).site is None, "a lone branch may be a sibling call"


def test_tracer_words_are_told_apart_by_the_kind(shapes):
    single = shapes.symbols.one("single")
    traced = {single.address: 0x7C0802A6, single.address + 4: 0x48000101}
    assert read_entry(single, traced.__getitem__, shapes.sites).site_kind is SiteKind.MPROFILE
    assert read_entry(single, traced.__getitem__, shapes.sites, SiteKind.PATCHABLE).site_kind is SiteKind.PATCHABLE


def test_entry_range_covers_what_is_read(shapes):
    for name in ("loaded", "single", "wide"):
        symbol = shapes.symbols.one(name)
        start, size = entry_range(symbol)

        def word(place: int, start=start, size=size) -> int:
            assert start <= place <= start + size - 4
            return shapes.word(place)

        read_entry(symbol, word, shapes.sites)


def test_foreign_words_are_refused_with_address_and_words(shapes):
    loaded = shapes.symbols.one("loaded")
    with pytest.raises(NoSiteError, match=r"loaded: the words 60000000 60000000 at 0x[0-9a-f]+ are not a TOC set-up"):
        read_entry(loaded, lambda _: 0x60000000, shapes.sites)
    with pytest.raises(NoSiteError, match=r"single: the words 4e800020 4e800020 4e800020 at .* ftrace site") as caught:
        read_entry(shapes.symbols.one("single"), lambda _: 0x4E800020, shapes.sites)
    assert caught.value.function == "single" and caught.value.advice


def test_reserved_local_entry_code_is_refused(shapes):
    symbol = Symbol("odd", 0x1000, 8, "func", "global", ".text", 1, 7 << 5, None)
    with pytest.raises(ImageError, match="reserved"):
        read_entry(symbol, shapes.word, shapes.sites)
    lone = Symbol("lone", shapes.symbols.one("single").address, 8, "func", "global", ".text", 1, 2 << 5, None)
    with pytest.raises(NoSiteError, match="two instructions"):
        read_entry(lone, shapes.word, shapes.sites)


def test_memory_outside_is_a_fault(shapes):
    with pytest.raises(FaultError) as caught:
        shapes.word(0xDEAD0000)
    assert (caught.value.address, caught.value.size) == (0xDEAD0000, 4)


def test_zeroed_memory_reads_as_zeros(build):
    image = build()
    counter = image.symbols.one("counter")
    assert image.section(".bss").address <= counter.address
    assert image.read(counter.address, 4) == bytes(4)
    assert image.words(counter.address, 1).tolist() == [0]


def test_branches_of_an_unlinked_object_are_refused(build):
    with pytest.raises(ImageError, match="not linked yet"):
        Flow(build(link=()))


def test_flow_is_worked_out_once(shapes):
    assert flow_of(shapes) is flow_of(shapes)
    calls = flow_of(shapes).sibling_calls()
    single = shapes.symbols.one("single").address
    assert list(zip(calls.sources.tolist(), calls.targets.tolist(), calls.to_local.tolist(), strict=True)) == [
        (shapes.symbols.one("short").local_entry, single, False)
    ]


def test_stripped_library_is_read_by_its_dynamic_symbols(build):
    image = build("-fPIC", link=("-shared", "-Wl,-Bsymbolic"))
    full = image.entry("uses_toc")
    run(f"{PREFIX}strip", image.path)
    stripped = Image.open(image.path)
    assert stripped.section(".symtab") is None
    assert stripped.entry("uses_toc") == full
    assert stripped.toc == image.toc
    assert stripped.build_id == image.build_id and image.build_id


def test_functions_of_one_name_are_chosen_by_file_or_address(tmp_path: Path):
    for name in ("first", "second"):
        text = f"static int __attribute__((noinline)) twice(int x) {{ return x * {len(name)}; }}"
        (tmp_path / f"{name}.c").write_text(f"{text} int {name}(int x) {{ return twice(x) + 1; }}")
    run(f"{PREFIX}gcc", "-O2", "-fPIC", "-shared", "-nostdlib", *tmp_path.glob("*.c"), "-o", tmp_path / "both.so")
    image = Image.open(tmp_path / "both.so")
    theirs = {Path(s.file).stem: s.value for s in read_symbols(image.path) if s.name == "twice"}
    assert len(theirs) == 2
    for stem, address in theirs.items():
        for which in (stem, f"{stem}.c", f"{address:#x}"):
            assert image.symbols.one("twice", which).address == address
    with pytest.raises(AmbiguousSymbolError) as caught:
        image.symbols.one("twice")
    assert sorted(caught.value.candidates) == sorted(f"{address:#x} ({stem}.c)" for stem, address in theirs.items())
    with pytest.raises(SymbolError, match=r"no twice is at or in third\.c") as refused:
        image.symbols.one("twice", "third.c")
    assert "first.c" in refused.value.advice


def test_words_belong_to_the_innermost_function(shapes):
    table = shapes.symbols
    outer = table.one("outer").address
    assert [table.at(outer + place).name for place in (0, 4, 8)] == ["outer", "inner", "outer"]
    assert table.at(outer + 12) is None or table.at(outer + 12).address > outer
    assert table.at(0) is None
    toc = table.one("real_toc")
    assert table.at(toc.address) is None


def test_objects_are_found_by_address_when_asked_for(build):
    image = build()
    counter = image.symbols.one("counter")
    assert image.symbols.at(counter.address) is None
    assert image.symbols.at(counter.address + 3, functions_only=False) == counter
    assert image.symbols.at(counter.address + 4, functions_only=False) != counter
    leaf = image.symbols.one("leaf")
    assert image.symbols.at(leaf.address, functions_only=False) == leaf


def test_unlinked_sections_never_share_addresses(tmp_path: Path):
    """Sections without contents have offsets in the file too, where others lie."""
    lines = (
        ".abiversion 2",
        ".bss",
        ".space 0x500",
        '.section .later, "ax"',
        ".globl f",
        ".type f, @function",
        "f: blr",
    )
    (tmp_path / "a.s").write_text("\n".join([*lines, ""]))
    run(f"{PREFIX}gcc", "-c", tmp_path / "a.s", "-o", tmp_path / "a.o")
    image = Image.open(tmp_path / "a.o")
    assert image.word(image.symbols.one("f").address) == 0x4E800020
    bss = image.section(".bss")
    assert bss.address >= image.path.stat().st_size
    assert image.read(bss.address, 0x500) == bytes(0x500)
    spans = sorted((section.address, section.end) for section in image.sections if section.is_allocated)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_names_that_end_like_others_are_told_apart(build):
    """The linker lets a name share the tail of a longer one."""
    image = build(source=PROGRAM.replace("leaf", "toc").replace("uses_toc", "b_toc").replace("counter", "lib_toc"))
    assert [symbol.name for symbol in image.symbols.find("toc")] == ["toc"]
    assert [symbol.name for symbol in image.symbols.find("oc")] == []
    assert sorted(symbol.name for symbol in image.symbols.starting_with("b_t")) == ["b_toc"]


def test_a_debug_file_holds_the_symbols_of_its_program(build, tmp_path):
    """Its segments are those of the program, without their contents: the file ends before they begin."""
    linked = build(link=("-shared",), source=PROGRAM.replace("int leaf", "static int leaf"))
    run(f"{PREFIX}objcopy", "--only-keep-debug", linked.path, tmp_path / "debug")
    run(f"{PREFIX}strip", linked.path)
    assert not Image.open(linked.path).symbols.find("leaf")
    assert Image.open(tmp_path / "debug").symbols.one("leaf").size
