"""Fixes of files that are part of modules: the .ko tells what runs, and the patch names the module that it changes."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import fat
from oddtoc.build.fix import build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.reach import units_reached
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.errors import ChangedError
from oddtoc.image.elf import Image
from oddtoc.image.layout import RELOCATION
from oddtoc.link.fidelity import compare
from oddtoc.link.selflinked import link_by_itself, where
from oddtoc.link.unitobject import UnitObject
from oddtoc.live.journal import Condition
from oddtoc.live.parts import apply_parts
from oddtoc.live.session import Session
from oddtoc.report.schemas import schema_of
from oddtoc.target.modules import load_order, read_module

FIXES = Path(__file__).parent / "fixes" / "modules"
MOUNT = "umount /mnt 2>/dev/null; mount -t vfat -o loop /fat.img /mnt"
ASK = f"{MOUNT}; stat -f -c %b /mnt; stat -c %y /mnt/FILE | cut -c1-10"
PLAIN, PATCHED = b"61\n2020-01-01\n", b"4711\n2001-09-09\n"
SUPPORT = {("vmlinux", "find_bug"), ("vmlinux", "search_module_extables")}

INIT = """--- a/fs/fat/namei_msdos.c
+++ b/fs/fat/namei_msdos.c
@@ -674,3 +674,4 @@
 static int __init init_msdos_fs(void)
 {
+\tpr_info("loaded");
 \treturn register_filesystem(&msdos_fs_type);
"""


@pytest.fixture(scope="module")
def build(tree, image, kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")

    def get(name):
        overlay = apply_diff(tree.source, FIXES / f"{name}.patch")
        return build_fix(tree, overlay, image, folder / f"{name}.o", modules=kernel.modules)

    return get


@pytest.fixture(scope="module")
def fix(build):
    return build("fat")


@pytest.fixture(scope="module")
def several(build):
    return build("several").patch


@pytest.fixture(scope="module")
def machine(guest_factory, kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "fat.img").write_bytes(fat.image())
    for name in ("fat", "vfat", "msdos"):
        (folder / f"{name}.ko").write_bytes(read_module([kernel.modules], name))
    modules = load_order(kernel.modules, ["loop", "vfat", "nls_cp437", "nls_ascii"])
    machine = guest_factory("6.1", modules=modules, files={path.name: path for path in folder.iterdir()})
    machine.run("mkdir -p /mnt; dmesg -c")
    return machine


@pytest.mark.parametrize(
    ("module", "file"), [("fat", "fs/fat/inode.c"), ("sctp", "net/sctp/socket.c"), ("xfs", "fs/xfs/xfs_super.c")]
)
def test_the_source_makes_what_is_in_the_module(tree, kernel, module, file):
    assert tree.module_of(file) == module
    image = link_by_itself(f"{module}.ko", read_module([kernel.modules], module))
    found = compare(UnitObject(compile_unit(tree, file, Flavour.RUNNING)), image)
    assert found.different == {} and found.absent == [] and len(found.addresses) == len(found.unit.functions)
    # each static variable is where the code says, and the file has its name there
    placed = {s.name: found.address_of(s.name) for s in found.unit.objects if found.address_of(s.name)}
    assert len(placed) > 3
    for name, address in placed.items():
        assert address in {s.address for s in image.symbols.find(name)}, (name, where(image, address))


@pytest.mark.parametrize(
    ("what", "function", "said"),
    [
        ("word", "fat_statfs", "at +0x"),
        ("callee", "fat_statfs", "compiled here to fat_count_free_clusters"),
        ("string", "fat_show_options", "its constant"),
    ],
)
def test_a_module_that_another_source_has_made(tree, kernel, what, function, said):
    content = bytearray(read_module([kernel.modules], "fat"))
    alter(content, what)
    unit = UnitObject(compile_unit(tree, "fs/fat/inode.c", Flavour.RUNNING))
    found = compare(unit, link_by_itself("fat.ko", bytes(content)))
    assert list(found.different) == [function] and said in found.different[function]


def test_a_module_that_is_another_one_is_refused(tree, image, kernel, tmp_path):
    (tmp_path / "fat.ko").write_bytes(read_module([kernel.modules], "vfat"))
    overlay = apply_diff(tree.source, FIXES / "fat.patch")
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, overlay, image, tmp_path / "fat.o", modules=tmp_path)
    files = [refusal.file for refusal in caught.value.refusals if refusal.id == "not-running"]
    assert files == ["fs/fat/inode.c", "fs/fat/misc.c"]


def alter(content, what):
    """Change one thing in fat.ko: an instruction of fat_statfs, what it calls, or a string that its file uses."""
    image = Image.of_bytes("fat.ko", bytes(content))
    statfs = image.symbols.one("fat_statfs")
    text = image.section(".text")
    if what == "word":
        place = statfs.address + statfs.size - 4
        content[place : place + 4] = (0x60000000).to_bytes(4, "little")
    elif what == "string":
        place = content.index(b"codepage=%s")
        content[place] ^= 1
    else:
        table = next(section for section in image.sections if section.name == ".rela.text")
        entries = image.records(table, RELOCATION).copy()
        called = next(
            n for n in range(image.symbols.record_count) if image.symbols.symbol(n).name == "fat_count_free_clusters"
        )
        inside = (entries["offset"] + text.address - statfs.address) < statfs.size
        entries["symbol"][inside & (entries["symbol"] == called)] = called + 1
        content[table.offset : table.offset + table.size] = entries.tobytes()


def test_the_patch_names_the_module(fix):
    first, module = fix.patch.parts
    assert {(r.image, r.function) for r in first.replacements} == SUPPORT
    assert {(r.image, r.function) for r in module.replacements} == {
        ("fat.ko", "fat_statfs"),
        ("fat.ko", "fat_time_fat2unix"),
    }
    assert module.name == "fat@fat" and module.room is not None and first.room is None


def test_it_is_applied_and_taken_back(machine, fix):
    assert machine.run(ASK).stdout == PLAIN
    with Session.open(f"guest:{machine.name}") as session:
        applied = apply_parts(session, fix.patch)
        assert [plan.record.name for plan, _ in applied.done] == ["fat", "fat@fat"] and not applied.waiting
        assert machine.run(ASK).stdout == PATCHED
        assert machine.run("dmesg -c").stdout.count(b"as if a fix had been built in: blocks 61c8864680b583eb\n") == 1
        assert {status.condition for status in session.status()} == {Condition.APPLIED}
        session.revert("fat")
        assert session.status() == [] and machine.run(ASK).stdout == PLAIN
        # a string alone would not be in the way
        assert [reason for _, reason in session.gc().kept] == ["it takes the address of asked.18"]


def test_a_part_waits_for_its_module(machine, fix):
    machine.run("umount /mnt; rmmod vfat fat")
    with Session.open(f"guest:{machine.name}") as session:
        applied = apply_parts(session, fix.patch)
        assert [part.name for part in applied.waiting] == ["fat@fat"]
    command = [sys.executable, "-m", "oddtoc", "watch", fix.patch.path, "--target", f"guest:{machine.name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr.readline() == "waiting for the module fat\n"
        machine.run("insmod /fat.ko; insmod /vfat.ko")
        told, complaint = watching.communicate(timeout=60)
        assert "fat is applied" in told and "applied fat@fat" in told, complaint
    assert machine.run(ASK).stdout == PATCHED
    with Session.open(f"guest:{machine.name}") as session:
        session.revert("fat")
    assert machine.run(ASK).stdout == PLAIN


def test_a_part_that_can_not_be_applied_takes_the_others_back(machine, fix):
    """A kprobe is on the word that the module's part wants."""
    tracing = "/sys/kernel/tracing"
    probe = f"echo 'p:held fat:fat_statfs+16' >> {tracing}/kprobe_events; echo 1 > {tracing}/events/kprobes/held/enable"
    assert machine.run(probe).stderr == b""
    with Session.open(f"guest:{machine.name}") as session:
        with pytest.raises(ChangedError, match="fat_statfs"):
            apply_parts(session, fix.patch)
        assert session.status() == []
        machine.run(f"echo 0 > {tracing}/events/kprobes/held/enable; echo > {tracing}/kprobe_events")
        apply_parts(session, fix.patch)
        session.revert("fat")


def test_another_mechanism_carries_it_too(machine, fix):
    with Session.open(f"guest:{machine.name}") as session:
        apply_parts(session, fix.patch, mechanism="guarded/slot")
        assert machine.run(ASK).stdout == PATCHED
        session.revert("fat")
    assert machine.run(ASK).stdout == PLAIN


def test_a_fix_of_the_kernel_and_of_two_modules_is_one_patch(machine, several):
    """One of the modules comes later."""
    names = {part.name: {(r.image, r.function) for r in part.replacements} for part in several.parts}
    assert names == {
        "several": {("vmlinux", "simple_statfs")},
        "several@fat": {("fat.ko", "fat_time_fat2unix")},
        "several@msdos": {("msdos.ko", "msdos_fill_super")},
    }
    assert list(names) == ["several", "several@fat", "several@msdos"]
    ask = f"stat -f -c %l /proc; {MOUNT}; stat -c %y /mnt/FILE | cut -c1-10"
    assert machine.run(ask).stdout == b"255\n2020-01-01\n"
    command = [sys.executable, "-m", "oddtoc", "apply", several.path, "--target", f"guest:{machine.name}"]
    told = json.loads(subprocess.run([*command, "--format", "json"], check=True, capture_output=True).stdout)
    jsonschema.validate(told, schema_of("apply"))
    assert (told["patch"], [part["patch"] for part in told["parts"]]) == ("several", ["several@fat"])
    assert told["waiting"] == ["several@msdos"]
    assert machine.run(ask).stdout == b"47\n2001-09-09\n"
    machine.run("insmod /msdos.ko")
    with Session.open(f"guest:{machine.name}") as session:
        assert [outcome.changed for _, outcome in apply_parts(session, several).done] == [False, False, True]
        machine.run("umount /mnt; mount -t msdos -o loop /fat.img /mnt")
        assert b"as if a fix had been built in: loop0" in machine.run("dmesg -c").stdout
        session.revert("several")
        assert session.status() == []
    assert machine.run(ask).stdout == b"255\n2020-01-01\n"


@pytest.fixture
def units(monkeypatch):
    """To ask kbuild for all of them takes minutes."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: ["fs/seq_file.c"])
    of_exfat = {f"fs/exfat/{name}.c": "exfat" for name in ("dir", "namei", "inode")}
    monkeypatch.setattr(KernelTree, "module_units", lambda _: of_exfat)


@pytest.mark.usefixtures("units")
def test_files_of_a_newer_module_take_of_its_headers_what_they_use(tree, image, kernel, tmp_path):
    """A fix that Debian made: a function with another prototype, and who calls it."""
    newer = apply_diff(tree.source, FIXES / "exfat.patch")
    with pytest.raises(RefusedError) as caught:
        take_newer(tree, newer.root, ["fs/exfat/dir.c"], image)
    refused = {(refusal.id, refusal.file, refusal.subject) for refusal in caught.value.refusals}
    assert refused == {("prototype", "fs/exfat/namei.c", "exfat_find_dir_entry")}
    overlay = take_newer(tree, newer.root, newer.units, image)
    fix = build_fix(tree, overlay, image, tmp_path / "exfat.o", modules=kernel.modules)
    first, module = fix.patch.parts
    assert {(r.image, r.function) for r in first.replacements} == SUPPORT
    assert {(r.image, r.function) for r in module.replacements} == {
        ("exfat.ko", name)
        for name in ("exfat_find_dir_entry", "exfat_count_dir_entries", "exfat_check_dir_empty", "exfat_find")
    }
    assert [(change.name, change.header) for change in fix.taken] == [("exfat_find_dir_entry", "fs/exfat/exfat_fs.h")]


@pytest.mark.usefixtures("units")
def test_a_header_of_a_module_reaches_the_files_of_the_module(tree):
    assert units_reached(tree, ["fs/exfat/exfat_fs.h"]) == ["fs/exfat/dir.c", "fs/exfat/inode.c", "fs/exfat/namei.c"]
    # what all may include: of modules, only those that the fix changes anyway
    assert units_reached(tree, ["include/linux/buffer_head.h"]) == []
    of_module = units_reached(tree, ["include/linux/buffer_head.h"], ["fs/exfat/nls.c"])
    assert of_module == ["fs/exfat/dir.c", "fs/exfat/inode.c", "fs/exfat/namei.c"]


@pytest.mark.usefixtures("units")
def test_what_ran_when_the_module_was_loaded_is_refused(tree, image, kernel, tmp_path):
    diff = tmp_path / "init.patch"
    diff.write_text(INIT)
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, apply_diff(tree.source, diff), image, tmp_path / "init.o", modules=kernel.modules)
    (refusal,) = caught.value.refusals
    assert (refusal.id, refusal.subject, refusal.reason) == (
        "init-code",
        "init_msdos_fs",
        "only ran when the module was loaded",
    )


def test_first_values_of_a_module_are_written_in_place_when_told(machine, tree, image, kernel, tmp_path):
    """A number, and in a table of constants a pointer to a function that only the patch has."""
    overlay = apply_diff(tree.source, FIXES / "told.patch")
    output, told = tmp_path / "told.o", ["days_in_year", "fat_sops"]
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, overlay, image, output, modules=kernel.modules, write_data=told[:1])
    assert {(refusal.id, refusal.subject) for refusal in caught.value.refusals} == {("data-changed", "fat_sops")}
    fix = build_fix(tree, overlay, image, output, modules=kernel.modules, write_data=told)
    before = machine.run(ASK).stdout
    with Session.open(f"guest:{machine.name}") as session:
        applied = apply_parts(session, fix.patch)
        (plan,) = (plan for plan, _ in applied.done if plan.record.name == "told@fat")
        assert {(f.name, change.role) for f in plan.record.functions for change in f.changes} == {
            (name, "data") for name in told
        }
    after = machine.run(ASK).stdout
    with Session.open(f"guest:{machine.name}") as session:
        session.revert("told")
        live = session.target.read_many([(change.address, 4) for change in plan.changes])
    assert (before, after) == (PLAIN, b"4711\n2020-01-02\n")
    assert [int.from_bytes(word, "little") for word in live] == [change.old for change in plan.changes]
    assert machine.run(ASK).stdout == PLAIN
