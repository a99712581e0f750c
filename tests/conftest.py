"""Real kernels and guests, shared by all tests of a run."""

import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from oddtoc.debian import SERIES, fetch_kernel
from oddtoc.target.guest import boot

BOOT_SECONDS = 300
"""A limit for machines that are busy with other things; a guest that is lost says so much earlier."""

_NUMBERS = count(1)
"""For the names of guests."""


def pytest_configure():
    """A run that is terminated stops its guests, as one that is interrupted does.

    In the background of a shell SIGINT is ignored, which children would inherit that tests interrupt.
    """
    # neither the log nor the policy of whoever runs the tests has a part in them
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        os.environ[variable] = tempfile.mkdtemp(prefix="oddtoc-tests-")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


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


@contextmanager
def _factory(kernels):
    guests = []

    def start(series, **options):
        kernel = kernels[series]
        name = f"test-{series}-{os.getpid()}-{next(_NUMBERS)}"
        options = {"timeout": BOOT_SECONDS, "kernel_label": kernel.release, **options}
        guests.append(boot(kernel.vmlinux, kernel.busybox, name=name, **options))
        return guests[-1]

    try:
        yield start
    finally:
        for guest in guests:
            guest.stop()


@pytest.fixture(scope="module")
def guest_factory(kernels):
    """Boots a guest of its own: `guest_factory("6.1", smp=1)`. It is stopped behind the last test of the file."""
    with _factory(kernels) as start:
        yield start


@pytest.fixture(scope="session")
def shared_guest_factory(kernels):
    """Boots a guest for several files, which is stopped at the end of the run."""
    with _factory(kernels) as start:
        yield start


@pytest.fixture(scope="session")
def guest(shared_guest_factory):
    """The guest of a series that tests share: `guest("6.1")`. It boots when the first test asks for it."""
    guests = {}

    def get(series):
        if series not in guests:
            guests[series] = shared_guest_factory(series)
        return guests[series]

    return get


@pytest.fixture(scope="session")
def guardian_of():
    """The processes that are guardians of a guest: one, or none when it has ended."""

    def get(guest):
        words = (f"{sys.executable}\0-P\0-m\0oddtoc.target.guardian\0{guest.folder}\0").encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cmdline").read_bytes() == words:
                    found.append(int(process.name))
            except OSError:
                pass  # it has just ended
        return found

    return get
