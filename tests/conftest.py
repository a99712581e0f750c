"""Real kernels and guests, shared by all tests of a run."""

import os
import signal
import subprocess
from itertools import count
from pathlib import Path

import pytest

from oddtoc.build.compile import tool
from oddtoc.debian import SERIES, fetch_kernel
from oddtoc.target.guest import boot
from oddtoc.target.modules import load_order

BOOT_SECONDS = 300
"""A limit for machines that are busy with other things; a guest that is lost says so much earlier."""


def pytest_configure():
    """A run that is terminated stops its guests, as one that is interrupted does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def kernels():
    """Series -> DebianKernel, for all series; fetched when missing."""
    return {series: fetch_kernel(series) for series in SERIES}


@pytest.fixture(scope="session", params=SERIES)
def series(request):
    """Each series in turn."""
    return request.param


@pytest.fixture(scope="session")
def vmlinux(kernels, series):
    """The image of each kernel in turn."""
    return kernels[series].vmlinux


@pytest.fixture(scope="session")
def guest_factory(kernels):
    """Boots a guest of its own: `guest_factory("6.1", smp=1)`. What still runs at the end is stopped."""
    numbers = count(1)
    guests = []

    def start(series, **options):
        kernel = kernels[series]
        name = f"test-{series}-{os.getpid()}-{next(numbers)}"
        options = {"timeout": BOOT_SECONDS, "kernel_label": kernel.release, **options}
        guests.append(boot(kernel.vmlinux, kernel.busybox, name=name, **options))
        return guests[-1]

    yield start
    for guest in guests:
        guest.stop()


@pytest.fixture(scope="session")
def bpf_caller(tmp_path_factory):
    """A program for guests: it runs a BPF program that calls a helper."""
    program = tmp_path_factory.mktemp("programs") / "bpf_caller"
    source = Path(__file__).parent / "live/programs/bpf_caller.c"
    subprocess.run([tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return program


@pytest.fixture(scope="session")
def guest(guest_factory, kernels, bpf_caller):
    """The guest of a series that all tests share: `guest("6.1")`. It boots when the first test asks for it.

    It has loaded a module that calls the kernel (loop), and has the program bpf_caller.
    """
    guests = {}

    def get(series):
        if series not in guests:
            modules = load_order(kernels[series].modules, ["loop"])
            guests[series] = guest_factory(series, modules=modules, files={"bin/bpf_caller": bpf_caller})
        return guests[series]

    return get
