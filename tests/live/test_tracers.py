"""The kernel's own tracers beside a patch on the same function: all of them go on working."""

import pytest

import kernellog
from oddtoc.live.session import Session

KERNELS = ["6.1", "6.12", "7.2"]
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
PATCHED = b"this has been live patched\n"
TRACING = "/sys/kernel/tracing"

every_kernel = pytest.mark.parametrize("series", KERNELS)
every_tracer = pytest.mark.parametrize("tracer", ["function", "function_graph"])


@pytest.fixture
def machine(guest, series):
    machine = guest(series)
    machine.run("dmesg -c")
    yield machine
    machine.run(f"echo nop > {TRACING}/current_tracer; echo > {TRACING}/set_ftrace_filter; echo > {TRACING}/trace")
    assert machine.run(kernellog.SAID).stdout == b""


def run(machine, command):
    result = machine.run(command)
    assert result.status == 0, result
    return result.stdout


def turn_on(machine, tracer):
    run(machine, f"cd {TRACING}; echo cmdline_proc_show seq_putc > set_ftrace_filter; echo {tracer} > current_tracer")


def traced(machine):
    run(machine, f"echo > {TRACING}/trace; cat /proc/cmdline > /dev/null")
    return b"cmdline_proc_show" in run(machine, f"cat {TRACING}/trace")


@every_kernel
@every_tracer
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_tracer_sees_the_function_before_while_and_after_it_is_patched(machine, series, objects, tracer, mechanism):
    before = run(machine, "cat /proc/cmdline")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(objects("cmdline.c"), mechanism=mechanism))
        turn_on(machine, tracer)
        assert run(machine, "cat /proc/cmdline") == PATCHED
        assert traced(machine)
        session.revert("cmdline")
        assert run(machine, "cat /proc/cmdline") == before
        assert traced(machine)
        session.apply(session.plan(objects("cmdline.c"), mechanism=mechanism))
        assert run(machine, "cat /proc/cmdline") == PATCHED
        run(machine, f"echo nop > {TRACING}/current_tracer")
        assert run(machine, "cat /proc/cmdline") == PATCHED
        session.revert("cmdline")
    assert run(machine, "cat /proc/cmdline") == before
    assert series in machine.name
