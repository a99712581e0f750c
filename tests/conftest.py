"""Real kernels and guests, shared by all tests of a run."""

import os
import signal
import tempfile
from itertools import count

import pytest

from oddtoc.debian import SERIES, fetch_kernel
from oddtoc.target.guest import boot

BOOT_SECONDS = 300
"""A limit for machines that are busy with other things; a guest that is lost says so much earlier."""


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
def guest(guest_factory):
    """The guest of a series that tests share: `guest("6.1")`. It boots when the first test asks for it."""
    guests = {}

    def get(series):
        if series not in guests:
            guests[series] = guest_factory(series)
        return guests[series]

    return get
