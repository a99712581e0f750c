"""Calls caught in running kernels."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from oddtoc.debian import SERIES
from oddtoc.errors import TargetGoneError
from oddtoc.image.elf import Image
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.target.qemu import QemuTarget

READS = "while true; do cat /proc/mounts /proc/cmdline; usleep 50000; done >/dev/null"
"""Many times a second, and the machine still has time for other tests."""


@pytest.fixture(scope="module")
def busy(guest_factory):
    """A guest of a series that calls both functions again and again."""
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
        assert other.returncode == 4
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", ["sibling", "global"])
@pytest.mark.parametrize("seconds", [0, 0.5])
def test_interrupted(busy, patch, number, call, seconds):
    """While it waits: all the time calls of another kind come, and breakpoints are passed."""
    guest = busy("6.1")
    line = command(patch, guest, "seq_putc", "--call", call, "--wait", "60")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert b"waiting" in process.stderr.readline()
        time.sleep(seconds)
        os.kill(process.pid, number)
        output, error = process.communicate(timeout=60)
    assert (process.returncode, output, error) == (128 + number, b"", b"")
    check_left_alone(guest)


def test_quiet_guest(guest_factory, patch):
    """Nobody calls anything: waiting ends in time, and the guest goes on."""
    guest = guest_factory("6.1")
    line = command(patch, guest, "seq_putc", "--wait", "1")
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "no call of seq_putc came in 1 s" in result.stderr
    check_left_alone(guest)


@pytest.mark.parametrize("runs", [False, True])
def test_torn_connection(guest_factory, kernels, runs):
    """Whatever state the two sides are in, the breakpoint goes with the connection."""
    guest = guest_factory("6.1")
    place = Image.open(kernels["6.1"].vmlinux).symbols.one("seq_putc").address
    target = QemuTarget.connect(guest.debug_socket)
    connection = target._connection
    with pytest.raises(TargetGoneError), target.stopped() as stopped, (stepper := stopped.stepper()).prepared():
        stepper.stop_at(place)
        if runs:
            connection.resume()
        connection._wire._socket.sendall(b"$m12,")
        with connection._step():
            raise TargetGoneError("torn")
    target.close()
    check_left_alone(guest)
