"""New members in the padding of structures: objects of the running kernel stay as they are."""

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.layouts import changed_layouts, layouts_of, padding_of
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.padding import Wish, place
from oddtoc.build.refusal import RefusedError
from oddtoc.build.request import fix_from_diff
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.errors import UsageError
from oddtoc.image.btf import Layout
from oddtoc.live.session import Session
from oddtoc.report import fixes

SOURCE, OTHER, HEADER = "fs/proc/version.c", "fs/seq_file.c", "include/linux/seq_file.h"
BODY = "static int version_proc_show(struct seq_file *m, void *v)\n{\n"
SEEN = '\tseq_printf(m, "%d ", m->seen);\n\tm->seen = 5;\n'
LAST = "\tvoid *private;\n"
OVERFLOWED = "\treturn m->count == m->size;\n"
TOLD = {"seq_file": ["seen"]}


@pytest.fixture(autouse=True)
def built(monkeypatch):
    """To ask kbuild for all of them takes a minute."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: [SOURCE, OTHER, "fs/proc/array.c"])
    monkeypatch.setattr(KernelTree, "module_units", lambda _: {})


def _member(declaration="int seen"):
    return HEADER, LAST, f"{LAST}\t{declaration};\n"


def test_a_member_in_padding_leaves_all_others_where_they_are(tree, image, diff, guest_factory, tmp_path):
    new = apply_diff(tree.source, diff((SOURCE, BODY, BODY + SEEN), _member())).root
    overlay = take_newer(tree, new, [SOURCE], image, (), TOLD)
    before, after = (layouts_of(compile_unit(tree, SOURCE, Flavour.COMPARED, root)) for root in (None, overlay.root))
    place, size = after["seq_file"].members.pop("seen")
    assert after == before
    assert any(start <= place and place + size <= end for start, end in padding_of(before["seq_file"]))
    fix = build_fix(tree, overlay, image, tmp_path / "fix.o")
    assert "seq_file gets seen in its padding" in fixes.fix_text(fix, tmp_path / "fix.o")
    machine = guest_factory("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(fix.patch))
        shown = machine.run("cat /proc/version").stdout
        session.revert("fix")
    assert shown.startswith(b"0 Linux version")
    assert machine.run("cat /proc/version").stdout.startswith(b"Linux version")


def test_without_being_told_it_is_refused(diff, tree, tmp_path):
    changed = diff((SOURCE, BODY, BODY + SEEN), _member())
    with pytest.raises(RefusedError) as caught:
        fix_from_diff("6.1", changed, tmp_path / "fix.o", source=tree.source)
    assert {(refusal.id, refusal.subject, refusal.member) for refusal in caught.value.refusals} == {
        ("layout", "seq_file", "seen")
    }


@pytest.mark.parametrize(
    ("declaration", "told", "said"),
    [
        ("long seen", TOLD, "no padding with room for long seen"),
        ("int seen", {"seq_file": ["scene"]}, "gets no new member scene"),
        ("int seen", {"seq_file": ["private"]}, "gets no new member private"),
        ("int seen, more", TOLD, "gets no new member seen"),
        ("int seen", {"file": ["seen"]}, "file gets no new member"),
        ("int seen", {"no_such": ["seen"]}, "no_such gets no new member"),
    ],
    ids=["no-room", "another-name", "old-member", "half-a-declaration", "another-structure", "no-structure"],
)
def test_what_was_told_has_to_be_so(diff, tree, tmp_path, declaration, told, said):
    changed = diff((SOURCE, BODY, BODY + SEEN), _member(declaration))
    with pytest.raises(UsageError, match=said):
        fix_from_diff("6.1", changed, tmp_path / "fix.o", source=tree.source, in_padding=told)


def test_files_that_go_by_a_member_through_an_inline_function_have_to_change_too(diff, tree, image, tmp_path):
    inline = (HEADER, OVERFLOWED, OVERFLOWED.replace("==", "+ m->seen >="))
    changed = diff((SOURCE, BODY, BODY + SEEN), _member(), inline)
    with pytest.raises(RefusedError) as caught:
        take_newer(tree, apply_diff(tree.source, changed).root, [SOURCE], image, (), TOLD)
    assert {refusal.file for refusal in caught.value.refusals} == {OTHER}
    fix = fix_from_diff("6.1", changed, tmp_path / "fix.o", source=tree.source, in_padding=TOLD)
    assert {unit.file for unit in fix.units} == {SOURCE, OTHER}
    names = {replacement.function for replacement in fix.patch.replacements}
    assert {"version_proc_show", "seq_read_iter"} <= names


def test_the_smallest_gap_is_taken_and_two_members_share_one():
    text = "struct a {\n\tchar x;\n\tlong y;\n\tshort z;\n\tint w;\n};\n"
    layout = Layout(24, {"x": (0, 8), "y": (64, 64), "z": (128, 16), "w": (160, 32)})
    assert padding_of(layout) == [(8, 64), (144, 160)]
    short = Wish("short s", 2, 2)
    assert place(text, layout, [short]) == text.replace("short z;", "short z;\n\tshort s;")
    more = place(text, layout, [short, Wish("char u", 1, 1), Wish("int t", 4, 4)])
    assert more == text.replace("x;", "x;\n\tchar u;\n\tint t;").replace("z;", "z;\n\tshort s;")
    assert place(text, layout, [Wish("long l", 8, 8)]) is None


def test_what_follows_an_array_without_a_size_is_no_padding():
    assert padding_of(Layout(8, {"a": (0, 32), "b": (32, 8), "data": (40, 0)})) == []
    assert padding_of(Layout(8, {"a": (0, 32), "b": (32, 8)})) == [(40, 64)]


def test_a_layout_that_moves_something_is_never_taken_for_padding(tree, diff):
    """Whatever is told."""
    new = apply_diff(tree.source, diff((HEADER, "\tsize_t size;\n", "\tint seen;\n\tsize_t size;\n"))).root
    units = compile_unit(tree, SOURCE, Flavour.COMPARED), compile_unit(tree, SOURCE, Flavour.COMPARED, new)
    assert "seq_file" in {change.name for change in changed_layouts(*units, TOLD)}
