"""oddtoc ended after every packet of apply and revert: the guest goes on, status is true, the next command completes.

Once without and once with a look at all stacks, which reads a lot. All packets that write and what is around them, and
some of the reads, with the look at stacks those of the commit; ODDTOC_SOAK=1 takes all of them (`make soak`).
"""

import os
import statistics
import time

import pytest
from killing import end_after, packets, packets_that_matter

from oddtoc.image.elf import Image
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session
from oddtoc.target.guardian import Monitor
from oddtoc.target.qemu import QemuTarget

ALL = bool(os.environ.get("ODDTOC_SOAK"))
HOPELESS = 30
"""Seconds; a guardian needs a tenth of one."""
FILES = {"cmdline_proc_show": "/proc/cmdline", "version_proc_show": "/proc/version"}


class Machine:
    """A guest, and what the tests do with it."""

    def __init__(self, guest, patch):
        self.guest = guest
        self.patch = patch
        self.monitor = Monitor(guest.qmp_socket)
        self.image = Image.open(guest.vmlinux)
        self.before = self.shown()
        self.waits = []
        self.immediate = True

    def session(self):
        return Session(QemuTarget.connect(self.guest.debug_socket), self.image)

    def shown(self):
        lines = self.guest.run(f"cat {' '.join(FILES.values())}").stdout.decode().splitlines()
        return dict(zip(FILES, lines, strict=True))

    def apply(self):
        with self.session() as session:
            session.apply(session.plan(self.patch, mechanism="shared-toc"), immediate=self.immediate)

    def revert(self):
        with self.session() as session:
            session.revert(self.patch.name, immediate=self.immediate)

    def goes_on(self):
        """Nobody but the guardian helps it: seconds until it does."""
        started = time.monotonic()
        while self.monitor.ask("query-status")["status"] != "running":
            assert time.monotonic() - started < HOPELESS
            time.sleep(0.005)
        self.waits.append(time.monotonic() - started)

    def check_status(self):
        """What status says of each function is what the guest shows. Gives whether any is patched."""
        shown = self.shown()
        new = {name for name, text in shown.items() if text != self.before[name]}
        assert all(shown[name] == "patched" for name in new)
        with self.session() as session:
            found = [status for status in session.status() if status.record.name == self.patch.name]
        says = {f.name: condition for status in found for f, condition in status.functions if condition.in_force}
        assert {name for name, condition in says.items() if condition is Condition.APPLIED} == new == set(says)
        assert len(new) in (0, len(FILES)), "the guardian undoes a commit that was cut in the middle"
        return bool(new)

    def clean(self):
        """Give back what was written, so that every round sends the same packets. The payload has no sleeping code."""
        with self.session() as session:
            assert not [status for status in session.status() if status.present]
            spans = [session.kernel.rooms.journal, *session.journal().spans]
            writes = []
            for span in spans:
                size = min(span.size, 1 << 14)
                memory = session.target.read(span.start, size).rstrip(b"\0")
                writes.append((span.start, bytes(len(memory))))
            session.target.write_many([write for write in writes if write[1]])


@pytest.fixture(scope="module")
def machine(guest_factory, saying):
    return Machine(guest_factory("6.1"), saying("both", cmdline="patched", version="patched"))


def numbers_of(operation, step, commit_only):
    sent = packets(operation)
    return range(len(sent) + 1) if ALL else packets_that_matter(sent, step, commit_only)


@pytest.mark.parametrize("immediate, step", [(True, 15), (False, 2000)])
def test_apply_and_revert(machine, immediate, step):
    machine.immediate = immediate
    machine.waits.clear()
    to_apply = numbers_of(machine.apply, step, not immediate)
    to_revert = numbers_of(machine.revert, step, not immediate)
    machine.clean()
    # what completes it does not look at stacks, to save time
    for number in sorted({*to_apply, *to_revert}):
        if number in to_apply:
            done, how = end_after(number, machine.apply)
            machine.goes_on()
            machine.check_status()
            machine.immediate = True
            if not done:
                machine.apply()
        else:
            machine.apply()
        machine.immediate = immediate
        assert set(machine.shown().values()) == {"patched"}, number
        if number in to_revert:
            done, how = end_after(number, machine.revert)
            machine.goes_on()
            machine.immediate = True
            if machine.check_status():
                machine.revert()
        else:
            machine.revert()
        machine.immediate = immediate
        assert machine.shown() == machine.before, (number, how)
        machine.clean()
    waits = sorted(machine.waits)
    print(f"\n{len(to_apply)} ends of apply, {len(to_revert)} of revert; the guest went on after", end=" ")
    print(f"{statistics.median(waits):.3f} s (median), {waits[-1]:.3f} s (longest)")
