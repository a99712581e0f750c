"""Traces of running kernels: nothing but counts and events comes of them."""

import json
import signal
import time
from contextlib import suppress

import jsonschema
import pytest

from oddtoc.errors import NoSiteError, SymbolError
from oddtoc.live.session import Session
from oddtoc.places import Span
from oddtoc.report.schemas import schema_of
from oddtoc.trace.tracer import Tracer

TRACING = "/sys/kernel/tracing"
PATCHED = b"this has been live patched\n"
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]


def run(machine, command):
    result = machine.run(command)
    assert result.status == 0, result
    return result.stdout


def load(machine, reads):
    """Read /dev/zero so many times on each of two vCPUs."""
    one = f"dd if=/dev/zero of=/dev/null bs=7 count={reads} 2>/dev/null"
    run(machine, f"{one} & {one}; wait")


def counts(tracer):
    return {name: (one.calls, one.returns) for name, one in zip(tracer.names, tracer.last.counts, strict=True)}


def code(session, *names):
    """The live words of functions, from behind what ftrace has at their entries."""
    found = {}
    for name in names:
        symbol = session.kernel.function(name)
        start = session.kernel.image.entry(symbol).behind
        found[name] = session.target.read(start, symbol.address + symbol.size - start)
    return found


@pytest.mark.parametrize("tracer", ["function", "function_graph"])
def test_calls_and_returns_are_counted_exactly_also_beside_the_kernels_own_tracer(machine, tracer):
    run(machine, f"cd {TRACING}; echo read_zero > set_ftrace_filter; echo {tracer} > current_tracer; echo > trace")
    try:
        with Session.open(f"guest:{machine.name}") as session:
            before = code(session, "read_zero", "vfs_read")
            with (traced := Tracer(session, ["read_zero", "vfs_rea[d]"], events=True, returns=True)):
                load(machine, 3000)
            assert counts(traced)["read_zero"] == (6000, 6000)
            calls, returns = counts(traced)["vfs_read"]
            # a shell may sleep in one
            assert calls >= 6000
            assert calls - returns <= 4
            assert traced.still_in_use == ()
            assert session.status() == []
            assert code(session, *before) == before
        if tracer == "function":
            assert run(machine, f"grep -c read_zero {TRACING}/trace").strip() == b"6000"
    finally:
        run(machine, f"cd {TRACING}; echo nop > current_tracer; echo > set_ftrace_filter; echo > trace")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_patch_of_the_same_function_acts_while_it_is_traced(machine, cmdline, mechanism):
    text = run(machine, "cat /proc/cmdline")
    with Session.open(f"guest:{machine.name}") as session:
        before = code(session, "cmdline_proc_show", "seq_printf")
        session.apply(session.plan(cmdline, mechanism=mechanism))
        for returns in (False, True):
            with (tracer := Tracer(session, ["cmdline_proc_show", "seq_printf"], events=True, returns=returns)):
                for _ in range(4):
                    assert run(machine, "cat /proc/cmdline") == PATCHED
            assert counts(tracer)["cmdline_proc_show"] == (4, 4 * returns)
            assert run(machine, "cat /proc/cmdline") == PATCHED
        session.revert("cmdline")
        session.gc()
        assert code(session, *before) == before
    assert run(machine, "cat /proc/cmdline") == text


def test_events_have_arguments_return_values_threads_and_times(machine, command):
    tracing = command(
        *("trace", "write_null", "read_zero", "--target", f"guest:{machine.name}"),
        *("--arguments", "--returns", "--format", "json"),
    )
    started = json.loads(tracing.stdout.readline())
    assert sorted(started["functions"]) == ["read_zero", "write_null"]
    load(machine, 10)
    time.sleep(0.5)
    tracing.send_signal(signal.SIGINT)
    output, errors = tracing.communicate(timeout=60)
    assert (tracing.returncode, errors) == (0, "")
    *events, end = [json.loads(line) for line in output.splitlines()]
    for line in (started, *events, end):
        jsonschema.validate(line, schema_of("trace"))
    assert end["event"] == "end"
    assert end["lost"] == end["missed_returns"] == 0
    writes = [
        event for event in events if event["function"] == "write_null" and event.get("arguments", [0] * 3)[2] == "0x7"
    ]
    assert len(writes) == 20
    assert {event["thread"].split("-")[0] for event in writes} <= {"dd", "sh"}
    # the kernel's write_null(file, buf, count, ppos) returns count
    for call in writes:
        back = next(
            e for e in events if e["event"] == "return" and e["number"] > call["number"] and e["frame"] == call["frame"]
        )
        assert (back["function"], back["value"]) == ("write_null", "0x7")
        assert 0 < back["seconds"] <= back["time"] - call["time"] + 1e-3


def test_a_killed_trace_is_listed_and_taken_back_by_the_next_command(machine, command, cmdline):
    target = ("--target", f"guest:{machine.name}")
    with Session.open(target[1]) as session:
        before = code(session, "vfs_read", "vfs_open", "cmdline_proc_show", "do_nanosleep")
    tracing = command("trace", "vfs_*", "cmdline_proc_show", "do_nanosleep", *target, "--returns")
    assert "functions are traced" in tracing.stderr.readline()
    load(machine, 10)
    tracing.kill()
    tracing.wait()
    text = run(machine, "cat /proc/cmdline")
    listed, _ = command("status", *target).communicate(timeout=60)
    assert "applied" in listed
    assert "the next oddtoc trace, revert or gc takes it back" in listed
    with Session.open(f"guest:{machine.name}") as session:
        # a patch goes on top of it
        session.apply(session.plan(cmdline))
        assert run(machine, "cat /proc/cmdline") == PATCHED
        assert len(session.status()) == 2
        session.revert("cmdline")
        assert run(machine, "cat /proc/cmdline") == text
        assert session.status() == []
        session.gc()
        with (tracer := Tracer(session, ["cmdline_proc_show"])):
            run(machine, "cat /proc/cmdline")
        assert counts(tracer) == {"cmdline_proc_show": (1, 0)}
        assert session.journal().contents.entries == ()
        assert code(session, *before) == before


def test_a_trace_that_was_left_is_reverted_by_its_name(guest):
    machine = guest("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        before = code(session, "vfs_read", "vfs_open")
        Tracer(session, ["vfs_*"], returns=True).__enter__()
        (status,) = session.status()
        assert code(session, *before) != before
    with Session.open(f"guest:{machine.name}") as session:
        outcome = session.revert(status.record.name)
        assert (outcome.name, outcome.changed) == (status.record.name, True)
        assert code(session, *before) == before
        assert [entry.record.name for entry in session.gc().free] == [status.record.name]


def test_who_sleeps_in_a_traced_call_is_seen_and_is_sent_home_when_the_trace_ends(machine):
    run(machine, "sleep 600 & echo $! > /tmp/early")
    with Session.open(f"guest:{machine.name}") as session:
        with (tracer := Tracer(session, ["do_nanosleep"], returns=True)):
            run(machine, "(sleep 4; echo $? > /tmp/slept) > /dev/null 2>&1 & sleep 1")
            caller = session.kernel.function("hrtimer_nanosleep")
            body = Span(caller.address + 4, caller.address + caller.size)
            run(machine, "kill $(cat /tmp/early)")
            found = session.threads.standing_in([body])
            # its return address is in no word of its stack
            assert found is not None
            assert "sleep" in found.message
        assert tracer.still_in_use == ()
        assert session.journal().contents.entries == ()
    run(machine, "until [ -s /tmp/slept ]; do sleep 0.2; done")
    assert run(machine, "cat /tmp/slept; rm /tmp/slept") == b"0\n"


def test_hundreds_of_functions_are_traced_at_once(machine):
    with Session.open(f"guest:{machine.name}") as session:
        tracer = Tracer(session, ["vfs_*", "do_*", "__schedule", "schedule", "wake_up*"], returns=True)
        assert len(tracer.names) > 300
        reasons = dict(tracer.refused)
        assert "only ran at boot" in reasons["vfs_caches_init"]
        before = code(session, "vfs_read", "schedule")
        with tracer:
            assert tracer.outcome.stops > 0
            load(machine, 100)
        called = {name: calls for name, (calls, _) in counts(tracer).items() if calls}
        assert called["vfs_read"] >= 200
        assert called["schedule"] > 0
        assert tracer.still_in_use == ()
        assert code(session, *before) == before


def test_what_cant_be_traced_is_refused_with_a_reason(guest):
    machine = guest("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        with pytest.raises(SymbolError, match="no function fits nothing_\\*"):
            Tracer(session, ["nothing_*"])
        with pytest.raises(SymbolError, match="has no function cmdline_proc_shov"):
            Tracer(session, ["cmdline_proc_shov"])
        with pytest.raises(NoSiteError, match="none of 1 functions can be traced: do_IRQ has no ftrace site"):
            Tracer(session, ["do_IRQ"])
        with suppress(NoSiteError):
            Tracer(session, ["vfs_caches_init"])
        assert session.status() == []


@pytest.mark.parametrize(
    ("events", "returns", "cost"),
    [(False, False, (12, 0)), (True, False, (56, 0)), (False, True, (61, 47)), (True, True, (101, 82))],
)
def test_what_a_call_costs(guest, events, returns, cost):
    """In instructions above those of an untraced call: on the way in, and on the way out."""
    machine = guest("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        entry = session.kernel.entries([session.kernel.function("cmdline_proc_show")])[0]
        with Tracer(session, ["cmdline_proc_show"], events=events, returns=returns):
            run(machine, "(sleep 1; cat /proc/cmdline) > /dev/null 2>&1 &")
            with session.guest.stopped() as stopped, (stepper := stopped.stepper()).prepared():
                cpu, inside = steps(stepper, entry.behind, lambda pc: pc == entry.behind + 4)
                outside = 0
                if returns:
                    stub = stepper.registers(cpu)["lr"]
                    is_kernel = session.kernel.image.symbols.at
                    cpu, outside = steps(stepper, stub, lambda pc: is_kernel(pc) is not None)
    assert (inside - 1, outside) == cost


def steps(stepper, start, is_end):
    """Wait for a vCPU to come by, and step it: which one it is, and how many steps it took."""
    stepper.stop_at(start)
    cpu = stepper.run(60, lambda: False)
    stepper.clear()
    for count in range(1000):
        if is_end(stepper.registers(cpu)["pc"]):
            return cpu, count
        stepper.step(cpu)
    raise AssertionError("it did not get there")
