"""BTF: what kernels say about their types, and what others make up."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddtoc.build.compile import tool
from oddtoc.errors import ImageError, OddtocError, SymbolError
from oddtoc.image.btf import Btf, Prototype
from oddtoc.image.elf import Image


@pytest.fixture(scope="module", params=["6.12", "7.2"])
def btf(request, kernels):
    return Btf.of(Image.open(kernels[request.param].vmlinux))


def test_what_the_architecture_fixes_is_read_right(btf):
    """struct pt_regs is known to user space (arch/powerpc/include/uapi/asm/ptrace.h), struct list_head to everybody."""
    members = ("gpr", "nip", "msr", "orig_gpr3", "ctr", "link", "xer", "ccr")
    assert [btf.offset("pt_regs", member) for member in members] == [0, *range(256, 256 + 7 * 8, 8)]
    assert [(m.name, m.bits) for m in btf.members("list_head")] == [("next", 0), ("prev", 64)]
    assert btf.size("list_head") == 16
    assert btf.prototype("seq_printf") == Prototype(2, True)
    assert btf.prototype("seq_putc") == Prototype(2, False)
    assert btf.prototype("schedule") == Prototype(0, False)
    assert len(btf) > 90_000


LAID_OUT = """
enum color { RED = 7, GREEN = -2 };
typedef int pair[2];
struct named { char c; long l; };
struct s {
	char first;
	union { void *one; unsigned long other; };
	struct { short x; pair y[3]; } inside, several[2];
	const struct named copy;
	int (*call)(int), low : 3, high : 5;
	enum color color;
};
#define OF(member) 8 * __builtin_offsetof(struct s, member), 8 * sizeof(((struct s *)0)->member)
unsigned long places[] = {
	OF(first), OF(one), OF(other), OF(inside), OF(inside.x), OF(inside.y), OF(several), OF(several[0].x),
	OF(several[0].y), OF(copy), OF(call), OF(color), 8 * sizeof(struct s), sizeof(enum color),
};
"""


def test_layouts_are_what_the_compiler_makes(tmp_path):
    """Told by the compiler itself, in an array; members without a name count from outside, as those of an array do."""
    source, unit = tmp_path / "s.c", tmp_path / "s.o"
    source.write_text(LAID_OUT)
    subprocess.run([tool("gcc"), "-c", "-gbtf", "-fno-eliminate-unused-debug-types", "-o", unit, source], check=True)
    image = Image.open(unit)
    places = struct.unpack("<26Q", image.contents(image.section(".data"))[: 26 * 8])
    layouts = dict(Btf.of(image).layouts())
    names = ("first", "one", "other", "inside", "inside.x", "inside.y", "several", "several.x", "several.y", "copy")
    expected = dict(zip((*names, "call", "color"), zip(places[0:24:2], places[1:24:2], strict=True), strict=True))
    bits = layouts["s"].members.pop("low"), layouts["s"].members.pop("high")
    assert layouts["s"].members == expected and layouts["s"].size * 8 == places[24]
    assert bits == ((expected["call"][0] + 64, 3), (expected["call"][0] + 67, 5))
    assert layouts["enum color"].members == {"RED": (7, 32), "GREEN": (-2, 32)}


def test_what_is_not_there_is_said(btf, kernels):
    with pytest.raises(SymbolError, match="no nothing_like_it"):
        btf.offset("nothing_like_it", "next")
    with pytest.raises(SymbolError, match="list_head has no member other"):
        btf.offset("list_head", "other")
    with pytest.raises(SymbolError):
        btf.prototype("nothing_like_it")
    with pytest.raises(ImageError, match="no BTF"):
        Btf.of(Image.open(Path(kernels["6.1"].vmlinux)))


def blob(types, strings=b"\0s\0a\0b\0f\0"):
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


INT = struct.pack("<IIII", 0, 1 << 24, 4, 32)
INNER = struct.pack("<IIIIII", 0, 4 << 24 | 1, 4, 5, 1, 32)
OUTER = struct.pack("<IIIIIIIII", 1, 4 << 24 | 2, 8, 3, 1, 0, 0, 2, 32)
ENDLESS = struct.pack("<IIIIII", 1, 4 << 24 | 1, 8, 0, 1, 0)
FUNC = struct.pack("<IIIIIIIIII", 0, 13 << 24 | 2, 0, 3, 1, 0, 0, 7, 12 << 24, 4)


def test_members_of_anonymous_structures_count_from_outside():
    btf = Btf(blob(INT + INNER + OUTER))
    assert btf.offset("s", "a") == 0
    assert btf.offset("s", "b") == 8
    with pytest.raises(ImageError, match="without end"):
        Btf(blob(ENDLESS)).offset("s", "b")
    assert Btf(blob(INT + INNER + OUTER + FUNC)).prototype("f") == Prototype(1, True)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=12), st.integers(0, 200))
def test_mutations_are_refused_or_read_but_nothing_else(changes, cut):
    data = bytearray(blob(INT + INNER + OUTER + FUNC))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        btf = Btf(bytes(data[: len(data) - cut % len(data)] if cut % 3 == 0 else data))
        btf.offset("s", "b")
        btf.prototype("f")
    except OddtocError:
        pass
