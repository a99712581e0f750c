"""Line numbers: patches have the source's own, and only what tells one is compiled for it."""

from collections import Counter

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.lines import LINE
from oddtoc.build.overlay import apply_diff
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tables import BUGS, entries_by_function
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.link.unitobject import SECTION, UnitObject

TOLD = LINE.to_bytes(2, "little"), str(LINE).encode()


def _meaning(unit, relocation):
    """What a relocation refers to, in words that are the same in another object of the file."""
    target = unit.symbols[relocation.symbol]
    if target.section in unit.sections and target.section and unit.sections[target.section].strings:
        start, distance = unit.merged_place(relocation)
        return relocation.type, unit.string_at(target.section, start), distance
    name = unit.sections[target.section].name if target.type == SECTION else target.name
    return relocation.type, name.replace(str(LINE), "LINE"), relocation.addend


def _bugs(unit):
    """Function and line of each BUG and WARN_ON."""
    entries = ((name, entry) for name, those in entries_by_function(unit).items() for entry in those)
    return Counter((name, entry.data[8:10]) for name, entry in entries if entry.section.name == BUGS)


@pytest.mark.parametrize(
    "file",
    ["kernel/fork.c", "kernel/sched/core.c", "mm/mmap.c", "net/core/dev.c", "net/ipv4/tcp_input.c", "fs/btrfs/inode.c"],
)
def test_what_holds_no_line_is_the_same_with_all_lines(tree, file):
    """Code, data, and what they refer to: the compiler's own word, for the whole of a file."""
    compared, shipped = (
        UnitObject(compile_unit(tree, file, flavour)) for flavour in (Flavour.COMPARED, Flavour.SHIPPED)
    )
    # BUG and WARN_ON say their lines in a table, and there they are the source's
    tables = [_bugs(unit) for unit in (compared, shipped)]
    assert tables[0] == tables[1] and sum(tables[0].values()) > 3
    others = {symbol.name: symbol for symbol in (*shipped.functions, *shipped.objects)}
    seen = Counter()
    named = (symbol for symbol in (*compared.functions, *compared.objects) if str(LINE) not in symbol.name)
    for symbol in named:
        content = compared.bytes_of(symbol)
        referred = [_meaning(compared, relocation) for relocation in compared.relocations_of(symbol)]
        held = [content, *(word for _, word, _ in referred if isinstance(word, bytes))]
        if any(told in one for told in TOLD for one in held):
            seen["told"] += 1
            continue
        other = others[symbol.name]
        assert shipped.bytes_of(other) == content, symbol.name
        assert [kind[:2] for kind in referred] == [_meaning(shipped, r)[:2] for r in shipped.relocations_of(other)]
        seen["same"] += 1
    assert seen["same"] > 80


def test_a_patch_that_tells_no_line_is_what_was_compared(tree, image, diff, tmp_path):
    said = '\tseq_puts(m, "the ");\n\tWARN_ON_ONCE(!m);\n\tseq_printf(m'
    change = diff(("fs/proc/version.c", "\tseq_printf(m", said))
    overlay = apply_diff(tree.source, change)
    (unit,) = build_fix(tree, overlay, image, tmp_path / "fix.o").units
    assert unit.new.path == compile_unit(tree, "fs/proc/version.c", Flavour.COMPARED, overlay.root)


def test_only_the_file_that_tells_a_line_is_compiled_for_it(tree, image, diff, tmp_path):
    change = diff(
        ("fs/proc/version.c", "\tseq_printf(m", '\tseq_printf(m, "%d", __LINE__);\n\tseq_printf(m'),
        ("fs/pipe.c", "retval = 0;", "retval = 1;"),
    )
    overlay = apply_diff(tree.source, change)
    fix = build_fix(tree, overlay, image, tmp_path / "fix.o")
    flavours = {"fs/proc/version.c": Flavour.SHIPPED, "fs/pipe.c": Flavour.COMPARED}
    for unit in fix.units:
        assert unit.new.path == compile_unit(tree, unit.file, flavours[unit.file], overlay.root)
    assert {one.function for one in fix.patch.replacements} == {"version_proc_show", "pipe_fasync"}
    assert not any(told in fix.patch.content for told in TOLD)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("WARN_ON_ONCE(!m);", lambda line: line.to_bytes(2, "little")),
        ('seq_printf(m, "%d", __LINE__);', lambda line: line.to_bytes(2, "little")),
        ("seq_puts(m, __stringify(__LINE__));", lambda line: str(line).encode()),
        ('pr_debug("here");', lambda line: line.to_bytes(2, "little")),
    ],
)
def test_a_line_that_is_told_is_the_sources(tree, image, diff, tmp_path, said, told):
    lines = (tree.source / "fs/proc/version.c").read_text().splitlines()
    at = next(number for number, line in enumerate(lines, 1) if "seq_printf(m" in line)
    head = "#include <linux/seq_file.h>"
    space = "\n" * 700
    change = diff(
        ("fs/proc/version.c", head, f"{space}{head}"),
        ("fs/proc/version.c", "\tseq_printf(m", f"\t{said}\n\tseq_printf(m"),
    )
    patch = build_fix(tree, apply_diff(tree.source, change), image, tmp_path / "fix.o").patch
    assert told(at + 700) in patch.content
    assert not any(told in patch.content for told in TOLD)


def test_no_function_is_taken_for_a_clone_that_knows_its_line(tree, image, kernel, diff, tmp_path):
    """All callers of __ext4_ext_dirty() give it their lines. With one for all it is cloned, and no clone of it runs."""
    call = "\terr = ext4_ext_dirty(handle, inode, path + k);"
    overlay = apply_diff(tree.source, diff(("fs/ext4/extents.c", call, f"\tif (!inode)\n\t\treturn 0;\n{call}")))
    with_one = UnitObject(compile_unit(tree, "fs/ext4/extents.c", Flavour.COMPARED, overlay.root))
    assert any(function.name == "__ext4_ext_dirty.constprop.0" for function in with_one.functions)
    fix = build_fix(tree, overlay, image, tmp_path / "fix.o", modules=kernel.modules)
    names = {symbol.name for symbol in fix.patch.symbols}
    assert any(name.startswith("__ext4_ext_dirty") for name in names)
    assert not any("constprop" in name and name.startswith("__ext4_ext_dirty") for name in names)


def test_a_clone_that_is_only_compared_is_refused(tree, image, kernel, diff, tmp_path):
    """Its function runs whole: the clone can be taken for nothing, also where differences are accepted."""
    first = "\tint err;\n\n\tWARN_ON(!rwsem_is_locked(&EXT4_I(inode)->i_data_sem));"
    overlay = apply_diff(tree.source, diff(("fs/ext4/extents.c", first, f"{first}\n\tif (!path)\n\t\treturn -EINVAL;")))
    for accepted, kind in ((False, "fidelity"), (True, "no-site")):
        with pytest.raises(RefusedError) as caught:
            build_fix(tree, overlay, image, tmp_path / "fix.o", modules=kernel.modules, accept_difference=accepted)
        assert {(one.id, one.subject) for one in caught.value.refusals} == {(kind, "__ext4_ext_dirty.constprop.0")}
