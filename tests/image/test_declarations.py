"""C made from BTF: what a compiler makes of it is laid out as the kernel says, structure by structure."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from oddtoc.build.compile import tool
from oddtoc.errors import ImageError
from oddtoc.image.btf import Btf
from oddtoc.image.btftable import COMPOSED, Kind
from oddtoc.image.declarations import declarations
from oddtoc.image.elf import Image

SHAPES = (Path(__file__).parent / "shapes.h").read_text()
FLAGS = ("-std=gnu11", "-Wall", "-Werror", "-gbtf", "-fno-eliminate-unused-debug-types")


def compiled(folder, name, text):
    """The types of a C file, as the compiler tells them."""
    source, unit = folder / f"{name}.c", folder / f"{name}.o"
    source.write_text(text)
    done = subprocess.run([tool("gcc"), *FLAGS, "-c", source, "-o", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    return Btf.of(Image.open(unit))


def layouts_by_tag(btf):
    """Tag -> layout, as C has it: what stands there more than once gets a number."""
    found = defaultdict(list)
    for name, layout in btf.layouts():
        found[name.removeprefix("enum ")].append((layout.size, layout.members))
    numbered = {}
    for name, several in found.items():
        for number, layout in enumerate(several, 1):
            numbered[name if number == 1 else f"{name}___{number}"] = layout
    return {name: layout for name, layout in numbered.items() if name and not name.startswith(("enum", "__enum"))}


def plain(layout):
    """Without the numbers of names that stand twice."""
    return layout[0], {re.sub(r"___\d+$", "", name): where for name, where in layout[1].items()}


def asserts(btf):
    """Lines with which the compiler itself says whether a structure and its members are where BTF has them."""
    seen = set()
    for entry in btf.table.entries():
        if entry.kind in COMPOSED and entry.name and entry.name not in seen:
            word = "struct" if entry.kind is Kind.STRUCT else "union"
            yield f'_Static_assert(sizeof({word} {entry.name}) == {entry.size}, "");'
            for member in btf.table.members(entry):
                if member.name and not member.width:
                    place = f"__builtin_offsetof({word} {entry.name}, {member.name})"
                    yield f'_Static_assert({place} == {member.bits // 8}, "{member.name}");'
        if entry.name and entry.kind in (*COMPOSED, Kind.ENUM, Kind.ENUM64):
            seen.add(entry.name)


@pytest.mark.parametrize("series", ["6.12", "7.2"])
def test_all_types_of_a_kernel_are_laid_out_as_it_has_them(kernels, series, tmp_path):
    kernel = Btf.of(Image.open(kernels[series].vmlinux))
    lines = [*declarations(kernel.table), *asserts(kernel), "int here;"]
    made = layouts_by_tag(compiled(tmp_path, "vmlinux", "\n".join(lines)))
    wanted = layouts_by_tag(kernel)
    assert len(wanted) > 8000
    differing = [name for name, layout in wanted.items() if layout[1] and plain(made[name]) != layout]
    assert differing == []


def test_what_attributes_and_bit_fields_make_comes_out_again(tmp_path):
    first = compiled(tmp_path, "first", f"{SHAPES}\nstruct bits bits; nameless n; int here;\n")
    text = "\n".join(declarations(first.table))
    again = compiled(tmp_path, "again", "\n".join([text, *asserts(first), "int here;"]))
    wanted, made = layouts_by_tag(first), layouts_by_tag(again)
    assert {name: made[name] for name in wanted} == wanted and len(wanted) == 19
    third = "\n".join(declarations(again.table))
    assert layouts_by_tag(compiled(tmp_path, "third", f"{third}\nint here;")) == made


def test_alignments_that_explain_gaps_come_out_again(tmp_path):
    first = compiled(tmp_path, "first", f"{SHAPES}\nint here;\n")
    lines = [*declarations(first.table), "int here;"]
    lines += [
        f'_Static_assert(_Alignof({t}) == {a}, "");'
        for t, a in (
            ("struct wide", 64),
            ("struct around", 128),
            ("struct packed", 1),
            ("struct fill_at_end", 32),
            ("union roomy", 16),
            ("union sized", 1),
        )
    ]
    compiled(tmp_path, "alignments", "\n".join(lines))


def test_names_that_stand_twice_are_told_apart(tmp_path):
    table = compiled(tmp_path, "one", "struct a { int x; }; typedef struct { struct a *p; } t; int here;").table
    once = "\n".join(declarations(table))
    assert "struct a {\n\tint x;\n};" in once and "___2" not in once


@pytest.mark.parametrize(("old", "new"), [(b"shapely", b"sha-ely"), (b"inside\0", b"\xff\xff\xff\xff\xff\xff\0")])
def test_types_that_are_no_c_are_refused(tmp_path, old, new):
    compiled(tmp_path, "one", "struct shapely { int inside; }; int here;")
    image = Image.open(tmp_path / "one.o")
    data = image.contents(image.section(".BTF"))
    assert data.count(old) == 1
    with pytest.raises(ImageError, match="no name in C"):
        list(declarations(Btf(data.replace(old, new)).table))
