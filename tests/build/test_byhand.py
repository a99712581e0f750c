"""Patches written by hand with the types of one kernel: of its headers, or of its type information."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import kernellog
from oddtoc.build.byhand import compile_with_headers, compile_with_types
from oddtoc.build.refusal import RefusedError
from oddtoc.errors import BuildError, ImageError, MismatchError
from oddtoc.image.elf import Image
from oddtoc.live.session import Session
from oddtoc.report.schemas import schema_of

HERE = Path(__file__).parent / "byhand"
SHOW = "sh -c 'echo $$; exec cat /proc/cmdline'"


@pytest.fixture(scope="module")
def newest(kernels):
    return Image.open(kernels["7.2"].vmlinux)


@pytest.fixture(scope="module")
def with_headers(tree, image, tmp_path_factory):
    output = tmp_path_factory.mktemp("byhand") / "headers.o"
    return compile_with_headers(tree, image, HERE / "headers.c", output)


@pytest.fixture(scope="module")
def with_types(newest, tmp_path_factory):
    return compile_with_types(newest, HERE / "types.c", tmp_path_factory.mktemp("byhand") / "types.o")


def shown(machine):
    """What the patched function shows of the process that reads it, and the process's number as a shell has it."""
    pid, line, *_ = machine.run(SHOW).stdout.decode().splitlines()
    return int(pid), dict(re.findall(r"(\w+)=(-?\w+)", line))


def test_members_macros_and_inline_functions_of_the_headers(guest, with_headers):
    """Also a warning, a fault in user space and a static key, which need the kernel's tables."""
    machine = guest("6.1")
    before = machine.run("cat /proc/cmdline").stdout
    machine.run("dmesg -c")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(with_headers))
    try:
        pid, first = shown(machine)
        assert first == {"comm": "cat", "pid": str(pid), "nice": "0", "threads": "1", "thread": "0", "shown": "1",
                         "fault": "-14", "keyed": "0", "name": "7"}  # fmt: skip
        machine.run("echo 1 > /proc/sys/kernel/sched_schedstats")
        assert shown(machine)[1]["keyed"] == "1"
        machine.run("echo 0 > /proc/sys/kernel/sched_schedstats")
        log = machine.run("dmesg").stdout.decode()
        assert log.count("shown for the first time") == 1 and log.count("headers.c:") == 1 and "Oops" not in log
    finally:
        with Session.open(f"guest:{machine.name}") as session:
            session.revert("headers")
        machine.run("dmesg -c")
    assert machine.run("cat /proc/cmdline").stdout == before


def test_members_as_the_kernel_itself_has_them(guest, with_types):
    machine = guest("7.2")
    machine.run("dmesg -c")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(with_types))
    try:
        pid, found = shown(machine)
        assert found == {"comm": "cat", "pid": str(pid), "nice": "0", "threads": "1"}
    finally:
        with Session.open(f"guest:{machine.name}") as session:
            session.revert("types")
    assert machine.run(kernellog.COMPLAINTS).stdout == b""


def test_such_a_patch_is_for_one_kernel(guest, with_types, with_headers, newest, image):
    assert (with_types.kernel, with_headers.kernel) == (newest.build_id, image.build_id)
    with (
        Session.open(f"guest:{guest('6.1').name}") as session,
        pytest.raises(MismatchError, match="made for the kernel"),
    ):
        session.plan(with_types)


def test_types_of_another_kernel_are_refused(kernels, newest, tmp_path):
    """A vmlinux.h beside the source is taken, and held against the kernel."""
    source = tmp_path / "types.c"
    source.write_text((HERE / "types.c").read_text())
    command = [sys.executable, "-m", "oddtoc", "types", "6.12", "-o", str(tmp_path / "vmlinux.h")]
    subprocess.run(command, check=True)
    with pytest.raises(RefusedError) as caught:
        compile_with_types(newest, source, tmp_path / "types.o")
    assert {r.id for r in caught.value.refusals} == {"types"}
    assert "task_struct" in {r.subject for r in caught.value.refusals} and not (tmp_path / "types.o").exists()
    compile_with_types(Image.open(kernels["6.12"].vmlinux), source, tmp_path / "types.o")


def test_headers_of_another_source_are_refused(tree, image, tmp_path):
    """What runs tells it: another source makes another function."""
    changed = tmp_path / "fix.c"
    changed.write_text(
        "#include <linux/seq_file.h>\n#include <oddtoc.h>\n"
        "static ssize_t mine(struct seq_file *m, char *buf, size_t size, loff_t *place) { return 0; }\n"
        "ODDTOC_REPLACE(vmlinux, seq_read, mine);\n"
    )
    compile_with_headers(tree, image, changed, tmp_path / "fix.o")
    real = Image.words
    address = image.symbols.one("seq_read").address
    with pytest.MonkeyPatch.context() as patcher:
        patcher.setattr(Image, "words", lambda self, a, n: real(self, a, n) ^ (a == address))
        with pytest.raises(RefusedError) as caught:
            compile_with_headers(tree, image, changed, tmp_path / "other.o")
    assert [(r.id, r.file, r.subject) for r in caught.value.refusals] == [("fidelity", "fs/seq_file.c", "seq_read")]


def test_a_new_per_cpu_variable_is_refused(tree, image, tmp_path):
    source = tmp_path / "fix.c"
    source.write_text(
        "#include <linux/percpu.h>\n#include <linux/seq_file.h>\n#include <oddtoc.h>\n"
        "static DEFINE_PER_CPU(int, mine);\n"
        "static int show(struct seq_file *m, void *v) { this_cpu_inc(mine); return 0; }\n"
        "ODDTOC_REPLACE(vmlinux, cmdline_proc_show, show);\n"
    )
    with pytest.raises(RefusedError, match="per-CPU variable mine"):
        compile_with_headers(tree, image, source, tmp_path / "fix.o")


def test_a_kernel_without_type_information_has_no_types(image, tmp_path):
    with pytest.raises(ImageError, match="no type information"):
        compile_with_types(image, HERE / "types.c", tmp_path / "types.o")


def test_the_command_says_what_it_built_and_what_it_refused(tmp_path):
    def oddtoc(*arguments):
        command = [sys.executable, "-m", "oddtoc", "build", *map(str, arguments), "--format", "json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = oddtoc(HERE / "headers.c", "--kernel", "6.1", "-o", tmp_path / "headers.o")
    answer = json.loads(done.stdout)
    jsonschema.validate(answer, schema_of("build"))
    assert "cmdline_proc_show" in [r["function"] for r in answer["replacements"]]
    done = oddtoc(HERE / "types.c", "-o", tmp_path / "types.o")
    assert done.returncode == 1 and "--kernel" in json.loads(done.stdout)["error"]["advice"]


def test_what_does_not_compile_is_said_with_the_compilers_words(tree, image, tmp_path):
    source = tmp_path / "fix.c"
    source.write_text((HERE / "headers.c").read_text().replace("leader->comm", "leader->no_such_member"))
    with pytest.raises(BuildError, match="does not compile") as caught:
        compile_with_headers(tree, image, source, tmp_path / "fix.o")
    assert "no_such_member" in caught.value.output
