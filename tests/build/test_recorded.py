"""Patches compiled with a library's own flags, held against what gcc itself makes of them."""

import re
import subprocess

import pytest
from typer.testing import CliRunner

from oddtoc.build.compile import compile_patch, tool
from oddtoc.build.recorded import recorded_flags
from oddtoc.cli import app
from oddtoc.errors import BuildError

FUNCTION = "long thing_rest(long a, long b)\n{\n\treturn a % b;\n}\n"
PATCH = """#include <oddtoc.h>
long other(long a);
long my_rest(long a, long b) { return other(a) + a % b + MORE; }
ODDTOC_REPLACE(libthing.so.1, thing_rest, my_rest);
"""


@pytest.fixture
def library(tmp_path):
    """A library of two files that were compiled otherwise."""

    def get(*flags, source="thing.c"):
        (tmp_path / source).write_text(FUNCTION)
        (tmp_path / "first.c").write_text("int first(void)\n{\n\treturn 1;\n}\n")
        compiler = tool("g++" if source.endswith(".cc") else "gcc")
        subprocess.run([tool("gcc"), "-fPIC", "-g", "-O1", "-c", "first.c"], cwd=tmp_path, check=True)
        subprocess.run([compiler, "-fPIC", "-g", *flags, "-c", source, "-o", "thing.o"], cwd=tmp_path, check=True)
        path = tmp_path / "libthing.so.1"
        subprocess.run([tool("gcc"), "-shared", "-o", path, "first.o", "thing.o"], cwd=tmp_path, check=True)
        return path

    return get


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "fix.c"
    path.write_text(PATCH)
    return path


def code(path):
    return subprocess.run([tool("objdump"), "-dr", path], capture_output=True, text=True, check=True).stdout


def test_the_flags_of_the_right_file_are_found(library):
    path = library("-O3", "-mcpu=power9", "-std=c99", "-fwrapv", "-fpatchable-function-entry=2")
    found = recorded_flags(path, ["no_such", "thing_rest"])
    assert {"-O3", "-mcpu=power9", "-std=c99", "-fwrapv"} <= set(found)
    assert not any("patchable" in flag for flag in found)
    assert "-O1" in recorded_flags(path, ["first"])


def test_a_debug_file_does_as_well(library, tmp_path):
    path = library("-O3")
    debug = tmp_path / "thing.debug"
    subprocess.run([tool("objcopy"), "--only-keep-debug", path, debug], check=True)
    assert recorded_flags(debug, ["thing_rest"]) == recorded_flags(path, ["thing_rest"])


def test_of_a_function_in_another_language_only_what_goes_for_both(library):
    found = recorded_flags(library("-O3", "-std=gnu++20", source="thing.cc"), ["_Z10thing_restll"])
    assert "-O3" in found
    assert not any("-std" in flag for flag in found)


def test_a_patch_is_compiled_with_them(library, source, tmp_path):
    """POWER9 has an instruction for the rest of a division, which the default processor lacks."""
    path = library("-O3", "-mcpu=power9")
    plain = compile_patch(source, tmp_path / "plain.o", flags=["-DMORE=1"])
    same = compile_patch(source, tmp_path / "same.o", flags=["-DMORE=1"], flags_of=path)
    assert "modsd" not in code(plain.path)
    assert "modsd" in code(same.path)
    assert "modsd" in code(path)


def test_what_a_patch_needs_is_stronger(library, source, tmp_path):
    """Code for POWER10 has no TOC pointer, and calls without restoring one."""
    path = library("-O3", "-mcpu=power10", "-fno-pic", "-fpatchable-function-entry=3", "-foptimize-sibling-calls")
    patch = compile_patch(source, tmp_path / "fix.o", flags=["-DMORE=1"], flags_of=path)
    shown = code(patch.path)
    assert "modsd" in shown
    assert not re.search(r"NOTOC|PCREL|\tp(li|ld|addi)\b", shown)
    sections = subprocess.run([tool("readelf"), "-SW", patch.path], capture_output=True, text=True, check=True).stdout
    assert "patchable" not in sections


def test_what_does_not_tell_is_said(library, tmp_path):
    path = library("-O3")
    with pytest.raises(BuildError, match=r"does not tell how no_such was compiled: it is not in there"):
        recorded_flags(path, ["no_such"])
    bare = tmp_path / "bare"
    subprocess.run([tool("strip"), "-o", bare, path], check=True)
    with pytest.raises(BuildError, match="no debug information"):
        recorded_flags(bare, ["thing_rest"])
    with pytest.raises(BuildError, match=r"gone can't be read: No such file"):
        recorded_flags(tmp_path / "gone", ["thing_rest"])
    (tmp_path / "text").write_text("no ELF file\n")
    with pytest.raises(BuildError, match="text can't be read"):
        recorded_flags(tmp_path / "text", ["thing_rest"])


def test_the_command_takes_flags(source, tmp_path):
    output = tmp_path / "fix.o"
    run = CliRunner().invoke(app, ["build", str(source), "-o", str(output), "--flags", "-DMORE='1 + 1' -mcpu=power9"])
    assert run.exit_code == 0, run.output
    assert "modsd" in code(output)
    for words in (["--flags", "'"], ["--flags", "-O3", "--kernel", "6.1"]):
        run = CliRunner().invoke(app, ["build", str(source), "-o", str(output), *words])
        assert run.exit_code
