"""The debug connection while a Linux guest works on all its vCPUs."""

import re
import signal
import subprocess
import sys
from itertools import count

import pytest

from oddtoc.target.qemu import QemuTarget

LOOPS = "for n in 1 2 3; do (while :; do cat /proc/stat /proc/mounts; done) > /dev/null 2>&1 & echo $!; done"
MSR_RI = 2


@pytest.fixture
def busy(guest, series):
    running = guest(series)
    loops = running.run(LOOPS).stdout.decode().split()
    assert len(loops) == 3
    yield running
    assert running.run(f"kill {' '.join(loops)}").status == 0


def test_saved_places_of_every_vcpu_are_those_that_the_monitor_shows(busy, qmp_of):
    """QEMU 7.2's gdb server has SRR0 of the first vCPU only, so they come from elsewhere."""
    qmp = qmp_of(busy.qmp_socket)
    in_entry_code = {}
    with QemuTarget.connect(busy.debug_socket) as target:
        for round_number in count():
            with target.stopped() as stopped:
                cpus = stopped.cpus()
                shown = qmp.monitor("info registers -a").split("\r\nCPU#")[1:]
            assert len(cpus) == len(shown) == 2
            for cpu, text in zip(cpus, shown, strict=True):
                pc, msr = (int(word, 16) for word in re.search(r"NIP (\w+).*?MSR (\w+)", text, re.DOTALL).groups())
                srr0 = int(re.search(r"\bSRR0 (\w+)", text)[1], 16)
                assert cpu.is_known
                assert cpu.in_entry_code == (not msr & MSR_RI)
                assert cpu.positions[:2] == ((pc, srr0 & ~3) if cpu.in_entry_code else (pc,))
                in_entry_code[cpu.id] = in_entry_code.get(cpu.id, 0) + cpu.in_entry_code
            assert target.pauses[-1].round_trips == 1 + any(cpu.in_entry_code for cpu in cpus)
            if round_number >= 100 and min(in_entry_code.values()) >= 5:
                break


def test_a_thousand_stops_disturb_nobody(busy):
    with QemuTarget.connect(busy.debug_socket) as target:
        for _ in range(1000):
            with target.stopped() as stopped:
                stopped.cpus()
    assert busy.run("echo $((6 * 7))").stdout == b"42\n"


KILLED = """
import pathlib, sys
from oddtoc.target.qemu import QemuTarget
with QemuTarget.connect(pathlib.Path(sys.argv[1])) as target:
    print(1, flush=True)
    while True:
        with target.stopped() as stopped:
            stopped.read_many([(0xC000000000000000, 60000)])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_after_a_client_that_was_killed_at_work_the_guest_goes_on(busy, number):
    for _ in range(3):
        command = [sys.executable, "-c", KILLED, str(busy.debug_socket)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"1\n"
            client.send_signal(number)
        QemuTarget.connect(busy.debug_socket).close()
        assert busy.run("echo $((6 * 7))").stdout == b"42\n"
