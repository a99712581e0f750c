"""System resets at every single instruction of ours: like machine checks they can't be masked.

The one processor of a guest is stopped at an instruction, QEMU raises a system reset, and the kernel takes it there: it
interrupts our code on a stack of its own, runs what it takes for another processor's request, and goes back.
"""

import struct
from contextlib import contextmanager
from itertools import product

import pytest
from cleaning import revert_all

from oddtoc.live.session import Session
from oddtoc.target.guardian import Monitor

PATCHES = {"local": "putc.c", "global": "cmdline.c"}
CASES = [
    *product(["6.1"], PATCHES, ["shared-toc", "guarded/slot", "odd-toc/cr4"]),
    ("6.12", "local", "guarded/slot"),
    ("7.2", "local", "guarded/slot"),
]
COMPLAINTS = "oops|bug:|warning:|call trace|unrecoverable"
CALLS = """
dmesg -c > /dev/null; rm -f /tmp/stop /tmp/wrong; cat /proc/mounts /proc/cmdline > /tmp/want
until [ -e /tmp/stop ]; do
    cat /proc/mounts /proc/cmdline | cmp - /tmp/want || echo >> /tmp/wrong
done < /dev/null > /dev/null 2>&1 &
"""
LONGEST = 20
"""Instructions of a trampoline."""
HELPER = 5
SECONDS = 60


@pytest.fixture(scope="module")
def guests(guest_factory):
    """A guest of each series with one processor, and its monitor."""
    started = {}

    def get(series):
        if series not in started:
            guest = guest_factory(series, smp=1)
            started[series] = guest, Monitor(guest.qmp_socket)
        return started[series]

    return get


def path_of_a_call(session, function):
    """The addresses of ours that one call runs through, from its entry to the replacement, and back."""
    with session.target.stopped() as stopped:
        stepper = stopped.stepper()
        with stepper.prepared():
            stepper.stop_at(function.entry, function.behind)
            cpu = stepper.run(SECONDS, lambda: False)
            entry = range(function.entry, function.behind + 4)
            # under shared-toc the branch goes to the replacement itself: its first instruction is enough
            length = 1 if function.mechanism == "shared-toc" else LONGEST
            trampoline = range(function.target, function.target + 4 * length)
            path = []
            while (pc := stepper.registers(cpu)["pc"]) in entry or pc in trampoline:
                path.append(pc)
                stepper.step(cpu)
            back = stepper.registers(cpu)["lr"]
    rooms = session.kernel.rooms
    is_helper = back in rooms.text or back in rooms.helpers
    return path, [back + 4 * number for number in range(HELPER)] if is_helper else []


def interrupt_at(session, monitor, place, request):
    """Stop the processor at an instruction and let a system reset come there."""
    with session.target.stopped() as stopped:
        stepper = stopped.stepper()
        with stepper.prepared():
            stepper.stop_at(place)
            assert stepper.run(SECONDS, lambda: False) is not None, hex(place)
            stopped.write_many(request)
            monitor.ask("inject-nmi")
            stepper.clear()


@contextmanager
def applied(guest, *patches):
    """A session with patches, (object, mechanism) each, and its records by name."""
    with Session.open(f"guest:{guest.name}") as session:
        try:
            for patch, mechanism in patches:
                session.apply(session.plan(patch, mechanism=mechanism))
            yield session, {status.record.name: status.record for status in session.status()}
        finally:
            guest.run("touch /tmp/stop")
            revert_all(session, timeout=30)
            session.gc(lambda _spans: None)


@pytest.mark.parametrize("series, call, mechanism", CASES)
def test_at_every_instruction(guests, objects, series, call, mechanism):
    guest, monitor = guests(series)
    patch = objects(PATCHES[call])
    with applied(guest, (objects("note.c"), "shared-toc"), (patch, mechanism)) as (session, records):
        guest.run(CALLS)
        (function,), (note,) = records[patch.name].functions, records["note"].functions
        forth, back = path_of_a_call(session, function)
        assert (back != []) == (call == "local" and mechanism != "shared-toc")
        one = session.kernel.image.symbols.one
        request = [
            (one("nmi_ipi_function").address, struct.pack("<Q", note.target)),
            (one("nmi_ipi_pending_mask").address, struct.pack("<Q", 1)),
        ]
        for place in forth + back:
            interrupt_at(session, monitor, place, request)
            guest.run("true")
            assert session.target.read(records["note"].spans["data"].start, 8) == struct.pack("<Q", place)
        assert guest.run(f"cat /tmp/wrong 2> /dev/null; dmesg | grep -iE '{COMPLAINTS}'").stdout == b""
