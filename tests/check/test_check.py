"""Findings about patch objects, on real kernels' images."""

import json
import subprocess
import sys

import pytest

from oddtoc.build.compile import compile_patch
from oddtoc.check.files import check_files
from oddtoc.check.finding import RULES, Severity
from oddtoc.check.patch import FileChecked, check_patch
from oddtoc.image.elf import Image

HEAD = "#include <oddtoc.h>\nstatic int mine(void) { return 0; }\n"


@pytest.fixture(scope="module")
def image(kernels):
    return Image.open(kernels["6.1"].vmlinux)


@pytest.fixture
def findings(image, tmp_path):
    def get(text, **options):
        source = tmp_path / "patch.c"
        source.write_text(text)
        return check_patch(compile_patch(source, tmp_path / "patch.o", **options), FileChecked(image))

    return get


def ids(found, severity):
    return [(finding.id, finding.place) for finding in found if finding.severity is severity]


def test_a_plain_patch_has_nothing_against_it(findings):
    assert findings(HEAD + "ODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);\n") == []


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        ("memcpy", "no-site"),
        ("proc_cmdline_init", "init-code"),
        ("cmdline_proc_shaw", "unknown-function"),
        ("s_show", "unknown-function"),
    ],
)
def test_functions_that_can_not_be_replaced(findings, function, rule):
    found = findings(HEAD + f"ODDTOC_REPLACE(vmlinux, {function}, mine);\n")
    assert ids(found, Severity.ERROR) == [(rule, function)]


@pytest.mark.parametrize("function", ["schedule", "worker_thread", "start_secondary", "panic"])
def test_functions_that_nobody_ever_leaves(findings, function):
    found = findings(HEAD + f"ODDTOC_REPLACE(vmlinux, {function}, mine);\n")
    assert ("never-leaves", function) in ids(found, Severity.WARNING)


def test_functions_that_threads_begin_in(findings):
    found = findings(HEAD + "ODDTOC_REPLACE(vmlinux, kthreadd, mine);\n")
    assert ("thread-start", "kthreadd") in ids(found, Severity.NOTE)


def test_names_that_the_kernel_lacks(findings):
    text = "#include <oddtoc.h>\nvoid no_such(void);\nstatic int mine(void) { no_such(); return 0; }\n"
    found = findings(text + "ODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);\n")
    assert ids(found, Severity.ERROR) == [("unknown-symbol", "no_such")]


def test_sibling_calls_of_all_kinds(findings):
    """gcc makes none of functions elsewhere for this ABI; assembly may have some, and so may static functions."""
    text = """
#include <oddtoc.h>
static void mine(int which)
{
	if (which)
		asm volatile("beq seq_puts");
	else
		asm volatile("b seq_printf; bctr");
}
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);
"""
    reasons = [f.reason for f in findings(text) if f.id == "sibling-call"]
    for part in ("through a pointer", "goes to seq_puts", "goes to seq_printf"):
        assert sum(part in reason for reason in reasons) == 1


def test_traps_that_the_kernel_would_not_find(findings):
    text = """
#include <oddtoc.h>
static int mine(void)
{
	asm volatile("1: twi 31,0,0; .section __bug_table,\\"aw\\"; .long 1b-.; .long 0, 0; .previous");
	return 0;
}
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);
"""
    assert ids(findings(text), Severity.ERROR) == [("tables-not-found", "__bug_table")]


def test_data_and_pointers(findings):
    text = """
#include <oddtoc.h>
static int count;
void add_timer(void *timer);
static int mine(void) { add_timer(&count); return ++count; }
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);
"""
    assert {f.id for f in findings(text)} == {"new-data", "pinned"}


def test_the_command_in_all_its_forms(kernels, tmp_path):
    source = tmp_path / "patch.c"
    source.write_text(HEAD + "ODDTOC_REPLACE(vmlinux, memcpy, mine);\n")
    compile_patch(source, tmp_path / "patch.o")

    def check(*arguments, **options):
        command = [sys.executable, "-m", "oddtoc", "check", tmp_path / "patch.o", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    image = ["--image", kernels["6.1"].vmlinux]
    done = check(*image)
    assert done.returncode == 4 and done.stdout.endswith("1 errors, 0 warnings, 0 notes\n")
    assert json.loads(check(*image, "--format", "json").stdout)["findings"][0]["id"] == "no-site"
    run = json.loads(check(*image, "--format", "sarif").stdout)["runs"][0]
    assert run["results"][0]["level"] == "error"
    assert run["tool"]["driver"]["rules"][run["results"][0]["ruleIndex"]]["id"] == "no-site"
    assert check().returncode == 2


def test_rules_say_what_they_are_about():
    assert all(text.endswith(".") for text in RULES.values())


@pytest.fixture
def module_findings(kernels, image, tmp_path):
    """What there is to say about a patch of fat.ko, from its file, with the kernel's or without."""
    module = next(kernels["6.1"].modules.rglob("fat.ko*"))

    def get(text, *, kernel=True):
        source = tmp_path / "patch.c"
        source.write_text(HEAD + text)
        patch = compile_patch(source, tmp_path / "patch.o")
        return check_files(patch, [module, image.path] if kernel else [module])

    return get


@pytest.mark.parametrize(
    ("function", "errors"),
    [
        ("fat_statfs", []),
        ("init_fat_fs", [("init-code", "init_fat_fs")]),
        ("no_such_function", [("unknown-function", "no_such_function")]),
    ],
)
def test_a_module_is_checked_by_its_file(module_findings, function, errors):
    for kernel in (True, False):
        found = module_findings(f"ODDTOC_REPLACE(fat.ko, {function}, mine);\n", kernel=kernel)
        assert ids(found, Severity.ERROR) == errors


def test_names_that_a_module_takes_from_the_kernel_are_judged_where_that_is_given(module_findings):
    code = (
        "int {0}(void);\nstatic int other(void) {{ return {0}() + 1; }}\nODDTOC_REPLACE(fat.ko, fat_statfs, other);\n"
    )
    assert ids(module_findings(code.format("schedule")), Severity.ERROR) == []
    assert ids(module_findings(code.format("fat_sync_inode")), Severity.ERROR) == []
    assert ids(module_findings(code.format("no_such")), Severity.ERROR) == [("unknown-symbol", "no_such")]
    assert ids(module_findings(code.format("no_such"), kernel=False), Severity.ERROR) == []


def test_an_image_that_a_patch_does_not_change_is_not_taken_for_another(module_findings):
    found = module_findings("ODDTOC_REPLACE(exfat.ko, exfat_statfs, mine);\n")
    assert [(f.id, f.place, f.reason) for f in found] == [
        ("unknown-function", "exfat_statfs", "is in exfat.ko, which is not among the images")
    ]
