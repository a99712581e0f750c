"""Patches of modules that are written by hand with the types of one kernel."""

import subprocess
import sys
from pathlib import Path

import pytest

import fat
import kernellog
from oddtoc.build.byhand import compile_with_headers, compile_with_types
from oddtoc.build.refusal import RefusedError
from oddtoc.errors import MismatchError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.live.parts import apply_parts
from oddtoc.live.session import Session
from oddtoc.target.modules import load_order, read_module

HERE = Path(__file__).parent / "byhand"
MOUNT = "umount /mnt 2>/dev/null; mkdir -p /mnt; mount -t vfat -o loop /fat.img /mnt"
BLOCKS = "stat -f -c %b /mnt"
SAID = "dmesg | grep -o 'by hand: .*' || true"


@pytest.fixture(scope="module")
def machine_of(guest_factory, kernels, tmp_path_factory):
    folder, machines = tmp_path_factory.mktemp("files"), {}
    (folder / "fat.img").write_bytes(fat.image())

    def get(series):
        if series not in machines:
            for name in ("fat", "vfat"):
                (folder / f"{name}.ko").write_bytes(read_module([kernels[series].modules], name))
            modules = load_order(kernels[series].modules, ["loop", "vfat", "nls_cp437", "nls_ascii"])
            files = {path.name: path for path in folder.iterdir()}
            machines[series] = guest_factory(series, modules=modules, files=files)
        machines[series].run(f"{MOUNT}; dmesg -c")
        return machines[series]

    return get


@pytest.fixture(scope="module")
def with_headers(tree, image, kernel, tmp_path_factory):
    output = tmp_path_factory.mktemp("byhand") / "module.o"
    return compile_with_headers(tree, image, HERE / "module.c", output, modules=kernel.modules)


def test_a_patch_with_headers_has_a_part_for_the_kernel(with_headers):
    """There the tables are looked up that WARN and get_user need."""
    first, module = with_headers.parts
    assert {r.function for r in first.replacements} == {"find_bug", "search_module_extables"}
    assert {(r.image, r.function) for r in module.replacements} == {
        ("fat.ko", "fat_statfs"),
        ("fat.ko", "fat_show_options"),
    }
    assert module.hooks == () and module.room is not None


@pytest.mark.parametrize("mechanism", ["auto", "guarded/slot"])
def test_members_macros_and_functions_of_the_module(machine_of, with_headers, mechanism):
    machine = machine_of("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        assert [found for found in session.check(with_headers) if found.severity.value == "error"] == []
        applied = apply_parts(session, with_headers, mechanism=mechanism, timeout=30)
        assert [plan.record.name for plan, _ in applied.done] == ["module", "module@fat"]
        assert machine.run(f"{BLOCKS}; {BLOCKS}").stdout == b"4701\n4702\n"
        assert b",by-hand 0 0" in machine.run("grep /mnt /proc/mounts").stdout
        line = b"by hand: stat of fat, 12 bits, 63 clusters, fault -14, counted 0"
        assert machine.run(SAID).stdout.splitlines() == [b"by hand: before, fat is live", line, line]
        log = machine.run("dmesg").stdout
        assert log.count(b"asked for the first time") == 1 and b"module.c:" in log and b"Oops" not in log
        session.revert("module", timeout=30)
        assert machine.run(BLOCKS).stdout == b"61\n"
    machine.run("dmesg -c")


def test_a_patch_with_the_kernels_types(machine_of, kernels, tmp_path):
    machine = machine_of("7.2")
    image = Image.open(kernels["7.2"].vmlinux)
    patch = compile_with_types(image, HERE / "module_types.c", tmp_path / "types.o", modules=kernels["7.2"].modules)
    with Session.open(f"guest:{machine.name}") as session:
        apply_parts(session, patch)
        assert machine.run(BLOCKS).stdout == b"4701\n"
        assert machine.run(SAID).stdout == b"by hand: counted 0, vfat\n"
        session.revert("types")
    assert machine.run(BLOCKS).stdout == b"61\n"
    assert machine.run(kernellog.COMPLAINTS).stdout == b""


def test_it_is_for_the_modules_of_one_kernel(machine_of, with_headers):
    with Session.open(f"guest:{machine_of('7.2').name}") as session, pytest.raises(MismatchError, match="made for"):
        session.plan(with_headers)


def test_the_command_builds_it(machine_of, tmp_path):
    machine, target = machine_of("6.1"), tmp_path / "fix.o"

    def oddtoc(*arguments):
        command = [sys.executable, "-m", "oddtoc", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    built = oddtoc("build", HERE / "module.c", "--kernel", "6.1", "-o", target)
    assert "fat.ko: fat_statfs -> my_statfs" in built
    oddtoc("apply", target, "--target", f"guest:{machine.name}", "--timeout", "30")
    assert machine.run(BLOCKS).stdout == b"4701\n"
    oddtoc("revert", "fix", "--target", f"guest:{machine.name}", "--timeout", "30")
    assert machine.run(BLOCKS).stdout == b"61\n"
    machine.run("dmesg -c")


def test_a_source_that_is_not_the_modules_is_refused(tree, image, kernel, tmp_path):
    """The file of another module has the name, and not the code."""
    (tmp_path / "fat.ko").write_bytes(read_module([kernel.modules], "vfat"))
    with pytest.raises(RefusedError) as caught:
        compile_with_headers(tree, image, HERE / "module.c", tmp_path / "fix.o", modules=tmp_path)
    assert {(r.id, r.subject) for r in caught.value.refusals} == {
        ("fidelity", "fat_statfs"),
        ("fidelity", "fat_show_options"),
    }


def test_a_function_that_the_module_does_not_have(machine_of, tree, image, kernel, tmp_path):
    source = tmp_path / "fix.c"
    source.write_text((HERE / "module.c").read_text().replace("fat.ko, fat_statfs, my", "fat.ko, no_such, my"))
    source.write_text(source.read_text().replace("ODDTOC_ORIGINAL(fat_statfs)", "ODDTOC_ORIGINAL(no_such)"))
    patch = compile_with_headers(tree, image, source, tmp_path / "fix.o", modules=kernel.modules)
    with Session.open(f"guest:{machine_of('6.1').name}") as session:
        session.prepare(patch.parts[1])
        with pytest.raises(SymbolError, match="no_such"):
            apply_parts(session, patch)
        assert session.status() == []
