"""Guests with a module that calls the kernel and a program that runs BPF, and patch objects for them."""

import subprocess
from pathlib import Path

import pytest

from oddtoc.build.compile import compile_patch, tool
from oddtoc.target.modules import load_order

_HERE = Path(__file__).parent
_SAMPLES = _HERE.parent.parent / "src/oddtoc/samples"


@pytest.fixture(scope="session")
def bpf_caller(tmp_path_factory):
    """A program for guests: it runs a BPF program that calls a helper."""
    program = tmp_path_factory.mktemp("programs") / "bpf_caller"
    source = _HERE / "programs/bpf_caller.c"
    subprocess.run([tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return program


@pytest.fixture(scope="session")
def guest(guest_factory, kernels, bpf_caller):
    """The guest of a series that the tests of this folder share: with loop, which calls the kernel, and bpf_caller."""
    guests = {}

    def get(series):
        if series not in guests:
            modules = load_order(kernels[series].modules, ["loop"])
            guests[series] = guest_factory(series, modules=modules, files={"bin/bpf_caller": bpf_caller})
        return guests[series]

    return get


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
