"""Guests with modules, a FAT file system and a program that runs BPF, and patch objects for them."""

import subprocess
from pathlib import Path

import pytest

import fat
import kernellog
from oddtoc.build.compile import compile_patch, tool
from oddtoc.live import session as sessions
from oddtoc.live.commit import carry_out
from oddtoc.target.modules import load_order, read_module

_HERE = Path(__file__).parent
_SAMPLES = _HERE.parent.parent / "src/oddtoc/samples"


@pytest.fixture(scope="session")
def bpf_caller(tmp_path_factory):
    """A program for guests: it runs a BPF program that calls a helper."""
    return _compile("bpf_caller", tmp_path_factory)


@pytest.fixture(scope="session")
def getpid_caller(tmp_path_factory):
    """A program for guests: it calls getpid as fast as it can."""
    return _compile("getpid_caller", tmp_path_factory)


def _compile(name, tmp_path_factory):
    program = tmp_path_factory.mktemp("programs") / name
    source = _HERE / f"programs/{name}.c"
    subprocess.run([tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return program


@pytest.fixture(scope="session")
def guest(shared_guest_factory, kernels, programs, tmp_path_factory):
    """The guest of a series that the tests of this folder share: with modules that call the kernel, and programs."""
    return _guests(shared_guest_factory, kernels, programs, tmp_path_factory)


@pytest.fixture(scope="module")
def own_guest(guest_factory, kernels, programs, tmp_path_factory):
    """The same for one file, whose patches leave memory behind that can't be given back."""
    return _guests(guest_factory, kernels, programs, tmp_path_factory)


@pytest.fixture
def machine(guest, series):
    """The guest of a series, whose kernel has nothing to complain of while a test runs."""
    machine = guest(series)
    machine.run("dmesg -c")
    yield machine
    complaints = machine.run(kernellog.COMPLAINTS)
    assert complaints.stdout == b""


@pytest.fixture
def bare_commits(monkeypatch):
    """Commits look at vCPUs and not at stacks: how many round trips that takes depends on what the tasks do."""
    monkeypatch.setattr(sessions, "carry_out", lambda *a, **o: carry_out(*a, **{**o, "watch": None}))


@pytest.fixture(scope="session")
def programs(bpf_caller, getpid_caller):
    """Programs for guests, by path."""
    return {"bin/bpf_caller": bpf_caller, "bin/getpid_caller": getpid_caller}


def _guests(factory, kernels, programs, tmp_path_factory):
    guests = {}

    def get(series):
        if series not in guests:
            modules = load_order(kernels[series].modules, ["loop", "vfat", "nls_cp437", "nls_ascii"])
            files = _module_files(kernels[series], tmp_path_factory.mktemp("modules"))
            guests[series] = factory(series, modules=modules, files={**programs, **files})
        return guests[series]

    return get


def _module_files(kernel, folder):
    """Modules that a test may load again, and a file system for them."""
    (folder / "fat.img").write_bytes(fat.image())
    for name in ("fat", "vfat", "dummy"):
        (folder / f"{name}.ko").write_bytes(read_module([kernel.modules], name))
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """Builds a patch object from a source, once."""
    folder = tmp_path_factory.mktemp("objects")
    built = {}

    def get(source, **options):
        key = source, tuple(sorted(options.items()))
        if key not in built:
            path = _SAMPLES / source if (_SAMPLES / source).exists() else _HERE / "patches" / source
            built[key] = compile_patch(path, folder / f"{path.stem}.o", **options)
        return built[key]

    return get


_SHOWING = """
static int my_{function}(struct seq_file *file, void *data)
{{
	seq_printf(file, "%s\\n", "{text}");
	return 0;
}}
ODDTOC_REPLACE(vmlinux, {function}, my_{function});
"""


@pytest.fixture(scope="session")
def saying(tmp_path_factory):
    """Builds a patch of that name: `saying("two", cmdline="a", version="b")` changes what these files in /proc show."""
    folder = tmp_path_factory.mktemp("saying")
    built = {}

    def get(name, **texts):
        key = name, tuple(sorted(texts.items()))
        if key not in built:
            source = folder / f"{name}-{len(built)}.c"
            shows = [_SHOWING.format(function=f"{file}_proc_show", text=text) for file, text in texts.items()]
            declarations = "struct seq_file;\nvoid seq_printf(struct seq_file *file, const char *format, ...);\n"
            source.write_text("#include <oddtoc.h>\n" + declarations + "".join(shows))
            built[key] = compile_patch(source, source.with_suffix(".o"), name=name)
        return built[key]

    return get
