"""Calls caught in running kernels."""

import json
import subprocess
import sys

import pytest

from oddtoc.debian import SERIES
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session

READS = "while true; do cat /proc/mounts /proc/cmdline; done >/dev/null"


@pytest.fixture(scope="module")
def busy(guest_factory):
    """A guest of a series that calls both functions all the time."""
    guests = {}

    def get(series):
        if series not in guests:
            guests[series] = guest_factory(series)
            guests[series].run(f"({READS}) </dev/null >/dev/null 2>&1 &")
        return guests[series]

    return get


def command(patch, guest, function, *words):
    return [sys.executable, "-m", "oddtoc", "explain", patch, function, "-t", f"guest:{guest.name}", *words]


def explained(patch, guest, function, *words):
    line = [*command(patch, guest, function, "--format", "json"), *words]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def check_left_alone(guest, applied=()):
    """The patches that were there are there, the guest runs, and nothing stops it where it would with a breakpoint."""
    with Session.open(f"guest:{guest.name}") as session:
        assert [s.record.name for s in session.status() if s.present] == list(applied)
    for _ in range(3):
        assert b"rootfs" in guest.run("cat /proc/mounts", timeout=60).stdout


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot"])
@pytest.mark.parametrize("series", SERIES)
def test_local_call(busy, patch, series, mechanism):
    guest = busy(series)
    record = explained(patch, guest, "seq_putc", "-m", mechanism, "--call", "local")
    assert record["right"], record["verdict"]
    places = [step["place"] for step in record["steps"]]
    assert places[0] == "caller"
    assert places[-1] == "caller again"
    assert ("return helper" in places) == (mechanism == "guarded/slot")
    check_left_alone(guest)


@pytest.mark.parametrize("series", SERIES)
def test_global_call(busy, patch, series):
    """seq_read_iter calls cmdline_proc_show through a pointer."""
    guest = busy(series)
    record = explained(patch, guest, "cmdline_proc_show", "-m", "odd-toc/cr4", "--call", "global")
    assert record["right"], record["verdict"]
    assert any(step["odd"] for step in record["steps"])
    assert record["steps"][-1]["assembly"].startswith("ld r2, 0x18(r1)")
    assert "caller (seq_read" in record["headings"]["caller"]
    check_left_alone(guest)


def test_applied_patch_stays(busy, patch):
    guest = busy("6.1")
    with Session.open(f"guest:{guest.name}") as session:
        session.apply(session.plan(PatchObject.open(patch), mechanism="guarded/slot"))
    try:
        assert explained(patch, guest, "seq_putc")["mechanism"] == "guarded/slot"
        other = subprocess.run(
            command(patch, guest, "seq_putc", "-m", "shared-toc"), capture_output=True, text=True, check=False
        )
        assert other.returncode == 1
        assert "is applied with guarded/slot" in other.stderr
        check_left_alone(guest, ["bars"])
    finally:
        with Session.open(f"guest:{guest.name}") as session:
            session.revert("bars")


def test_nobody_calls(busy, patch):
    guest = busy("6.1")
    line = command(patch, guest, "seq_putc", "--call", "sibling", "--wait", "2")
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "no sibling call of seq_putc came in 2 s" in result.stderr
    check_left_alone(guest)
