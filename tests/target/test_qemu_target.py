"""A real debug server. QEMU runs its firmware only; what needs a Linux guest is in test_busy_guest.py."""

import dataclasses
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from oddtoc.errors import FaultError, TargetError, TargetGoneError, TargetInUseError, WriteFaultError
from oddtoc.target.memory import LINEAR_MAP, PIECE, Memory
from oddtoc.target.packets import packet
from oddtoc.target.qemu import QemuTarget

pytestmark = pytest.mark.usefixtures("own_runtime_folder")

SIZE = 256 << 20
FREE = LINEAR_MAP + (64 << 20)
"""Memory that the firmware leaves alone."""


@pytest.fixture
def target(firmware):
    with QemuTarget.connect(firmware.gdb) as connected:
        yield connected


def seen_by_qmp(qemu, address, size):
    """Physical memory as QEMU itself saves it."""
    name = qemu.folder / "memory"
    qemu.qmp.ask("pmemsave", val=address - LINEAR_MAP, size=size, filename=str(name))
    return name.read_bytes()


def test_the_guest_runs_except_inside_of_a_stop(firmware):
    with QemuTarget.connect(firmware.gdb) as target:
        assert firmware.qmp.becomes("running")
        for _ in range(20):
            with target.stopped() as stopped:
                stopped.read_many([(FREE, 4)])
                assert firmware.qmp.status == "paused"
            assert firmware.qmp.becomes("running")
    assert firmware.qmp.becomes("running")
    assert len(target.pauses) == 21 and all(pause.seconds > 0 for pause in target.pauses)


def test_connecting_and_leaving_many_times(firmware):
    for _ in range(30):
        QemuTarget.connect(firmware.gdb).close()
    assert firmware.qmp.becomes("running")


def test_a_stop_inside_of_a_stop_is_refused(target, firmware):
    with target.stopped(), pytest.raises(TargetError, match="stop inside a stop"), target.stopped():
        pass
    assert firmware.qmp.becomes("running")
    with target.stopped() as stopped:
        assert len(stopped.cpus()) == 2


# memory


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1999, 2000, 4096, PIECE - 1, PIECE, PIECE + 1, 200_001])
def test_what_is_read_is_what_qemu_saves(target, firmware, size):
    start = FREE + 65536 - size // 2
    data = bytes((7 * n + n // 251) % 256 for n in range(size))
    target.write_many([(start, data)])
    assert target.read(start, size) == data == seen_by_qmp(firmware, start, size)
    assert seen_by_qmp(firmware, start - 8, 8) == bytes(8) == seen_by_qmp(firmware, start + size, 8)


def test_all_memory_is_read_to_its_last_byte(target, firmware):
    # the firmware's own words change while it runs
    with target.stopped() as stopped:
        ours = stopped.read_many([(LINEAR_MAP + (start << 20), 1 << 20) for start in (0, 100, 255)])
        assert ours == [seen_by_qmp(firmware, LINEAR_MAP + (start << 20), 1 << 20) for start in (0, 100, 255)]
    assert any(ours[0])


def test_many_small_requests_keep_their_order(target, firmware):
    writes = [(FREE + 16 * n, n.to_bytes(4, "little")) for n in range(3000)]
    target.write_many(writes)
    assert target.read_many([(address, 4) for address, _ in writes]) == [data for _, data in writes]
    assert seen_by_qmp(firmware, FREE + 16 * 2999, 4) == (2999).to_bytes(4, "little")
    with target.stopped() as stopped:
        stopped.write_many([(FREE, b"first"), (FREE + 5, b"then")])
        assert stopped.read_many([(FREE, 9), (FREE + 1, 0), (FREE, 1)]) == [b"firstthen", b"", b"f"]
        assert stopped.round_trips == 2


def test_nothing_is_asked_for_nothing(target):
    before = len(target.pauses)
    assert target.read_many([]) == [] and target.read_many([(FREE, 0)]) == [b""]
    target.write_many([])
    assert len(target.pauses) == before


NO_MEMORY = {
    "behind the end": (LINEAR_MAP + SIZE, 4),
    "over the end": (LINEAR_MAP + SIZE - 4, 8),
    "a device": (LINEAR_MAP + 0x0006010000000000, 8),
    "vmalloc, radix": (0xC008000000010000, 8),
    "vmalloc, hash": (0xD000000000010000, 8),
    "user": (0x10000000, 4),
    "last address": ((1 << 64) - 4, 4),
}


@pytest.mark.parametrize("address, size", NO_MEMORY.values(), ids=NO_MEMORY)
def test_what_is_no_memory_is_a_typed_fault(target, firmware, address, size):
    with pytest.raises(FaultError) as caught:
        target.read_many([(FREE, 4), (address, size)])
    assert (caught.value.address, caught.value.size) == (address, size)
    with pytest.raises(WriteFaultError) as caught:
        target.write_many([(FREE, b"data"), (address, bytes(size))])
    assert (caught.value.address, caught.value.size) == (address, size)
    # refused as a whole, and the connection is as good as before
    assert target.read(FREE, 4) == bytes(4)
    assert firmware.qmp.becomes("running")


def test_a_write_that_qemu_drops_in_silence_is_noticed(target):
    """Where QEMU's list of memory can't be read: it answers OK for memory that is not there."""
    target._server = dataclasses.replace(target._server, memory=Memory())
    nowhere = LINEAR_MAP + (1 << 40)
    with pytest.raises(WriteFaultError, match="did not take") as caught:
        target.write_many([(nowhere, b"data")])
    assert caught.value.address == nowhere
    with target.stopped() as stopped:
        stopped.write_many([(nowhere, b"data")], verify=False)
        assert stopped.read_many([(nowhere, 4)]) == [bytes(4)]


def test_memory_is_as_large_as_qemu_says(target, firmware):
    assert f"base memory: {SIZE}\r\n" in firmware.qmp.monitor("info memory_size_summary")
    assert target._server.memory == Memory(((0, SIZE),), ((0, SIZE),))


def test_rom_can_be_read_but_not_written(bare_qemu):
    qemu = bare_qemu(machine="mac99", smp="1")
    rom = LINEAR_MAP + 0xFFF00000
    with QemuTarget.connect(qemu.gdb) as target:
        before = target.read(rom, 4096)
        assert any(before) and before == seen_by_qmp(qemu, rom, 4096)
        with pytest.raises(WriteFaultError):
            target.write_many([(rom, bytes(4))])
        target._server = dataclasses.replace(target._server, memory=Memory())
        with pytest.raises(WriteFaultError, match="did not take"):
            target.write_many([(rom, bytes(4096))])
        assert target.read(rom, 4096) == before


def test_vcpus_and_memory_in_one_look(target):
    target.write_many([(FREE, b"here"), (FREE + 70_000, b"there")])
    with target.stopped() as stopped:
        cpus, memory = stopped.look([(FREE, 4), (FREE + 100, 0), (FREE + 70_000, 5)])
        assert memory == [b"here", b"", b"there"]
        assert cpus == stopped.cpus()
        with pytest.raises(FaultError):
            stopped.look([(FREE, 4), (LINEAR_MAP + SIZE, 4)])


# registers


def names(text):
    """Registers of one vCPU in what the monitor's `info registers` prints."""
    found = {
        f"r{int(m[1]) + n}": word
        for m in re.finditer(r"GPR(\d\d)((?: [0-9a-f]{16}){4})", text)
        for n, word in enumerate(m[2].split())
    }
    for ours, theirs in [("pc", "NIP"), ("lr", "LR"), ("ctr", "CTR"), ("xer", "XER"), ("msr", "MSR"), ("cr", "CR")]:
        found[ours] = re.search(rf"\b{theirs} ([0-9a-f]+)\b", text)[1]
    return {name: int(word, 16) for name, word in found.items()}


@pytest.mark.parametrize("smp", ["1", "2", "4"])
def test_registers_of_every_vcpu_are_those_that_the_monitor_shows(bare_qemu, smp):
    qemu = bare_qemu(smp=smp)
    with QemuTarget.connect(qemu.gdb) as target:
        for _ in range(5):
            with target.stopped() as stopped:
                cpus = stopped.cpus()
                shown = qemu.qmp.monitor("info registers -a").split("\r\nCPU#")[1:]
            assert len(cpus) == len(shown) == int(smp)
            for cpu, text in zip(cpus, shown, strict=True):
                expected = names(text)
                assert len(expected) == 38
                assert {name: cpu.registers[name] for name in expected} == expected
            assert target.pauses[-1].round_trips <= 2


def test_a_32_bit_machine_is_refused(bare_qemu):
    qemu = bare_qemu(program="qemu-system-ppc", machine="g3beige", smp="1")
    with pytest.raises(TargetError, match="no 64-bit register"):
        QemuTarget.connect(qemu.gdb)
    assert qemu.qmp.becomes("running")


# other clients


def answers(client):
    client.sendall(b"+" + packet(b"qSupported"))
    data = b""
    while b"PacketSize" not in data:
        data += client.recv(4096)
    return True


def unix(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(path))
    return client


def test_a_second_oddtoc_is_refused_and_the_first_works_on(firmware, target):
    pauses = len(target.pauses)
    with pytest.raises(TargetInUseError, match="process"):
        QemuTarget.connect(firmware.gdb)
    with target.stopped() as stopped:
        assert len(stopped.cpus()) == 2
    assert len(target.pauses) == pauses + 1


@pytest.mark.parametrize("inside", [False, True], ids=["running", "stopped"])
def test_a_second_client_that_our_lock_does_not_know_is_refused(firmware, target, inside):
    def second():
        with pytest.raises(TargetInUseError, match="another debugger"):
            QemuTarget.connect(firmware.gdb, lock=False)

    if inside:
        with target.stopped() as stopped:
            second()
            assert len(stopped.cpus()) == 2
    else:
        second()
        assert firmware.qmp.status == "running"
    with target.stopped() as stopped:
        assert len(stopped.cpus()) == 2
    target.close()
    # now QEMU looks at the one that was refused, and stops the guest for it
    with QemuTarget.connect(firmware.gdb) as third, third.stopped() as stopped:
        assert len(stopped.cpus()) == 2
    assert firmware.qmp.becomes("running")


def test_the_guest_of_a_refused_client_runs_on_when_the_other_has_left(firmware):
    other = unix(firmware.gdb)
    assert answers(other)
    for _ in range(2):
        with pytest.raises(TargetInUseError):
            QemuTarget.connect(firmware.gdb)
    other.sendall(packet(b"c"))
    assert firmware.qmp.becomes("running")
    other.close()
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        firmware.qmp.monitor("info status")
    assert firmware.qmp.becomes("running")


def test_a_foreign_client_that_connects_later_does_not_disturb(firmware, target):
    with unix(firmware.gdb) as other:
        other.sendall(b"+" + packet(b"qSupported"))
        for _ in range(10):
            with target.stopped() as stopped:
                assert len(stopped.cpus()) == 2
            assert firmware.qmp.becomes("running")
        target.close()
        assert answers(other)


def test_tcp(bare_qemu):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    qemu = bare_qemu("-gdb", f"tcp:127.0.0.1:{port}", debug=False)
    with QemuTarget.connect(("127.0.0.1", port)) as target:
        target.write_many([(FREE, bytes(range(256)) * 300)])
        assert target.read(FREE, 256 * 300) == bytes(range(256)) * 300
        with pytest.raises(TargetInUseError, match="another oddtoc"):
            QemuTarget.connect(("127.0.0.1", port))
        with pytest.raises(TargetInUseError, match="another debugger"):
            QemuTarget.connect(("127.0.0.1", port), lock=False)
        with target.stopped() as stopped:
            assert len(stopped.cpus()) == 2
    with QemuTarget.connect(("127.0.0.1", port)) as target, target.stopped() as stopped:
        assert len(stopped.cpus()) == 2
    with pytest.raises(KeyError), QemuTarget.connect(("127.0.0.1", port)) as target, target.stopped():
        raise KeyError
    assert qemu.qmp.becomes("running")


# unhappy ends

KILLED_INSIDE = """
import pathlib, sys, time
from oddtoc.target.qemu import QemuTarget
with QemuTarget.connect(pathlib.Path(sys.argv[1])) as target, target.stopped() as stopped:
    stopped.cpus()
    print(1, flush=True)
    time.sleep(1000)
"""


def inside_of_a_stop(qemu):
    process = subprocess.Popen([sys.executable, "-c", KILLED_INSIDE, str(qemu.gdb)], stdout=subprocess.PIPE, stderr=-3)
    assert process.stdout.readline() == b"1\n"
    assert qemu.qmp.status == "paused"
    return process


def test_after_a_killed_client_the_next_one_resumes_the_guest(firmware):
    with inside_of_a_stop(firmware) as process:
        process.kill()
    assert firmware.qmp.status == "paused"
    with QemuTarget.connect(firmware.gdb) as target:
        assert firmware.qmp.becomes("running")
        with target.stopped() as stopped:
            assert len(stopped.cpus()) == 2
    assert firmware.qmp.becomes("running")


def test_after_a_killed_client_a_refused_one_resumes_the_guest(firmware):
    """It was waiting in QEMU's queue when the first was killed."""
    with inside_of_a_stop(firmware) as process:
        with pytest.raises(TargetInUseError):
            QemuTarget.connect(firmware.gdb, lock=False)
        process.kill()
    assert firmware.qmp.becomes("running")


def test_an_interrupted_client_resumes_the_guest(firmware):
    with inside_of_a_stop(firmware) as process:
        process.send_signal(signal.SIGINT)
    assert firmware.qmp.becomes("running")


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_inside_of_a_stop_resumes_the_guest(firmware, target, error):
    with pytest.raises(error), target.stopped():
        raise error
    assert firmware.qmp.becomes("running")
    with target.stopped() as stopped:
        assert len(stopped.cpus()) == 2


def test_a_user_who_interrupts_at_any_moment_leaves_a_running_guest(firmware):
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for number in range(120):
            try:
                # again and again: Python swallows an exception in a finalizer
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + number * 0.0001, 0.5)
                with QemuTarget.connect(firmware.gdb) as target:
                    while True:
                        with target.stopped() as stopped:
                            stopped.cpus()
                            stopped.read_many([(FREE, 8000)])
            except KeyboardInterrupt:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert firmware.qmp.becomes("running"), number
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with QemuTarget.connect(firmware.gdb) as target, target.stopped() as stopped:
        assert len(stopped.cpus()) == 2


def test_a_connection_that_was_interrupted_says_so(target, firmware, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), target.stopped() as stopped:
        patch.setattr(target._connection, "_receive", lambda _: signal.raise_signal(signal.SIGINT))
        stopped.cpus()
    assert firmware.qmp.becomes("running")
    with pytest.raises(TargetGoneError, match="middle of a request"):
        target.read(FREE, 4)
    target.close()
    with QemuTarget.connect(firmware.gdb) as another:
        assert another.read(FREE, 4) == bytes(4)


@pytest.mark.parametrize("call", ["cpus", "read", "write", "nothing"])
def test_a_target_that_goes_inside_of_a_stop(firmware, call):
    target = QemuTarget.connect(firmware.gdb)
    with pytest.raises(TargetGoneError), target.stopped() as stopped:
        firmware.kill()
        if call == "cpus":
            stopped.cpus()
        elif call == "read":
            stopped.read_many([(FREE, 100_000)])
        elif call == "write":
            stopped.write_many([(FREE, bytes(100_000))])
    with pytest.raises(TargetGoneError):
        target.read(FREE, 4)
    target.close()
    target.close()
    with pytest.raises(TargetError, match="nobody answers"):
        QemuTarget.connect(firmware.gdb)


def test_a_target_that_goes_while_much_is_read(firmware):
    with QemuTarget.connect(firmware.gdb) as target, pytest.raises(TargetGoneError):
        threading.Timer(0.1, firmware.kill).start()
        while True:
            target.read(LINEAR_MAP, 1 << 20)


def test_a_guest_that_is_switched_off_between_stops(firmware, target):
    firmware.qmp.ask("quit")
    firmware.process.wait()
    with pytest.raises(TargetGoneError), target.stopped():
        pass


def test_a_qemu_that_hangs_is_given_up(firmware):
    with QemuTarget.connect(firmware.gdb, timeout=0.5) as target:
        firmware.process.send_signal(signal.SIGSTOP)
        with pytest.raises(TargetGoneError, match="does not answer"), target.stopped():
            pass
        with pytest.raises(TargetInUseError):
            QemuTarget.connect(firmware.gdb, lock=False, timeout=0.5)
        firmware.process.send_signal(signal.SIGCONT)
        assert firmware.qmp.becomes("running")
    if not firmware.qmp.becomes("running"):
        # rarely QEMU stops for the client that was refused while it hung, after that one has gone: the next one helps
        QemuTarget.connect(firmware.gdb, lock=False).close()
    assert firmware.qmp.becomes("running")


def test_a_guest_that_somebody_else_paused_is_stopped_and_runs_on(firmware, target):
    firmware.qmp.ask("stop")
    with target.stopped() as stopped:
        assert len(stopped.cpus()) == 2
    assert firmware.qmp.becomes("running")
    with target.stopped() as stopped:
        assert len(stopped.cpus()) == 2
    assert firmware.qmp.becomes("running")
