"""Calls of a patched function's original: what is planted, and what is refused. That it works is the lab's to show."""

import struct

import pytest

from link.test_against_ld import DATA, OUTSIDE, TEXT, TOC, Names, entry, signed
from oddtoc.build.compile import compile_patch
from oddtoc.errors import PatchError, RelocationError
from oddtoc.link.layout import Area, Redirect, lay_out
from oddtoc.link.payload import Ground, link
from oddtoc.mechanism.catalog import by_name

STORE = 0xF8010010
"""std r0,16(r1): what gcc writes behind an ftrace site."""


@pytest.fixture(scope="module")
def patch(tmp_path_factory):
    source = tmp_path_factory.mktemp("original") / "calls.c"
    source.write_text(
        "#include <oddtoc.h>\n"
        "int ODDTOC_ORIGINAL(patched)(int value);\n"
        "static int mine(int value) { return ODDTOC_ORIGINAL(patched)(value + 1) * 2; }\n"
        "ODDTOC_REPLACE(vmlinux, patched, mine);\n"
    )
    return compile_patch(source, source.with_suffix(".o"))


def planted(patch, mechanism, displaced):
    redirects = [Redirect(patch.replacements[0], entry(), by_name(mechanism), displaced=displaced)]
    layout = lay_out(patch, redirects, own_toc=by_name(mechanism).own_toc)
    areas = {Area.TEXT: TEXT, Area.DATA: DATA, Area.HELPERS: 0xC000000001190104}
    ground = Ground(TOC, 16, areas, by_name(mechanism).own_toc, 0xC000000001190101)
    return layout, link(patch, redirects, layout, ground, Names())


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot"])
def test_the_stub_runs_the_displaced_word_and_goes_on_behind_it(patch, mechanism):
    layout, payload = planted(patch, mechanism, STORE)
    _, text = payload.segments[Area.TEXT]
    area, stub = layout.originals["patched"]
    assert area is Area.TEXT
    words = list(struct.unpack_from("<5I", text, stub))
    if mechanism == "guarded/slot":
        assert words[:2] == [0xF8410018, 0xE84D0010]  # std r2,24(r1); ld r2,16(r13)
        words, stub = words[2:], stub + 8
    assert words[:2] == [0x7C0802A6, STORE]  # mflr r0
    assert TEXT + stub + 8 + signed(words[2], 26) == entry().behind + 4


def test_with_its_own_toc_the_call_comes_back_to_a_reload(patch):
    layout, payload = planted(patch, "guarded/slot", STORE)
    _, text = payload.segments[Area.TEXT]
    words = struct.unpack(f"<{len(text) // 4}I", text[: len(text) & ~3])
    calls = [i for i, w in enumerate(words) if w >> 26 == 18 and w & 1 and words[i + 1] == 0xE8410018]
    assert layout.originals["patched"][1] in [4 * i + signed(words[i] & 0x03FFFFFC, 26) for i in calls]


@pytest.mark.parametrize("word", [0x4BFFFFF0, 0x41820010, 0x4C000004, 0x06000000])
def test_a_word_that_works_only_in_its_place_is_refused(patch, word):
    with pytest.raises(PatchError, match="works only there"):
        planted(patch, "shared-toc", word)


def test_without_the_displaced_word_there_is_no_way_in(patch):
    with pytest.raises(PatchError, match="which word"):
        planted(patch, "shared-toc", None)


def test_only_a_replaced_function_has_an_original(tmp_path):
    source = tmp_path / "stranger.c"
    source.write_text(
        "#include <oddtoc.h>\n"
        "int ODDTOC_ORIGINAL(with_toc)(int value);\n"
        "static int mine(int value) { return ODDTOC_ORIGINAL(with_toc)(value) + 1; }\n"
        "ODDTOC_REPLACE(vmlinux, patched, mine);\n"
    )
    stranger = compile_patch(source, source.with_suffix(".o"))
    assert "with_toc" in OUTSIDE
    with pytest.raises(PatchError, match="does not replace"):
        planted(stranger, "guarded/slot", STORE)


def test_a_sibling_call_of_the_original_is_refused_with_its_own_toc(tmp_path):
    source = tmp_path / "sibling.c"
    source.write_text(
        "#include <oddtoc.h>\n"
        'asm(".text\\n.globl mine\\n.type mine,@function\\nmine: b oddtoc_original_patched");\n'
        "void mine(void);\n"
        "ODDTOC_REPLACE(vmlinux, patched, mine);\n"
    )
    sibling = compile_patch(source, source.with_suffix(".o"))
    planted(sibling, "shared-toc", STORE)
    with pytest.raises(RelocationError, match="sibling call"):
        planted(sibling, "guarded/slot", STORE)
