"""A process behind a real gdbserver: stopped, looked at, written to, let go."""

import struct
import subprocess
import sys
import time

import pytest

from oddtoc.errors import FaultError, TargetError, TargetGoneError, TargetInUseError, UsageError
from oddtoc.image.elf import Image
from oddtoc.process.call import find_call
from oddtoc.process.maps import parse_maps
from oddtoc.target.connect import connect, parse_target
from oddtoc.target.gdbserver import GdbserverProcess

THREADS = 8
GETPID = 20


@pytest.fixture(scope="module")
def pid(process_guest):
    pid = process_guest.program("busy", "/tmp/busy", THREADS + 1)
    yield pid
    process_guest.run(f"kill -9 {pid}")


@pytest.fixture
def target(process_guest, pid):
    with GdbserverProcess.connect(process_guest.endpoint, pid) as target:
        yield target


@pytest.fixture(scope="module")
def symbols(busy):
    return Image.open(busy).symbols


def base(target):
    return int(target.read_file(f"/proc/{target.pid}/maps").partition(b"-")[0], 16)


def is_free(process_guest, pid):
    return process_guest.status(pid, "TracerPid") == "0" and process_guest.status(pid, "State")[0] in "SR"


def test_the_server_is_known_by_asking(process_guest, pid):
    with connect(parse_target(f"{process_guest.server}#{pid}")) as target:
        assert isinstance(target, GdbserverProcess)
        assert (target.pid, target.name) == (pid, f"{process_guest.server.removeprefix('gdb://')}#{pid}")
    with pytest.raises(UsageError, match="which process"):
        connect(parse_target(process_guest.server))
    with pytest.raises(UsageError, match="knows no processes"):
        connect(parse_target(f"{process_guest.guest.debug_socket}#{pid}"))
    with pytest.raises(TargetError, match="no process 99999"):
        connect(parse_target(f"{process_guest.server}#99999"))


def test_a_process_that_somebody_else_traces_is_in_use(process_guest):
    pid = process_guest.start("exec sleep 1000")
    process_guest.start(f"exec gdbserver --attach 127.0.0.1:3334 {pid}", "/tmp/attached")
    process_guest.run("until grep -qs Listening /tmp/attached; do sleep 0.1; done")
    with pytest.raises(TargetInUseError, match=f"process {pid} is traced by"):
        GdbserverProcess.connect(process_guest.endpoint, pid)


def test_memory_is_that_of_the_process(process_guest, target, busy, pid):
    start = base(target)
    assert target.read(start, 20000) == busy.read_bytes()[:20000]
    assert target.read_file(f"/proc/{pid}/exe", 1 << 24) == busy.read_bytes()
    with pytest.raises(FaultError):
        target.read(0x10000, 4)
    with target.stopped() as stopped, pytest.raises(FaultError):
        stopped.write_many([(0x10000, b"1234")])
    assert is_free(process_guest, pid)


def test_text_takes_what_is_written(target):
    place = base(target) + 8
    before = target.read(place, 8)
    target.write_many([(place, b"}$#*12\0\xff")])
    assert target.read(place, 8) == b"}$#*12\0\xff"
    target.write_many([(place, before)])


def test_all_threads_stand_still_and_all_go_on(target, symbols, process_guest, pid):
    place = base(target) + symbols.one("counters").address
    for _ in range(4):
        with target.stopped() as stopped:
            threads, (before,) = stopped.look([(place, 8 * THREADS)])
            time.sleep(0.02)
            assert stopped.read_many([(place, 8 * THREADS)]) == [before]
        time.sleep(0.05)
        assert len(threads) == THREADS + 1
        after = target.read(place, 8 * THREADS)
        assert all(after[n : n + 8] != before[n : n + 8] for n in range(0, 8 * THREADS, 8))
    assert is_free(process_guest, pid)
    assert process_guest.status(pid, "Threads") == str(THREADS + 1)


def test_registers_are_those_of_the_thread(target):
    with target.stopped() as stopped:
        threads, _ = stopped.look([])
        for thread in threads:
            (word,) = stopped.read_many([(thread.registers["pc"], 4)])
            assert len(word) == 4
            chain = int.from_bytes(stopped.read_many([(thread.registers["r1"], 8)])[0], "little")
            assert chain == 0 or thread.registers["r1"] < chain < thread.registers["r1"] + (1 << 20)


def test_no_signal_is_lost_and_none_is_left(target, process_guest):
    """gdbserver stops threads with SIGSTOP. In one of 25 stops like these it let a thread go with that."""
    process_guest.run("touch /tmp/send")
    for stop in range(80):
        with target.stopped() as stopped:
            stopped.cpus()
        status = target.read_file(f"/proc/{target.pid}/status").decode()
        assert "\nState:\tT" not in status, stop
        if stop == 15:
            process_guest.run("while [ -e /tmp/send ]; do sleep 0.1; done")
            assert process_guest.run("tail -n 1 /tmp/busy") == "300 of 300\n"
            sender = process_guest.start("while :; do touch /tmp/send; sleep 0.3; done")
    process_guest.run(f"kill {sender}")


def test_a_thread_is_lent_while_all_others_run_and_gets_all_of_its_signals(process_guest, busy):
    # another test may have left it
    process_guest.run("rm -f /tmp/send")
    pid = process_guest.program("busy", "/tmp/lent", THREADS + 1)
    counters = Image.open(busy).symbols.one("counters").address
    with GdbserverProcess.connect(process_guest.endpoint, pid) as target:
        call = find_call(parse_maps(target.read_file(f"/proc/{pid}/maps").decode()), target.read_many)
        process_guest.run("touch /tmp/send")
        before = target.read(base(target) + counters, 8 * THREADS)
        lent = [target.lend({"pc": call, "r0": GETPID}).registers["r3"] for _ in range(20)]
        after = target.read(base(target) + counters, 8 * THREADS)
    assert lent == [pid] * 20
    counts = [struct.unpack(f"<{THREADS}Q", counted) for counted in (before, after)]
    assert all(new > old for old, new in zip(*counts, strict=True))
    process_guest.run("until [ -s /tmp/lent ]; do sleep 0.1; done")
    assert process_guest.run("cat /tmp/lent") == "300 of 300\n"
    assert is_free(process_guest, pid)
    process_guest.run(f"kill -9 {pid}")


def test_who_is_killed_between_stops_leaves_a_running_process(process_guest, pid):
    script = (
        "import os, sys; from oddtoc.target.gdbserver import GdbserverProcess\n"
        f"target = GdbserverProcess.connect({process_guest.endpoint}, {pid})\n"
        "with target.stopped() as stopped: stopped.cpus()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert is_free(process_guest, pid)


def test_who_is_killed_while_the_server_is_attached_is_made_up_for(process_guest, pid):
    """Threads that run go on, and those that stand still do when somebody comes."""
    for deed in ("stopped.cpus()", "pass"):
        script = (
            "import os, sys; from oddtoc.target.gdbserver import GdbserverProcess\n"
            f"target = GdbserverProcess.connect({process_guest.endpoint}, {pid})\n"
            f"with target.stopped() as stopped:\n    {deed}\n    os.kill(os.getpid(), 9)\n"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
        assert process_guest.status(pid, "TracerPid") != "0"
        with GdbserverProcess.connect(process_guest.endpoint, pid) as target:
            assert is_free(process_guest, pid)
            assert target.read(base(target), 4) == b"\x7fELF"
    assert is_free(process_guest, pid)


def test_who_leaves_in_the_middle_of_a_stop_lets_the_process_go(process_guest, pid):
    target = GdbserverProcess.connect(process_guest.endpoint, pid)
    with pytest.raises(TargetGoneError), target.stopped() as stopped:
        stopped.cpus()
        target.close()
    assert is_free(process_guest, pid)


def test_one_thread_runs_until_all_are_asked(process_guest, target, symbols):
    place = base(target) + symbols.one("counters").address
    show = "hexdump -v -e '8/1 \"%02x\"'"
    look = f"dd if=/proc/{target.pid}/mem bs=8 skip={place // 8} count={THREADS} 2>/dev/null | {show}"
    process_guest.run("rm -f /tmp/send")
    with target.stopped() as stopped:
        before = process_guest.run(look)
        time.sleep(0.1)
        after = process_guest.run(look)
        _, (memory,) = stopped.look([(place, 8 * THREADS)])
    counted = [before[n : n + 16] != after[n : n + 16] for n in range(0, 16 * THREADS, 16)]
    assert len(before) == 16 * THREADS
    # the main thread was the one that ran on if none of these did
    assert sum(counted) <= 1
    assert [memory[n : n + 8].hex() == after[2 * n : 2 * n + 16] for n in range(0, 8 * THREADS, 8)].count(False) <= 1


def test_pages_become_the_processs_own_before_it_stands_still(process_guest):
    """By words that are written over themselves, and only where they stand."""
    pid = process_guest.program("relay", threads=2)
    with GdbserverProcess.connect(process_guest.endpoint, pid) as target:
        start = base(target)
        place = start + int.from_bytes(target.read(start + 24, 8), "little")
        word = target.read(place, 4)

        def kibibytes():
            shown = process_guest.run(f"sed -n '/^{start:x}-/,/^VmFlags/p' /proc/{pid}/smaps")
            return int(shown.partition("Anonymous:")[2].split()[0])

        with target.stopped() as stopped:
            stopped.unshare([(place, b"none")])
            assert kibibytes() == 0 and stopped.began is None
            stopped.unshare([(place, word)])
            assert kibibytes() == 64 and stopped.began is None
        assert target.read(place, 4) == word
    process_guest.run(f"kill -9 {pid}")


def test_threads_that_begin_while_the_others_are_stopped_are_found(process_guest):
    """All that the server knows: one that is just being made it may meet only when the process goes on."""
    pid = process_guest.start("exec relay")
    process_guest.run(f"until [ -e /proc/{pid}/task ] && [ $(ls /proc/{pid}/task | wc -l) -gt 1 ]; do sleep 0.1; done")
    names, fresh = set(), 0
    with GdbserverProcess.connect(process_guest.endpoint, pid) as target:
        for _ in range(12):
            with target.stopped() as stopped:
                met = {*stopped._threads}
                threads = {thread.id for thread in stopped.cpus()}
                known = {*stopped._listed()}
                listed = {*map(int, process_guest.run(f"ls /proc/{pid}/task").split())}
            assert threads == known
            assert {int(thread.rpartition(".")[2], 16) for thread in threads} <= listed
            names |= listed
            fresh += bool(threads - met)
    process_guest.run(f"kill -9 {pid}")
    assert len(names) > 12 and fresh


def test_a_thread_that_has_ended_since_it_was_met_is_not_missed(target):
    """One that ends in that very moment can't be had: the number is made up."""
    with target.stopped() as stopped:
        stopped._threads.append(f"p{target.pid:x}.7ffe")
        assert len(stopped.cpus()) == THREADS + 1


def test_an_error_in_a_stop_lets_the_process_go(process_guest, pid):
    target = GdbserverProcess.connect(process_guest.endpoint, pid)
    with pytest.raises(KeyboardInterrupt), target.stopped() as stopped:
        stopped.cpus()
        raise KeyboardInterrupt
    assert is_free(process_guest, pid)
    target.close()


def test_a_serial_line_does_as_well(process_guest, pid):
    with connect(parse_target(f"{process_guest.serial}#{pid}")) as target:
        assert isinstance(target, GdbserverProcess)
        with target.stopped() as stopped:
            assert len(stopped.cpus()) == THREADS + 1
        assert target.read(base(target), 4) == b"\x7fELF"
    assert is_free(process_guest, pid)
