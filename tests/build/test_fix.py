"""Source fixes become patches of a running kernel, or are refused with the reason."""

import difflib
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import kernellog
from oddtoc.build.compile import tool
from oddtoc.build.fix import build_fix
from oddtoc.build.overlay import apply_diff, take_files
from oddtoc.build.refusal import WAYS_OUT, RefusedError
from oddtoc.errors import BuildError, ChangedError, MismatchError, RelocationError, UsageError
from oddtoc.image.elf import Image
from oddtoc.link.decode import TOC16_LO
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.report.schemas import schema_of

HERE = Path(__file__).parent
REAL = {
    "pipe": {"pipe_fasync"},
    "libfs": {"simple_rename", "simple_rename_exchange"},
    "swapfile": {"sys_swapon"},
    "generic": {"proc_register", "remove_proc_subtree"},
    "genhd": {"disk_release", "device_add_disk"},
    "inode": {"clear_inode"},
    "mmu": {"smaps_hugetlb_range"},
}
"""Fixes that Debian made between 6.1.176 and 6.1.192, and the functions that they change."""
SUPPORT = {"find_bug", "search_module_extables"}
EVERYDAY = """
cat /proc/mounts /proc/self/smaps > /dev/null; mkdir -p /tmp/x; mount -t tmpfs none /tmp/x; echo a > /tmp/x/f
mv /tmp/x/f /tmp/x/g; cat /tmp/x/g; umount /tmp/x; echo b | cat
"""


@pytest.fixture(scope="module")
def build(tree, image, tmp_path_factory):
    """Builds a patch object from a diff."""
    folder = tmp_path_factory.mktemp("fixes")

    def get(diff, **options):
        return build_fix(tree, apply_diff(tree.source, diff), image, folder / f"{diff.stem}.o", **options)

    return get


@pytest.fixture(scope="module")
def fix(build):
    """One of the diffs here, built once."""
    built = {}

    def get(name):
        if name not in built:
            built[name] = build(HERE / "fixes" / f"{name}.patch")
        return built[name]

    return get


@pytest.fixture
def change(tree, build, tmp_path):
    """Builds what becomes of a file when a text in it is replaced: `change("fs/pipe.c", "old", "new")`."""

    def get(file, old, new, **options):
        before = (tree.source / file).read_text()
        assert before.count(old) >= 1
        after = before.replace(old, new, 1)
        lines = difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{file}", f"b/{file}"
        )
        diff = tmp_path / "change.patch"
        diff.write_text("".join(lines))
        return build(diff, **options)

    return get


@pytest.fixture(scope="module")
def machine(guest_factory, tmp_path_factory):
    program = tmp_path_factory.mktemp("programs") / "getcpu"
    subprocess.run([tool("gcc"), "-static", "-O2", "-o", program, HERE / "programs/getcpu.c"], check=True)
    machine = guest_factory("6.1", files={"bin/getcpu": program})
    machine.run("dmesg -c")
    return machine


def complaints(machine):
    return machine.run(kernellog.COMPLAINTS).stdout


def refusals(change, *arguments):
    with pytest.raises(RefusedError) as caught:
        change(*arguments)
    return {(refusal.id, refusal.subject) for refusal in caught.value.refusals}


@pytest.mark.parametrize("name", REAL)
def test_a_real_fix_is_applied_to_the_running_kernel_and_taken_back(machine, fix, name):
    patch = fix(name).patch
    assert {r.function for r in patch.replacements} - SUPPORT == REAL[name]
    before = machine.run(EVERYDAY).stdout
    with Session.open(f"guest:{machine.name}") as session:
        plan = session.plan(patch)
        session.apply(plan)
        live = session.target.read_many([(change.address, 4) for change in plan.changes])
        assert [int.from_bytes(word, "little") for word in live] == [change.new for change in plan.changes]
    assert machine.run(EVERYDAY).stdout == before
    with Session.open(f"guest:{machine.name}") as session:
        session.revert(name)
        live = session.target.read_many([(change.address, 4) for change in plan.changes])
        assert [int.from_bytes(word, "little") for word in live] == [change.old for change in plan.changes]
    assert complaints(machine) == b""


def test_all_of_them_at_once(machine, fix):
    with Session.open(f"guest:{machine.name}") as session:
        for name in REAL:
            session.apply(session.plan(fix(name).patch))
    assert machine.run(EVERYDAY).stdout.endswith(b"a\nb\n")
    with Session.open(f"guest:{machine.name}") as session:
        assert len(session.status()) == len(REAL)
        # not in the order of stacking: tables of patches below must go on being found
        for name in sorted(REAL):
            session.revert(name)
        assert session.status() == []
    assert complaints(machine) == b""


def test_warnings_keys_and_user_space_faults_in_a_patch(machine, fix):
    """A patch of two files: a new variable of one is used in the other."""
    built = fix("made")
    assert built.asked_keys > 1 and {u.file for u in built.units} == {"fs/proc/version.c", "kernel/sys.c"}
    assert machine.run("getcpu").stdout.split()[0:1] + machine.run("getcpu").stdout.split()[2:] == [
        b"0", b"-1", b"14", b"-1", b"14",
    ]  # fmt: skip
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(fix("inode").patch))
        session.apply(session.plan(built.patch))
        # the upper one answers for both
        session.revert("inode")
    good, cpu, *bad = machine.run("getcpu").stdout.split()
    assert (good, bad) == (b"0", [b"-1", b"14", b"-1", b"14"]) and 1000 <= int(cpu) < 1002
    shown = [machine.run("cat /proc/version").stdout.decode() for _ in range(2)]
    machine.run("echo 1 > /proc/sys/kernel/sched_schedstats")
    shown.append(machine.run("cat /proc/version").stdout.decode())
    machine.run("echo 0 > /proc/sys/kernel/sched_schedstats")
    shown.append(machine.run("cat /proc/version").stdout.decode())
    assert [text.count("with schedstats") for text in shown] == [0, 0, 1, 0]
    assert int(machine.run("getcpu").stdout.split()[1]) in (1004, 1005)
    log = machine.run("dmesg").stdout.decode()
    assert log.count("shown 2 times") == 1
    assert [log.count(f"at fs/proc/version.c:{line} ") for line in (28, 29)] == [1, 1]
    assert "Oops" not in log
    with Session.open(f"guest:{machine.name}") as session:
        session.revert("made")
    assert int(machine.run("getcpu").stdout.split()[1]) < 2
    machine.run("dmesg -c")


def test_what_an_object_calls_is_where_nm_has_it(fix, kernel):
    printed = subprocess.run([tool("nm"), kernel.vmlinux], capture_output=True, text=True, check=True).stdout
    table = {}
    for line in printed.splitlines():
        *address, _, name = line.split()
        table.setdefault(name, set()).update(int(number, 16) for number in address)
    checked = 0
    for name in [*REAL, "made"]:
        path = fix(name).patch.path
        own = subprocess.run([tool("nm"), path], capture_output=True, text=True, check=True).stdout
        for line in own.splitlines():
            address, kind, symbol = line.rsplit(" ", 2)
            if kind == "a":
                plain, _, offset = symbol.partition("+")
                assert int(address, 16) - int(offset or 0) in table[plain], symbol
                checked += len(table[plain]) == 1
    assert checked > 10


def test_a_patch_is_for_one_kernel(guest_factory, fix):
    other = guest_factory("6.12")
    patch = fix("pipe").patch
    with Session.open(f"guest:{other.name}") as session:
        here = session.kernel.image.build_id.hex()
        with pytest.raises(MismatchError, match=rf"made for the kernel .* {patch.kernel.hex()}; here is {here}"):
            session.plan(patch)


def test_only_the_shared_toc_carries_it(machine, fix):
    with Session.open(f"guest:{machine.name}") as session, pytest.raises(RelocationError, match=r"TOC|nop behind"):
        session.plan(fix("generic").patch, mechanism="guarded/slot")


def test_moved_lines_change_nothing(change):
    found = refusals(change, "fs/pipe.c", "#include <linux/mm.h>\n", "#include <linux/mm.h>\n\n\n")
    assert found == {("no-effect", "the object")}


AT_BOOT = "int err = register_filesystem(&pipe_fs_type);"


def test_a_change_of_code_that_only_ran_at_boot_would_be_an_empty_patch(change):
    assert refusals(change, "fs/pipe.c", AT_BOOT, "int err = 0;") == {("boot-only", "init_pipe_fs")}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("retval = 0;", "retval = 1;"),
        ("pipe_max_size = 1048576;", "pipe_max_size = 4096;"),
    ],
)
def test_code_that_only_ran_at_boot_is_refused_beside_others(tree, build, tmp_path, old, new):
    before = (tree.source / "fs/pipe.c").read_text()
    assert old in before
    after = before.replace(AT_BOOT, "int err = 0;").replace(old, new, 1)
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), "a/fs/pipe.c", "b/fs/pipe.c")
    (tmp_path / "boot.patch").write_text("".join(lines))
    with pytest.raises(RefusedError) as caught:
        build(tmp_path / "boot.patch")
    assert ("init-code", "init_pipe_fs") in {(r.id, r.subject) for r in caught.value.refusals}


def test_another_first_value_of_a_variable_is_refused(change):
    found = refusals(change, "fs/pipe.c", "pipe_max_size = 1048576;", "pipe_max_size = 4096;")
    assert found == {("data-changed", "pipe_max_size")}


def test_another_operation_in_a_table_is_refused(change):
    assert refusals(change, "fs/pipe.c", ".fasync\t\t= pipe_fasync,", "") == {("data-changed", "pipefifo_fops")}


TUBE = """
static char *tube_dname(struct dentry *dentry, char *buffer, int buflen)
{
	return dynamic_dname(buffer, buflen, "tube:[%lu]", d_inode(dentry)->i_ino);
}

static const struct dentry_operations pipefs_dentry_operations = {
"""
TABLE = "\nstatic const struct dentry_operations pipefs_dentry_operations = {\n"


def test_a_first_value_and_a_table_are_written_in_place_when_told(machine, tree, image, tmp_path):
    """A number, and a pointer in a table of constants, to a function that only the patch has."""
    (tmp_path / "fs").mkdir()
    text = (tree.source / "fs/pipe.c").read_text().replace("pipe_max_size = 1048576;", "pipe_max_size = 524288;")
    assert TABLE in text
    text = (
        text.replace(TABLE, TUBE)
        .replace("= pipefs_dname,", "= tube_dname,")
        .replace("static char *pipefs_", "char *pipefs_")
    )
    (tmp_path / "fs/pipe.c").write_text(text)
    told = ["pipe_max_size", "pipefs_dentry_operations"]
    overlay = take_files(tree.source, tmp_path, ["fs/pipe.c"])
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, overlay, image, tmp_path / "tube.o", write_data=told[:1])
    assert [(r.id, r.subject) for r in caught.value.refusals] == [("data-changed", told[1])]
    fix = build_fix(tree, overlay, image, tmp_path / "tube.o", write_data=told)
    assert sorted(fix.written) == sorted(told) and fix.patch.replacements == ()
    ask = "cat /proc/sys/fs/pipe-max-size; readlink /proc/self/fd/0 < /dev/null; true | readlink /proc/self/fd/0"
    before = machine.run(ask).stdout.split()
    assert before[0] == b"1048576" and before[2].startswith(b"pipe:[")
    with Session.open(f"guest:{machine.name}") as session:
        plan = session.plan(fix.patch)
        assert {(f.name, c.role) for f in plan.record.functions for c in f.changes} == {(n, "data") for n in told}
        assert sum(len(f.changes) for f in plan.record.functions) == 2, "only the words that differ"
        session.apply(plan)
        # it is there already
        assert session.plan(fix.patch).commit is None
    after = machine.run(ask).stdout.split()
    assert after[0] == b"524288" and after[2].startswith(b"tube:[")
    with Session.open(f"guest:{machine.name}") as session:
        assert session.status()[0].record.pinned
        session.revert("tube")
        live = session.target.read_many([(change.address, 4) for change in plan.changes])
        assert [int.from_bytes(word, "little") for word in live] == [change.old for change in plan.changes]
    after = machine.run(ask).stdout.split()
    assert after[0] == b"1048576" and after[2].startswith(b"pipe:[")
    machine.run("echo 65536 > /proc/sys/fs/pipe-max-size")
    with Session.open(f"guest:{machine.name}") as session, pytest.raises(ChangedError, match="not 0x00100000 as at"):
        session.plan(fix.patch)
    assert (
        machine.run("echo 1048576 > /proc/sys/fs/pipe-max-size; cat /proc/sys/fs/pipe-max-size").stdout == b"1048576\n"
    )
    assert complaints(machine) == b""


def test_what_the_kernel_has_copied_or_that_has_another_size_is_not_written(change):
    state = "cpu_hotplug_state"
    for file, old, new, name, reason in (
        ("kernel/smpboot.c", "ATOMIC_INIT(CPU_POST_DEAD)", "ATOMIC_INIT(CPU_DEAD)", state, "has copied"),
        ("fs/pipe.c", "fs_pipe_sysctls[] = {", "fs_pipe_sysctls[] = { { },", "fs_pipe_sysctls", "keeps its size"),
    ):
        with pytest.raises(RefusedError, match=reason) as caught:
            change(file, old, new, write_data=[name])
        assert [(r.id, r.subject) for r in caught.value.refusals] == [("data-changed", name)]


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        ("fs/pipe.c", "&pipe_max_size,", "&pipe_user_pages_hard,", "pipe_user_pages_soft"),
        ("fs/pipe.c", "pipe_max_size = 1048576;", "pipe_max_size = 1;", "pipe_user_pages_soft"),
    ],
)
def test_only_what_changes_can_be_told_to_be_written(change, file, old, new, name):
    with pytest.raises(UsageError, match="no variable of the fix"):
        change(file, old, new, write_data=[name])


def test_a_new_member_in_a_structure_is_refused_by_name(change):
    found = refusals(
        change, "block/bdev.c", "\tstruct block_device bdev;\n", "\tstruct block_device bdev;\n\tint mine;\n"
    )
    assert ("layout", "bdev_inode") in found


def test_what_runs_and_is_not_the_source_is_refused_and_can_be_accepted(tree, image, tmp_path, monkeypatch):
    """Were the running kernel another one, functions would tell: here one that a changed file has too."""
    overlay = apply_diff(tree.source, HERE / "fixes/pipe.patch")
    real = Image.words

    def words(self, address, count):
        found = real(self, address, count)
        return found ^ 1 if address == image.symbols.one("pipe_poll").address else found

    monkeypatch.setattr(Image, "words", words)
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, overlay, image, tmp_path / "pipe.o")
    assert [(r.id, r.subject) for r in caught.value.refusals] == [("fidelity", "pipe_poll")]
    accepted = build_fix(tree, overlay, image, tmp_path / "pipe.o", accept_difference=True)
    assert [r.function for r in accepted.patch.replacements] == ["pipe_fasync"]


def test_a_second_static_variable_of_the_same_name_is_not_taken_for_the_first(change):
    """audit.c has two called `lock`; a third one can't be told from them, and must not become one of them."""
    old = "static inline int audit_rate_check(void)\n{\n"
    new = "void audit_log_lost(const char *message)\n{\n\tstatic unsigned long\tlast_msg = 0;\n"
    found = change("kernel/audit.c", new, new + "\tlast_msg++;\n").patch
    kernels = [s for s in found.symbols if s.name == "last_msg"]
    assert [s.section for s in kernels] == [None], "the running kernel's own"
    third = "\tstatic unsigned long last_msg = 0;\n\tlast_msg++;\n"
    assert {id for id, _ in refusals(change, "kernel/audit.c", old, old + third)} == {"static-local"}


def test_a_string_that_code_counts_from_before_its_start_comes_along_whole(change):
    """device_node_string counts from a byte before it: `*++p`."""
    found = change("lib/vsprintf.c", "str_spec.field_width = -1;", "str_spec.field_width = -2;").patch
    assert "device_node_string" in {r.function for r in found.replacements}
    strings = next(s for s in found.sections.values() if s.name.startswith(".rodata.str1.8"))
    # a load from .toc has become a sum
    code = [section for section in found.sections.values() if section.name.startswith(".text.")]
    low = [r for section in code for r in section.relocations if r.type == TOC16_LO]
    own = [r for r in low if found.symbols[r.symbol].section == strings.index]
    led = {strings.data[max(r.addend, 0) : r.addend + 3] for r in own}
    assert any(text[:1] == b"\0" for text in led) and all(text.strip(b"\0") for text in led)


def test_a_weak_variable_is_the_one_that_overrides_it(change):
    old, new = "return &bpf_sk_redirect_map_proto;", "return &bpf_sk_redirect_hash_proto;"
    found = change("net/core/filter.c", old, new).patch
    assert {s.section for s in found.symbols if s.name == "bpf_sk_redirect_hash_proto"} == {None}
    assert {r.function for r in found.replacements} == {"sk_skb_func_proto"}


def test_a_function_that_the_kernel_lacks_is_refused(change):
    found = refusals(change, "fs/pipe.c", "retval = 0;", "retval = 0; extern void no_such(void); no_such();")
    assert ("symbol", "no_such") in found


def test_a_file_of_a_module_needs_the_modules(change):
    with pytest.raises(BuildError, match=r"drivers/block/loop\.c is part of the module loop"):
        change("drivers/block/loop.c", "lo->lo_state = Lo_bound;", "lo->lo_state = Lo_unbound;")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "changes no C source"),
        ("--- a/fs/../../etc/x.c\n+++ b/fs/../../etc/x.c\n@@ -0,0 +1 @@\n+x\n", "leaves the source tree"),
        ("--- a/fs/pipe.c\n+++ b/fs/pipe.c\n@@ -1,2 +1,2 @@\n-no such line\n+another\n x\n", "does not apply"),
        ("--- a/kernel/Makefile\n+++ b/kernel/Makefile\n@@ -1 +1 @@\n-a\n+b\n", "neither C source nor a header"),
    ],
)
def test_a_diff_that_makes_no_sense_is_refused(tree, tmp_path, text, message):
    diff = tmp_path / "fix.patch"
    diff.write_text(text)
    with pytest.raises(BuildError, match=message):
        apply_diff(tree.source, diff)


def test_the_sources_are_left_as_they_are(tree, fix):
    fix("pipe")
    assert "fasync_helper(-1, filp, 0, &pipe->fasync_readers)" in (tree.source / "fs/pipe.c").read_text()


def test_the_command_builds_from_a_diff_and_from_trees(tree, tmp_path):
    def oddtoc(*arguments):
        command = [sys.executable, "-m", "oddtoc", "build", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    diff = HERE / "fixes/pipe.patch"
    done = oddtoc("--diff", diff, "--kernel", "6.1", "-o", tmp_path / "pipe.o")
    assert done.returncode == 0 and "pipe_fasync changed" in done.stdout
    new = apply_diff(tree.source, diff).root
    done = oddtoc("--old", tree.source, "--new", new, "fs/pipe.c", "-o", tmp_path / "again.o", "--format", "json")
    answer = json.loads(done.stdout)
    jsonschema.validate(answer, schema_of("build"))
    assert answer["files"][0]["changed"] == ["pipe_fasync"]
    sections = [{s.name: s.data for s in PatchObject.open(tmp_path / f"{name}.o").loaded} for name in ("pipe", "again")]
    assert sections[0] == sections[1]
    (tmp_path / "none.patch").write_text(diff.read_text().replace("+", " ").replace("-", " "))
    done = oddtoc("--diff", tmp_path / "none.patch")
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_refusals_are_for_programs_too(tmp_path):
    diff = tmp_path / "noise.patch"
    header = "--- a/fs/pipe.c\n+++ b/fs/pipe.c\n@@ -1,3 +1,4 @@\n"
    diff.write_text(header + " // SPDX-License-Identifier: GPL-2.0\n+\n /*\n  *  linux/fs/pipe.c\n")
    command = [
        sys.executable,
        "-m",
        "oddtoc",
        "build",
        "--diff",
        str(diff),
        "--format",
        "json",
        "-o",
        str(tmp_path / "n.o"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    jsonschema.validate(json.loads(done.stdout), schema_of("error"))
    refused = json.loads(done.stdout)["error"]["refusals"]
    assert done.returncode == 4 and [r["id"] for r in refused] == ["no-effect"]
    assert set(refused[0]) == {"id", "file", "subject", "reason", "member", "way_out"} and refused[0]["id"] in WAYS_OUT


def test_files_of_another_tree_are_named_relative_to_it(tree, tmp_path):
    with pytest.raises(BuildError, match=r"has no fs/pipe\.c"):
        take_files(tree.source, tmp_path, ["fs/pipe.c"])
