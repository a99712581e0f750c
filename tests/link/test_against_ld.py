"""The relocator against the real ld: the same object, at the same addresses, on the same TOC, byte by byte."""

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from oddtoc.build.compile import compile_patch, tool
from oddtoc.errors import SymbolError
from oddtoc.image.entry import Entry, SiteKind, TocSetup
from oddtoc.link.layout import Area, Redirect, lay_out
from oddtoc.link.object import PatchObject
from oddtoc.link.payload import Ground, link
from oddtoc.link.relocations import RECIPES, Base
from oddtoc.mechanism.catalog import by_name

TOC = 0xC000000001148100
TEXT = 0xC000000001201000
DATA = 0xC000000002718000


@dataclass(frozen=True)
class Outside:
    address: int
    other: int

    @property
    def local_entry(self):
        return self.address + (8 if self.other == 0x60 else 0)


OUTSIDE = {
    "with_toc": Outside(0xC000000000574000, 0x60),
    "without_toc": Outside(0xC0000000005733A0, 0),
    "variable": Outside(0xC0000000026E6E58, 0),
    "table": Outside(0xC000000000EC6958, 0),
    "near": Outside(TOC + 0x40, 0),
    "low": Outside(0x12349678, 0),
    "small": Outside(0x1238, 0),
}


class Names:
    def resolve(self, name):
        if name not in OUTSIDE:
            raise SymbolError(f"no {name}")
        return OUTSIDE[name]


def entry():
    return Entry(
        function="patched", global_entry=0xC0000000006154C0, local_entry=0xC0000000006154C8, size=96,
        toc_setup=TocSetup.PAIR, toc=TOC, mark=0xC0000000006154C4, mark_word=0x38420000, site=0xC0000000006154CC,
        site_kind=SiteKind.MPROFILE, site_word=0x60000000, behind=0xC0000000006154D0, words=(),
    )  # fmt: skip


def ours(path, mechanism, *, text=TEXT, data=DATA):
    patch = path if not isinstance(path, Path) else build_patch(path)
    redirects = [Redirect(patch.replacements[0], entry(), mechanism)]
    layout = lay_out(patch, redirects, own_toc=mechanism.own_toc)
    areas = {Area.TEXT: text, Area.DATA: data, Area.HELPERS: 0xC000000001190104}
    ground = Ground(TOC, 16, areas, mechanism.own_toc, 0xC000000001190101)
    return patch, layout, link(patch, redirects, layout, ground, Names())


def build_patch(folder, **options):
    return compile_patch(Path(__file__).parent / "mixed.c", folder / "mixed.o", **options)


def section_addresses(patch, layout):
    bases = {Area.TEXT: TEXT, Area.DATA: DATA}
    return {patch.sections[i].name: bases[area] + offset for i, (area, offset) in layout.sections.items()}


def ld(folder, addresses):
    """What ld makes of the object: memory by address."""
    (folder / "kernel.s").write_text(
        ".abiversion 2\n"
        + "".join(
            f'.section .outside.{name},"ax",@progbits\n.globl {name}\n.type {name},@function\n{name}:\n'
            + ("0: addis 2,12,.TOC.-0b@ha\naddi 2,2,.TOC.-0b@l\n" if value.other else "")
            + (f".localentry {name},.-{name}\n" if value.other else "")
            + "blr\n"
            for name, value in OUTSIDE.items()
        )
    )
    run([tool("as"), "-mpower8", folder / "kernel.s", "-o", folder / "kernel.o"])
    outputs = {name: (address, f"*mixed.o({name})") for name, address in addresses.items()}
    outputs |= {f".outside.{n}": (o.address, f"*(.outside.{n})") for n, o in OUTSIDE.items()}
    lines = [f".TOC. = {TOC:#x};"]
    for name, (address, inputs) in sorted(outputs.items(), key=lambda item: item[1][0]):
        lines.append(f"{name} {address:#x} : SUBALIGN(1) {{ {inputs} }}")
    lines.append("/DISCARD/ : { *(.oddtoc*) *(.comment) *(.note*) }")
    (folder / "script.ld").write_text("SECTIONS {\n" + "\n".join(lines) + "\n}\n")
    no_changes = ["--no-toc-optimize", "--no-toc-sort", "--no-inline-optimize", "--orphan-handling=discard"]
    command = [tool("ld"), "-T", folder / "script.ld", *no_changes, "-e", "0", "-o", folder / "ld.elf"]
    run([*command, folder / "mixed.o", folder / "kernel.o"])
    with (folder / "ld.elf").open("rb") as file:
        return {s["sh_addr"]: (s.name, s.data()) for s in ELFFile(file).iter_sections() if s["sh_flags"] & 2}


def run(command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def add_rows(folder):
    """Merge rows.s into the object: the relocation types that gcc does not emit."""
    run([tool("as"), "-mpower8", Path(__file__).parent / "rows.s", "-o", folder / "rows.o"])
    (folder / "mixed.o").rename(folder / "code.o")
    run([tool("ld"), "-r", folder / "code.o", folder / "rows.o", "-o", folder / "mixed.o"])
    return PatchObject.open(folder / "mixed.o")


@pytest.mark.parametrize("code_model", ["medium", "large"])
def test_shared_toc_equals_ld(tmp_path, code_model):
    build_patch(tmp_path, code_model=code_model)
    patch = add_rows(tmp_path)
    _, layout, payload = ours(patch, by_name("shared-toc"))
    addresses = section_addresses(patch, layout)
    expected = ld(tmp_path, addresses)
    types = {relocation.type for section in patch.loaded for relocation in section.relocations}
    markers_and_slots = {number for number, recipe in RECIPES.items() if recipe.base in (Base.MARKER, Base.PLT_SLOT)}
    assert set(RECIPES) - markers_and_slots - types <= ({118} if code_model == "medium" else set())
    for index, (area, offset) in layout.sections.items():
        section = patch.sections[index]
        start, memory = payload.segments[area]
        mine = memory[offset : offset + len(section.data)]
        name, theirs = expected[start + offset]
        assert name == section.name
        assert words(mine) == words(theirs), section.name


@pytest.mark.parametrize("code_model", ["medium", "large"])
@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot"])
def test_long_calls_load_the_global_entry_from_a_slot(tmp_path, code_model, mechanism):
    """ld turns these sequences into direct calls, so they are followed instead."""
    patch = build_patch(tmp_path, code_model=code_model, long_calls=True)
    _, layout, payload = ours(patch, by_name(mechanism))
    called = {patch.symbols[index].name for index in layout.slots}
    assert {"with_toc", "without_toc", "inner", "visible"} <= called
    start, text = payload.segments[Area.TEXT]
    seen = set()
    for section in patch.loaded:
        area, base = layout.sections[section.index]
        for high, low in slot_pairs(section):
            upper, lower = (struct.unpack_from("<H", text, base + r.offset)[0] for r in (high, low))
            slot = payload.toc + signed(upper) * 65536 + signed(lower & 0xFFFC)
            (address,) = struct.unpack_from("<Q", text, slot - start)
            symbol = patch.symbols[high.symbol]
            assert area is Area.TEXT
            if symbol.name in OUTSIDE:
                assert address == OUTSIDE[symbol.name].address
            else:
                place, offset = layout.sections[symbol.section]
                assert address == payload.segments[place][0] + offset + symbol.value
            seen.add(symbol.name)
    assert seen == called


def slot_pairs(section):
    highs = [r for r in section.relocations if r.type == 31]
    lows = [r for r in section.relocations if r.type == 60]
    assert len(highs) == len(lows)
    for low in lows:
        yield max((h for h in highs if h.symbol == low.symbol and h.offset < low.offset), key=lambda h: h.offset), low


def test_own_toc_calls_go_through_stubs_and_come_back_to_a_reload(tmp_path):
    patch = build_patch(tmp_path)
    _, layout, payload = ours(patch, by_name("guarded/slot"))
    start, text = payload.segments[Area.TEXT]
    assert payload.toc != TOC and (payload.toc - TOC) % 65536 == 0
    calls = 0
    for section in patch.loaded:
        _, base = layout.sections[section.index]
        for relocation in section.relocations:
            symbol = patch.symbols[relocation.symbol]
            if relocation.type != 10 or symbol.defined:
                continue
            call, behind = struct.unpack_from("<II", text, base + relocation.offset)
            assert behind == 0xE8410018
            stub = base + relocation.offset + signed(call & 0x03FFFFFC, 26)
            save, addis, addi, mtctr, bctr = struct.unpack_from("<5I", text, stub)
            assert (save, mtctr, bctr) == (0xF8410018, 0x7D8903A6, 0x4E800420)
            assert (addis >> 16, addi >> 16) == (0x3D82, 0x398C)
            assert payload.toc + signed(addis) * 65536 + signed(addi) == OUTSIDE[symbol.name].address
            calls += 1
    assert calls >= 6
    assert start == TEXT


def signed(value, bits=16):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def words(data):
    padded = data.ljust(-(-len(data) // 4) * 4, b"\0")
    return [f"{word:08x}" for (word,) in struct.iter_unpack("<I", padded)]
