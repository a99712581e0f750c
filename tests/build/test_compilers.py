"""Kernels that a newer compiler has built than this machine's: theirs is had, and makes the code that runs."""

import difflib
import subprocess

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.layouts import layouts_of
from oddtoc.build.overlay import apply_diff
from oddtoc.build.request import kernel_compiler, kernel_tree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.debian import compilers
from oddtoc.debian.compilers import built_by, fetch_compiler
from oddtoc.debian.sources import fetch_source
from oddtoc.errors import FetchError
from oddtoc.image.elf import Image
from oddtoc.link.fidelity import compare
from oddtoc.link.unitobject import UnitObject
from oddtoc.live.session import Session

FILE = "fs/proc/version.c"
OLD = "\tseq_printf(m, linux_proc_banner,"
NEW = '\tif (WARN_ON(m->count))\n\t\treturn -EIO;\n\tseq_puts(m, "patched: ");\n\tWARN(1, "as it should");\n'
FILES = {FILE: 2, "fs/seq_file.c": 48, "fs/read_write.c": 50}


@pytest.fixture(scope="module", params=["6.12", "7.2"])
def newer(request):
    """A series that gcc 12 has not built."""
    return request.param


@pytest.fixture(scope="module")
def own_tree(kernels, newer):
    kernel = kernels[newer]
    return kernel_tree(kernel, fetch_source(newer, kernel.version), print)


def test_every_function_of_whole_files_is_the_one_that_runs(kernels, newer, own_tree):
    image = Image.open(kernels[newer].vmlinux)
    for file, count in FILES.items():
        found = compare(UnitObject(compile_unit(own_tree, file, Flavour.RUNNING)), image)
        assert found.different == {} and found.absent == [] and len(found.addresses) >= count, file


def test_the_compiler_says_what_the_kernel_was_built_by(kernels, newer, own_tree):
    wanted = built_by(kernels[newer].config)
    said = subprocess.run([f"{own_tree.compiler}gcc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == wanted.version != "12.2.0"
    assert f"gcc-{wanted.version.split('.')[0]} " in wanted.text


def test_what_is_compared_has_its_types_once(tree, own_tree):
    """The kernel's own options ask for DWARF beside BTF, which takes time in every compilation."""
    for one in (tree, own_tree):
        assert "-g" in one.commands([FILE])[FILE]
        unit = Image.open(compile_unit(one, FILE, Flavour.COMPARED))
        assert unit.section(".debug_info") is None
        assert layouts_of(unit.path)["file"].members["f_op"][1] == 64


def test_options_that_depend_on_type_information_are_those_of_the_kernel(kernels, newer, own_tree):
    """SCHED_CLASS_EXT and others are there only when kbuild finds pahole; they lay out task_struct."""

    def options(text):
        return {line for line in text.splitlines() if line.startswith("CONFIG_") and line.endswith(("=y", "=m"))}

    wanted, made = options(kernels[newer].config.read_text()), options((own_tree.build / ".config").read_text())
    about_tools = ("CONFIG_CC_CAN_LINK", "CONFIG_OPENSSL_", "CONFIG_MODULE_SIG_ALL")
    assert [option for option in wanted ^ made if not option.startswith(about_tools)] == []


def test_a_diff_becomes_a_patch_of_the_running_kernel(guest, kernels, newer, own_tree, tmp_path):
    before = (own_tree.source / FILE).read_text()
    after = before.replace(OLD, NEW + OLD)
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{FILE}", f"b/{FILE}")
    diff = tmp_path / "version.patch"
    diff.write_text("".join(lines))
    overlay = apply_diff(own_tree.source, diff)
    built = build_fix(own_tree, overlay, Image.open(kernels[newer].vmlinux), tmp_path / "version.o")
    assert built.units[0].comparison.changed == ["version_proc_show"]
    machine = guest(newer)
    plain = machine.run("cat /proc/version; dmesg -c > /dev/null").stdout
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(built.patch))
    try:
        assert machine.run("cat /proc/version").stdout == b"patched: " + plain
        log = machine.run("dmesg -c").stdout.decode()
        assert log.count("as it should") == 1 and log.count(f"{FILE}:") == 1 and "Oops" not in log
    finally:
        with Session.open(f"guest:{machine.name}") as session:
            session.revert("version")
    assert machine.run("cat /proc/version").stdout == plain


def test_a_compiler_that_the_suite_lacks_is_said(kernels):
    lacking = compilers.BuiltBy("gcc-13 (Debian 13.9.9-1) 13.9.9", "13.9.9")
    with pytest.raises(FetchError, match=r"trixie has no gcc-13-powerpc64le-linux-gnu 13\.9\.9"):
        fetch_compiler(kernels["6.12"], lacking, print)


def test_what_can_not_be_had_is_said_before_anything_else(kernels, monkeypatch):
    def fail(*_):
        raise FetchError("there is no network")

    said = []
    monkeypatch.setattr("oddtoc.build.request.fetch_compiler", fail)
    assert kernel_compiler(kernels["6.12"], said.append) == ""
    assert "gcc-14 (Debian 14.2.0-19)" in said[0] and "much of it will not be the code that runs" in said[0]
    assert said[1].endswith("there is no network")
    assert kernel_compiler(kernels["6.1"], said.append) == "" and len(said) == 2
