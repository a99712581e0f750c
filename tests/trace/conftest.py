"""Patch objects and commands for traces of kernels."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernellog
from oddtoc.build.compile import compile_patch

_SAMPLES = Path(__file__).parent.parent.parent / "src/oddtoc/samples"


@pytest.fixture(scope="session")
def cmdline(tmp_path_factory):
    """The patch object that changes what /proc/cmdline says."""
    return compile_patch(_SAMPLES / "cmdline.c", tmp_path_factory.mktemp("objects") / "cmdline.o")


@pytest.fixture
def machine(guest, series):
    """The guest of a series, whose kernel has nothing to complain of while a test runs."""
    machine = guest(series)
    machine.run("dmesg -c; mount -t tracefs t /sys/kernel/tracing 2>/dev/null")
    yield machine
    complaints = machine.run(kernellog.COMPLAINTS)
    assert complaints.stdout == b""


@pytest.fixture
def command():
    """Starts `oddtoc` with arguments, as a process of its own."""
    started = []

    def start(*arguments):
        # what is said has to come when it is said, not when a buffer is full
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "oddtoc", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
