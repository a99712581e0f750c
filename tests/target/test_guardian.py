"""A guest whose debugger is gone goes on by itself, and one whose debugger lives is left alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from oddtoc.errors import GuestError
from oddtoc.image.elf import Image
from oddtoc.target import guardian
from oddtoc.target.packets import packet
from oddtoc.target.qemu import QemuTarget

LOOKS = 6 * guardian._INTERVAL
"""Seconds in which a guardian looks several times."""
CLIENT = """
import pathlib, sys, time
from oddtoc.target.qemu import QemuTarget
with QemuTarget.connect(pathlib.Path(sys.argv[1])) as target, target.stopped() as stopped:
    stopped.cpus()
    if sys.argv[2:]:
        stopped.stepper().stop_at(int(sys.argv[2]))
        target._connection.resume()
    print(1, flush=True)
    time.sleep(600)
"""


@contextmanager
def client(guest, *words):
    """A process that has stopped the guest, or has set a breakpoint and let it run on."""
    command = [sys.executable, "-c", CLIENT, str(guest.debug_socket), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"1\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def monitor(guest, qmp_of):
    return qmp_of(guest("6.1").qmp_socket)


def check_alive(guest):
    assert guest.run("cat /proc/mounts >/dev/null; echo $((6 * 7))").stdout == b"42\n"


def answer(debugger):
    """The answer to a first request, stop packets before it included."""
    debugger.settimeout(20)
    debugger.sendall(packet(b"qSupported"))
    data = b""
    while data.count(b"#") < data.count(b"$T") + 1:
        data += debugger.recv(4096)
    return data


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_guest_goes_on_when_its_client_is_killed(guest, monitor, number):
    with client(guest("6.1")) as process:
        assert monitor.status == "paused"
        process.send_signal(number)
    assert monitor.becomes("running")
    check_alive(guest("6.1"))


def test_breakpoints_of_a_dead_client_go(guest, kernels, monitor):
    place = Image.open(kernels["6.1"].vmlinux).symbols.one("seq_putc").address
    with client(guest("6.1"), place) as process:
        process.send_signal(signal.SIGKILL)
    # the first call still meets it
    for _ in range(3):
        check_alive(guest("6.1"))
    assert monitor.becomes("running")


def test_half_a_packet_is_no_obstacle_for_guardian_and_next_client(guest, monitor):
    for half in (b"$m0", b"$m0,4#", b"$m0,4#9", b"$m0}", b"$m00*", b"\x03", packet(b"m0,4")):
        with socket.socket(socket.AF_UNIX) as debugger:
            debugger.connect(str(guest("6.1").debug_socket))
            assert monitor.becomes("paused")
            debugger.sendall(half)
            time.sleep(0.01)
        QemuTarget.connect(guest("6.1").debug_socket).close()
        assert monitor.becomes("running"), half
    check_alive(guest("6.1"))


def test_a_living_client_keeps_its_stop(guest, monitor):
    with client(guest("6.1")) as process:
        time.sleep(LOOKS)
        assert monitor.status == "paused"
        # not even one that does not move
        process.send_signal(signal.SIGSTOP)
        time.sleep(LOOKS)
        assert monitor.status == "paused"
    assert monitor.becomes("running")


def test_a_stranger_keeps_its_stop(guest, monitor):
    with socket.socket(socket.AF_UNIX) as debugger:
        debugger.connect(str(guest("6.1").debug_socket))
        assert monitor.becomes("paused")
        time.sleep(LOOKS)
        assert monitor.status == "paused"
        assert b"PacketSize" in answer(debugger)
    assert monitor.becomes("running")


def test_a_second_client_that_waits_gets_its_turn(guest, monitor):
    """When the first one dies, QEMU hears the second at once, and the guardian has nothing to do."""
    for _ in range(5):
        with client(guest("6.1")) as process, socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(guest("6.1").debug_socket))
            process.kill()
            assert b"PacketSize" in answer(waiting)
            time.sleep(LOOKS)
            assert monitor.status == "paused"
        assert monitor.becomes("running")


def test_it_ends_with_its_guest(guest_factory, guardian_of):
    machine = guest_factory("6.1")
    (pid,) = guardian_of(machine)
    machine.stop()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert guardian_of(machine) == []


def test_without_a_guest_it_does_not_start(tmp_path):
    with pytest.raises(GuestError, match="does not start"):
        guardian.start(tmp_path)


def test_a_second_oddtoc_is_refused(guest):
    """Through the command line, while the first one holds a stop, and while it doesn't."""
    command = [sys.executable, "-m", "oddtoc", "status", "-t", f"guest:{guest('6.1').name}"]
    with client(guest("6.1")) as process:
        os.kill(process.pid, 0)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 3
    assert second.stdout == ""
    assert f"another oddtoc (process {process.pid}) is using the target" in second.stderr
    assert len(second.stderr.splitlines()) == 2
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
