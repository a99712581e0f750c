"""The kernel's kprobes and kretprobes beside a patch on the same function."""

import re

import pytest

import kernellog
from oddtoc.errors import ChangedError
from oddtoc.live.session import Session

KERNELS = ["6.1", "6.12", "7.2"]
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
PATCHED = b"this has been live patched\n"
TRACING = "/sys/kernel/tracing"

every_kernel = pytest.mark.parametrize("series", KERNELS)


class Machine:
    def __init__(self, guest):
        self.guest = guest
        self.name = f"guest:{guest.name}"

    def run(self, command):
        result = self.guest.run(command)
        assert result.status == 0, result
        return result.stdout

    def shown(self):
        return self.run("cat /proc/cmdline")

    def probe(self, kind, place):
        """Arm a probe: `p` at a place, `r` where the function returns."""
        self.run(f"echo '{kind}:oddtoc {place}' > {TRACING}/kprobe_events")
        self.run(f"echo 1 > {TRACING}/events/kprobes/oddtoc/enable")

    def hits(self):
        """How often the probe was hit and the function read meanwhile."""

        def count():
            return int(re.search(rb"oddtoc\s+(\d+)", self.run(f"cat {TRACING}/kprobe_profile"))[1])

        before = count()
        self.shown()
        return count() - before

    def unprobe(self):
        self.run(f"echo 0 > {TRACING}/events/kprobes/oddtoc/enable; echo > {TRACING}/kprobe_events")


@pytest.fixture
def machine(guest, series):
    machine = Machine(guest(series))
    machine.run("dmesg -c > /dev/null")
    yield machine
    machine.run(f"echo 0 > {TRACING}/events/enable; echo > {TRACING}/kprobe_events")
    assert machine.run(kernellog.SAID) == b""


@every_kernel
@pytest.mark.parametrize("kind", ["p", "r"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_probe_on_the_function_before_while_and_after_it_is_patched(machine, objects, kind, mechanism):
    before = machine.shown()
    patch = objects("cmdline.c")
    with Session.open(machine.name) as session:
        session.apply(session.plan(patch, mechanism=mechanism))
        machine.probe(kind, "cmdline_proc_show")
        assert machine.shown() == PATCHED and machine.hits() == 1
        session.revert("cmdline")
        assert machine.shown() == before and machine.hits() == 1
        session.apply(session.plan(patch, mechanism=mechanism))
        assert machine.shown() == PATCHED and machine.hits() == 1
        machine.unprobe()
        assert machine.shown() == PATCHED
        session.revert("cmdline")
    assert machine.shown() == before


@every_kernel
def test_a_probe_on_the_word_of_the_branch(machine, objects):
    """Armed before, it is in the way; armed later, the patch acts, and is taken back when the probe is gone."""
    before = machine.shown()
    patch = objects("cmdline.c")
    with Session.open(machine.name) as session:
        function = session.plan(patch, mechanism="shared-toc").record.functions[0]
        place = f"cmdline_proc_show+{function.behind - function.entry}"
        machine.probe("p", place)
        with pytest.raises(ChangedError, match="the word for the branch in cmdline_proc_show") as caught:
            session.plan(patch)
        assert "kprobe" in caught.value.advice
        machine.unprobe()
        session.apply(session.plan(patch, mechanism="shared-toc"))
        machine.probe("p", place)
        assert machine.shown() == PATCHED and machine.hits() == 1
        with pytest.raises(ChangedError, match="nothing was written"):
            session.revert("cmdline")
        assert machine.shown() == PATCHED
        machine.unprobe()
        session.revert("cmdline")
    assert machine.shown() == before
