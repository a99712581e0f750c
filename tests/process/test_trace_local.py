"""Traces of processes of the machine that oddtoc itself runs on: in a guest, with a compiler for it inside."""

import json
import os

import jsonschema
import pytest
from machine import Machine
from test_trace_process import CALLS
from user import PLAIN, User

from oddtoc.debian.programs import program_files
from oddtoc.process.guest import boot_with_gdbserver
from oddtoc.report.schemas import schema_of

_PACKAGES = ("gcc", "gcc-12", "cpp-12", "binutils", "binutils-powerpc64le-linux-gnu")
_COMPILER = ("usr/bin/gcc", "usr/lib/gcc/powerpc64le-linux-gnu/12/cc1", "usr/bin/as", "usr/bin/ld")
_OUT = "/tmp/traced"
ASKED = 3


@pytest.fixture(scope="module")
def local_guest(user, oddtoc_itself):
    """A guest with oddtoc, user.c, and what makes code there."""
    files = user | oddtoc_itself | program_files(_PACKAGES, _COMPILER)
    made = boot_with_gdbserver("6.1", f"test-trace-local-{os.getpid()}", files=files, timeout=300)
    yield Machine(made)
    made.guest.stop()


def traced(guest, *options):
    """The lines that a trace prints while the program is asked some times; the program behaves as ever."""
    user = User(guest)
    assert user.ask() == PLAIN
    words = f"trace 'libthing.so.1:hidden' 'libthing.so.1:thing_*' --target pid:{user.pid} --format json"
    tracing = guest.start(f"HOME=/tmp PYTHONUNBUFFERED=1 exec python3.11 -m oddtoc {words} {' '.join(options)}", _OUT)
    guest.run(f"until [ -s {_OUT} ] || ! kill -0 {tracing}; do sleep 0.2; done", timeout=300)
    assert [user.ask() for _ in range(ASKED)] == [PLAIN] * ASKED
    guest.run(f"kill -INT {tracing}; while kill -0 {tracing} 2>/dev/null; do sleep 0.2; done", timeout=300)
    printed = guest.run(f"cat {_OUT}")
    assert user.ask() == PLAIN
    assert f"nothing is applied to pid:{user.pid}" in guest.oddtoc(f"status --target pid:{user.pid}")
    guest.run(f"kill -9 {user.pid}")
    try:
        lines = [json.loads(line) for line in printed.splitlines()]
    except ValueError:
        raise AssertionError(printed) from None
    for line in lines:
        jsonschema.validate(line, schema_of("trace"))
    return lines


@pytest.mark.parametrize("returns", [False, True])
def test_calls_and_returns_are_counted(local_guest, returns):
    start, *_, end = traced(local_guest, *["--returns"] * returns)
    assert set(CALLS) <= set(start["functions"])
    found = {one["function"]: (one["calls"], one["returns"]) for one in end["counts"] if one["calls"]}
    assert found == {name: (ASKED * calls, ASKED * calls * returns) for name, calls in CALLS.items()}
    assert end["still_in_use"] == []


def test_arguments_are_recorded(local_guest):
    _, *events, end = traced(local_guest, "--arguments", "--returns")
    assert end["lost"] == 0
    calls = [one["arguments"] for one in events if one["event"] == "call" and one["function"] == "thing_sum"]
    assert [[int(value, 16) for value in one] for one in calls] == ASKED * [[*range(1, 9)]] * 2
    values = [int(one["value"], 16) for one in events if one["event"] == "return" and one["function"] == "thing_sum"]
    # of 1 to 9, and 10 or what thing_inside was called with
    assert sorted(values) == sorted(ASKED * [55, 48])
