"""BPF programs that trace a patched function, on the kernel that has BPF trampolines for Power (7.2)."""

import re
import subprocess
from pathlib import Path

import pytest

import kernellog
from oddtoc.build.compile import tool
from oddtoc.errors import MechanismError
from oddtoc.live.session import Session

SERIES = "7.2"
PATCHED = b"this has been live patched\n"
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]


class Tracer:
    """bpf_tracer on cmdline_proc_show."""

    def __init__(self, guest, kind):
        self.guest = guest
        output = "/tmp/bpf_tracer"
        self.run("echo 1 > /proc/sys/kernel/bpf_stats_enabled; mkdir -p /tmp")
        self.run(
            f"rm -f {output}; (bpf_tracer cmdline_proc_show {kind} </dev/null >{output} 2>&1 &) ; "
            f"for n in $(seq 100); do [ -s {output} ] && break; usleep 100000; done"
        )
        self.number = int(self.run(f"cat {output}"))
        self.process = int(self.run("pidof bpf_tracer"))

    def run(self, command):
        result = self.guest.run(command)
        assert result.status == 0, result
        return result.stdout

    def hits(self):
        """How often the program ran while the function ran once."""

        def count():
            info = self.run(f"cat /proc/{self.process}/fdinfo/{self.number}")
            return int(re.search(rb"run_cnt:\s+(\d+)", info)[1])

        before = count()
        self.run("cat /proc/cmdline")
        return count() - before

    def detach(self):
        self.run(f"kill {self.process}; while kill -0 {self.process} 2>/dev/null; do usleep 100000; done")


@pytest.fixture(scope="module")
def traced_guest(guest_factory, tmp_path_factory):
    program = tmp_path_factory.mktemp("programs") / "bpf_tracer"
    source = Path(__file__).parent / "programs/bpf_tracer.c"
    subprocess.run([tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    return guest_factory(SERIES, files={"bin/bpf_tracer": program})


@pytest.fixture
def machine(traced_guest):
    traced_guest.run("dmesg -c > /dev/null")
    yield traced_guest
    assert traced_guest.run(kernellog.SAID).stdout == b""


@pytest.mark.parametrize("kind", ["fentry", "fexit"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_bpf_program_before_while_and_after_the_function_is_patched(machine, objects, kind, mechanism):
    before = machine.run("cat /proc/cmdline").stdout
    patch = objects("cmdline.c")
    with Session.open(f"guest:{machine.name}") as session:
        if mechanism == "odd-toc/cr4":
            tracer = Tracer(machine, kind)
            with pytest.raises(MechanismError, match="a BPF trampoline calls it from beyond 2 GiB"):
                session.plan(patch, mechanism=mechanism)
            tracer.detach()
            session.plan(patch, mechanism=mechanism)
            return
        session.apply(session.plan(patch, mechanism=mechanism))
        tracer = Tracer(machine, kind)
        assert machine.run("cat /proc/cmdline").stdout == PATCHED and tracer.hits() == 1
        session.revert("cmdline")
        assert machine.run("cat /proc/cmdline").stdout == before and tracer.hits() == 1
        session.apply(session.plan(patch, mechanism=mechanism))
        assert machine.run("cat /proc/cmdline").stdout == PATCHED and tracer.hits() == 1
        tracer.detach()
        assert machine.run("cat /proc/cmdline").stdout == PATCHED
        session.revert("cmdline")
    assert machine.run("cat /proc/cmdline").stdout == before
