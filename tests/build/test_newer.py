"""Files of a newer tree are built with what they need of its headers, and the running kernel's layouts stay."""

import json

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.layouts import unlike_kernel
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.refusal import WAYS_OUT, RefusedError
from oddtoc.build.request import fix_from_diff
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.image.elf import Image
from oddtoc.live.session import Session
from oddtoc.report import fixes
from oddtoc.report.errors import error_record

SOURCE, HEADER, NAMES = "fs/proc/version.c", "include/linux/seq_file.h", "include/linux/utsname.h"
BODY = "static int version_proc_show(struct seq_file *m, void *v)\n{\n"
STRUCTURE = "struct seq_file {\n"
OVERFLOWED = "\treturn m->count == m->size;\n"
SKIP = "#define SEQ_SKIP 1\n"
PUTS = "void seq_puts(struct seq_file *m, const char *s);\n"
HELLO = '#define HELLO "hello\\n"\nstatic inline void seq_hello(struct seq_file *m)\n{\n\tseq_puts(m, HELLO);\n}\n'


@pytest.fixture(autouse=True)
def built(monkeypatch):
    """To ask kbuild for all of them takes a minute."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: [SOURCE, "fs/seq_file.c", "fs/proc/array.c"])


@pytest.fixture
def newer(tree, diff):
    """A newer tree, of texts that take the places of others: `newer(code, (HEADER, old, new), ...)`."""
    return lambda code, *changes: apply_diff(tree.source, diff((SOURCE, BODY, BODY + code), *changes)).root


@pytest.fixture
def build(tree, image, newer, tmp_path):
    def get(*changes):
        overlay = take_newer(tree, newer(*changes), [SOURCE], image)
        return build_fix(tree, overlay, image, tmp_path / "newer.o")

    return get


@pytest.fixture
def refusals(build):
    """What is in the way of a change, as programs read it."""

    def get(*changes):
        with pytest.raises(RefusedError) as caught:
            build(*changes)
        plain = error_record(caught.value)["refusals"]
        assert all(refusal["way_out"] == WAYS_OUT[refusal["id"]] and refusal["reason"] for refusal in plain)
        return {(refusal["id"], refusal["subject"], refusal["member"]) for refusal in plain}

    return get


@pytest.mark.parametrize("more", [(), ((HEADER, OVERFLOWED, OVERFLOWED.replace("==", ">=")),)], ids=["alone", "more"])
def test_a_diff_may_lay_out_a_structure_anew_that_it_does_not_use(tree, newer, tmp_path, more):
    """Where it changes what all other files use too, it would be half of a fix."""
    moved = (HEADER, STRUCTURE, STRUCTURE + "\tvoid *mine;\n")
    newer("\tseq_hello(m);\n", moved, (HEADER, PUTS, PUTS + HELLO), *more)
    arguments = ("6.1", tmp_path / "newer.patch", tmp_path / "newer.o")
    if more:
        with pytest.raises(RefusedError, match="reaches"):
            fix_from_diff(*arguments, source=tree.source, most_units=0)
        return
    fix = fix_from_diff(*arguments, source=tree.source, most_units=0)
    assert [change.name for change in fix.left] == ["seq_file"]
    assert [replacement.function for replacement in fix.patch.replacements] == ["version_proc_show"]


def test_a_unit_is_held_against_the_types_of_the_kernel_itself(tree, image, kernels):
    """Here against those of another kernel; 6.1 has none."""
    unit = compile_unit(tree, SOURCE, Flavour.COMPARED)
    assert list(unlike_kernel(image, unit)) == []
    found = {(change.name, change.member) for change in unlike_kernel(Image.open(kernels["6.12"].vmlinux), unit)}
    assert {("ctl_table", "child"), ("cpu_vfs_cap_data", "permitted"), ("enum clocksource_ids", "CSID_MAX")} <= found
    assert {"list_head", "qstr", "seq_file", "uts_namespace"}.isdisjoint(name for name, _ in found)


def test_what_the_code_uses_is_taken_and_members_stay_where_they_are(build, guest_factory, tmp_path):
    """Were the newer structure taken too, the text would go to where the buffer's size stands."""
    fix = build(
        "\tseq_hello(m);\n",
        (HEADER, STRUCTURE, STRUCTURE + "\tvoid *mine;\n"),
        (HEADER, OVERFLOWED, OVERFLOWED.replace("==", ">=")),
        (HEADER, PUTS, PUTS + HELLO),
    )
    plain = json.loads(fixes.fix_json(fix, tmp_path / "newer.o"))["headers"]
    taken = {(change["kind"], change["name"], change["is_new"]) for change in plain["taken"]}
    assert taken == {("define", "HELLO", True), ("function", "seq_hello", True)}
    left = {(change["kind"], change["name"], change["is_mentioned"]) for change in plain["left"]}
    assert left == {("struct", "seq_file", True), ("function", "seq_has_overflowed", False)}
    assert "function seq_hello (new) of include/linux/seq_file.h" in fixes.fix_text(fix, tmp_path / "newer.o")
    machine = guest_factory("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(fix.patch))
        shown = machine.run("cat /proc/version").stdout
        session.revert("newer")
    assert shown.startswith(b"hello\nLinux version")
    assert machine.run("cat /proc/version").stdout.startswith(b"Linux version")


def test_a_changed_inline_function_that_the_code_uses_is_taken(build):
    change = (HEADER, OVERFLOWED, OVERFLOWED.replace("==", ">="))
    fix = build("\tif (seq_has_overflowed(m))\n\t\treturn 0;\n", change)
    assert [(taken.name, taken.is_new) for taken in fix.taken] == [("seq_has_overflowed", False)]
    assert fix.left == []


def test_a_second_name_for_a_member_is_no_other_layout(build):
    union = "\tunion {\n\t\tsize_t count;\n\t\tsize_t filled;\n\t};\n"
    fix = build("\tif (m->filled)\n\t\treturn 0;\n", (HEADER, "\tsize_t count;\n", union))
    assert [taken.name for taken in fix.taken] == ["seq_file"]


def test_a_constant_behind_the_others_can_be_used(build):
    last = "\tUTS_PROC_DOMAINNAME,\n"
    assert build("\tif (m->count == UTS_PROC_MINE)\n\t\treturn 0;\n", (NAMES, last, last + "\tUTS_PROC_MINE,\n")).patch


SHOWN = "\t\terr = m->op->show(m, p);\n"
ASKS = (HEADER, OVERFLOWED, OVERFLOWED.replace("==", "+ m->mine >="))


@pytest.mark.parametrize(
    ("shown", "is_kept"),
    [(f"{SHOWN}\t\tcond_resched();\n", True), (f"{SHOWN}\t\tif (seq_has_overflowed(m))\n\t\t\tbreak;\n", False)],
    ids=["beside", "calls-it-anew"],
)
def test_an_inline_function_that_asks_for_a_new_member_stays_old_where_its_calls_do(
    tree, image, newer, tmp_path, shown, is_kept
):
    new = newer("\tseq_puts(m, v);\n", MOVED, ASKS, ("fs/seq_file.c", SHOWN, shown))
    if is_kept:
        overlay = take_newer(tree, new, ["fs/seq_file.c"], image)
        assert ("seq_has_overflowed", True) in {(change.name, change.is_mentioned) for change in overlay.left}
        assert overlay.taken == []
        return
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, take_newer(tree, new, ["fs/seq_file.c"], image), image, tmp_path / "no.o")
    assert ("seq_file", "mine") in {(refusal.subject, refusal.member) for refusal in caught.value.refusals}


def test_a_new_header_is_found_behind_dots(tree, image, diff):
    """As fs/smb/client/cifsglob.h includes ../common/cifsglob.h."""
    include = '#include "internal.h"\n'
    changed = diff(
        (SOURCE, include, f'{include}#include "../proc/hello.h"\n'),
        (SOURCE, BODY, f"{BODY}\tif (!v)\n\t\treturn 0;\n"),
    )
    with changed.open("a") as more:
        more.write('--- /dev/null\n+++ b/fs/proc/hello.h\n@@ -0,0 +1 @@\n+#define HELLO "hello"\n')
    overlay = take_newer(tree, apply_diff(tree.source, changed).root, [SOURCE], image)
    assert [(change.name, change.is_new) for change in overlay.taken] == [("HELLO", True)]


MOVED = (HEADER, STRUCTURE, STRUCTURE + "\tvoid *mine;\n")
TAKES = (HEADER, "int (*show) (struct seq_file *m, void *v);", "int (*show) (struct seq_file *m, void *v, int more);")
NARROW = (HEADER, "\tloff_t index;\n", "\tint index __attribute__((aligned(8)));\n")
MOUNT = (HEADER, SKIP, SKIP + "struct mount {\n\tint mine;\n};\n")
BETWEEN = (NAMES, "\tUTS_PROC_VERSION,\n", "\tUTS_PROC_MINE,\n\tUTS_PROC_VERSION,\n")


@pytest.mark.parametrize(
    ("code", "change", "refused"),
    [
        ("\tif (m->mine)\n\t\treturn 0;\n", MOVED, {("layout", "seq_file", "mine")}),
        ("\tif (m->op)\n\t\treturn m->op->show(m, v, 1);\n", TAKES, {("layout", "seq_operations", "show")}),
        ("\tif (m->index)\n\t\treturn 0;\n", NARROW, {("layout", "seq_file", "index")}),
        (
            "\tif (m->count == UTS_PROC_MINE)\n\t\treturn 0;\n",
            BETWEEN,
            {("layout", "enum uts_proc", "UTS_PROC_VERSION")},
        ),
        (
            "\tif (m->count)\n\t\treturn SEQ_SKIP;\n",
            (HEADER, SKIP, SKIP.replace("1", "2")),
            {("constant", "SEQ_SKIP", "")},
        ),
        ("\tseq_puts(m, v);\n", (HEADER, PUTS, PUTS.replace("void", "int", 1)), {("prototype", "seq_puts", "")}),
        ("\tif (sizeof(struct mount) == m->count)\n\t\treturn 0;\n", MOUNT, {("layout", "mount", "")}),
        ("\tno_such(m);\n", (HEADER, PUTS, PUTS + HELLO), {("header", "no_such", "")}),
    ],
    ids=[
        "new-member",
        "other-function",
        "narrower-member",
        "constant-between",
        "macro",
        "prototype",
        "structure-elsewhere",
        "undeclared",
    ],
)
def test_what_the_code_needs_and_the_running_kernel_has_otherwise_is_refused(refusals, code, change, refused):
    assert refusals(code, change) == refused


def test_a_parameter_by_the_name_of_a_member_is_none(refusals):
    member = (HEADER, STRUCTURE, f"{STRUCTURE}\tint seen;\n")
    flush = "int (*flush) (struct file *, fl_owner_t id"
    pointer = ("include/linux/fs.h", f"{flush});", f"{flush}, int op);")
    assert refusals("\tif (m->op) m->seen = 1;\n", member, pointer) == {("layout", "seq_file", "seen")}
