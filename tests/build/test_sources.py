"""The running kernel's source: had from the mirror, prepared, compiled with the kernel's own flags."""

import pytest

from oddtoc.build.slots import used_files
from oddtoc.build.tree import prepare_tree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.debian.sources import fetch_source, source_folder
from oddtoc.errors import BuildError, FetchError, UsageError


def test_the_source_is_that_of_the_kernel_to_the_last_number(kernel, tree):
    lines = dict(line.split(" = ") for line in (tree.source / "Makefile").read_text().splitlines()[1:4])
    release = ".".join(lines[part] for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    assert kernel.version.startswith(f"{release}-")
    assert tree.source == source_folder("6.1", kernel.version)


def test_what_was_had_before_is_not_fetched_again(kernel, tree, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert fetch_source("6.1", kernel.version) == tree.source


def test_a_version_that_the_mirror_lacks_is_named_with_those_it_has(kernel):
    with pytest.raises(FetchError, match=r"no linux-source-6.1 6\.1\.1-1") as error:
        fetch_source("6.1", "6.1.1-1")
    assert kernel.version in error.value.advice


def test_an_unknown_series_is_misuse():
    with pytest.raises(UsageError):
        fetch_source("5.0", "5.0-1")


def test_a_folder_without_a_kernel_is_refused(tmp_path, kernel):
    with pytest.raises(BuildError, match="no Linux source tree"):
        prepare_tree(tmp_path, kernel.config)


def test_files_have_the_flags_of_their_folders(tree):
    commands = tree.commands(["kernel/fork.c", "lib/string.c", "fs/proc/cmdline.c"])
    # lib/Makefile: CFLAGS_REMOVE_string.o = $(CC_FLAGS_FTRACE), CFLAGS_string.o := -ffreestanding
    assert {file: "-mprofile-kernel" in words for file, words in commands.items()} == {
        "kernel/fork.c": True,
        "lib/string.c": False,
        "fs/proc/cmdline.c": True,
    }
    assert "-ffreestanding" in commands["lib/string.c"] and "-ffreestanding" not in commands["kernel/fork.c"]
    assert '-DKBUILD_MODNAME="proc"' in commands["fs/proc/cmdline.c"]


@pytest.mark.parametrize("file", ["kernel/no-such.c", "kernel/Makefile", "include/linux/sched.h"])
def test_only_c_files_of_the_tree_can_be_compiled(tree, file):
    with pytest.raises(BuildError, match="is no C file"):
        tree.commands([file])


def test_an_object_is_compiled_once_for_each_purpose(tree, monkeypatch):
    first = {flavour: compile_unit(tree, "fs/proc/cmdline.c", flavour) for flavour in Flavour}
    assert len(set(first.values())) == len(Flavour)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("oddtoc.build.unit._compile", None)
    assert {flavour: compile_unit(tree, "fs/proc/cmdline.c", flavour) for flavour in Flavour} == first
    used = used_files(first[Flavour.SHIPPED])
    assert tree.source / "fs/proc/cmdline.c" in used and tree.source / "include/linux/seq_file.h" in used
