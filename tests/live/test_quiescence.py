"""Nothing changes under a thread that stands in it or will return into it."""

import json
import subprocess
import sys
import time

import pytest
from cleaning import revert_all

from asleep import asleep
from oddtoc.build.compile import compile_patch
from oddtoc.errors import BusyError, MechanismError
from oddtoc.live.session import Session

KERNELS = ["6.1", "6.12", "7.2"]
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
TRACING = "/sys/kernel/tracing"
GRAPH_ON = f"cd {TRACING}; echo get_avenrun > set_ftrace_filter; echo function_graph > current_tracer"
GRAPH_OFF = f"cd {TRACING}; echo nop > current_tracer; echo > set_ftrace_filter"
RETPROBE_ON = f"cd {TRACING}; echo r:waiting get_avenrun > kprobe_events; echo 1 > events/kprobes/waiting/enable"
RETPROBE_OFF = f"cd {TRACING}; echo 0 > events/kprobes/waiting/enable; echo > kprobe_events"

every_kernel = pytest.mark.parametrize("series", KERNELS)


@pytest.fixture
def machine(guest, series):
    return guest(series)


@pytest.fixture
def session(machine):
    """Nothing is applied afterwards, and the kernel has not complained."""
    run(machine, "dmesg -c")
    with Session.open(f"guest:{machine.name}") as session:
        yield session
        revert_all(session, timeout=30)
    assert run(machine, "dmesg | grep -ciE 'oops|bug:|warning:|call trace|unable to handle' || true") == b"0\n"


def run(machine, command):
    result = machine.run(command)
    assert result.status == 0, result
    return result.stdout


def start(machine, command):
    """Start something in the background, which falls asleep."""
    run(machine, f"({command}) > /tmp/started 2>&1 < /dev/null & {asleep(command.split()[0])}")


@pytest.fixture(scope="module")
def waiting_caller(tmp_path_factory):
    """A patch of loadavg_proc_show, which calls get_avenrun."""
    folder = tmp_path_factory.mktemp("caller")
    source = folder / "caller.c"
    source.write_text(
        "#include <oddtoc.h>\nstruct seq_file;\nvoid seq_printf(struct seq_file *file, const char *format, ...);\n"
        'static int mine(struct seq_file *file, void *data)\n{\n\tseq_printf(file, "new\\n");\n\treturn 0;\n}\n'
        "ODDTOC_REPLACE(vmlinux, loadavg_proc_show, mine);\n"
    )
    return compile_patch(source, folder / "caller.o")


@every_kernel
def test_apply_waits_for_a_thread_that_sleeps_in_the_function(machine, session, objects, series):
    start(machine, "sleep 5; echo woke")
    with pytest.raises(BusyError) as caught:
        session.apply(session.plan(objects("nap.c")), timeout=1)
    assert caught.value.message.startswith("sleep (pid "), caught.value
    assert caught.value.function == "hrtimer_nanosleep"
    stack = [line.split("+")[0] for line in caught.value.stack]
    assert stack[:2] == ["__switch_to", "__schedule"] and "hrtimer_nanosleep" in stack
    assert "system_call_exception" in stack
    assert session.status() == [], "what could not be applied has left no trace"
    session.apply(session.plan(objects("nap.c")), timeout=60)
    assert run(machine, "cat /tmp/started") == b"woke\n", "it has slept to its end"
    before = time.monotonic()
    run(machine, "sleep 100")
    assert time.monotonic() - before < 60
    assert series in machine.name


@pytest.mark.parametrize(
    ("series", "mechanism"),
    [*(("6.1", mechanism) for mechanism in MECHANISMS), ("6.12", "guarded/slot"), ("7.2", "guarded/slot")],
)
def test_revert_waits_for_a_thread_that_sleeps_in_the_replacement(machine, session, objects, series, mechanism):
    session.apply(session.plan(objects("slow.c"), mechanism=mechanism))
    start(machine, "cat /proc/loadavg")
    with pytest.raises(BusyError, match=r"^cat \(pid \d+\) .* the patch slow"):
        session.revert("slow", timeout=0.2)
    assert [status.present for status in session.status()] == [True]
    session.revert("slow", timeout=60)
    assert run(machine, "cat /tmp/started").startswith(b"0.00 0.00 0.00 "), series
    assert session.status() == []


@pytest.mark.parametrize(
    ("series", "mechanism", "on", "off"),
    [
        ("6.1", "shared-toc", "true", "true"),
        ("6.1", "guarded/slot", "true", "true"),
        ("6.1", "odd-toc/cr4", "true", "true"),
        ("6.1", "guarded/slot", GRAPH_ON, GRAPH_OFF),
        *((series, "shared-toc", GRAPH_ON, GRAPH_OFF) for series in KERNELS),
        *((series, "shared-toc", RETPROBE_ON, RETPROBE_OFF) for series in KERNELS),
    ],
    ids=[
        "on the stack",
        "slot",
        "cr4",
        "graph tracer and slot",
        *(f"graph tracer-{series}" for series in KERNELS),
        *(f"kretprobe-{series}" for series in KERNELS),
    ],
)
def test_a_caller_whose_return_address_is_hidden_is_waited_for(
    machine, session, objects, waiting_caller, series, mechanism, on, off
):
    """Upstream's walk misses it: loadavg_proc_show waits for a patched get_avenrun, and is to be patched itself."""
    session.apply(session.plan(objects("slow.c"), mechanism=mechanism))
    run(machine, on)
    try:
        start(machine, "cat /proc/loadavg")
        with pytest.raises(BusyError, match=r"^cat \(pid \d+\) ") as caught:
            session.apply(session.plan(waiting_caller), timeout=0.2)
        assert caught.value.function == "loadavg_proc_show"
        session.apply(session.plan(waiting_caller), timeout=60)
        assert run(machine, "cat /tmp/started").startswith(b"0.00 0.00 0.00 "), "the old one has run to its end"
        assert run(machine, "cat /proc/loadavg") == b"new\n", series
    finally:
        run(machine, off)


@pytest.mark.parametrize("series", ["6.1"])
def test_patches_of_other_functions_do_not_wait(machine, session, objects):
    start(machine, "sleep 3")
    session.apply(session.plan(objects("cmdline.c")), timeout=0)
    session.revert("cmdline", timeout=0)


@pytest.mark.parametrize("series", ["6.1"])
@pytest.mark.parametrize("lock", ["text_mutex", "ftrace_lock", "jump_label_mutex", "kprobe_mutex"])
def test_a_kernel_that_patches_itself_is_waited_for(session, objects, lock):
    """The lock looks held for a moment, by nobody: the kernel itself does not want it meanwhile."""
    address = session.kernel.image.symbols.one(lock).address
    plan = session.plan(objects("cmdline.c"))
    session.target.write_many([(address, (1 << 60).to_bytes(8, "little"))])
    try:
        with pytest.raises(BusyError, match=f"patching itself: {lock} is held"):
            session.apply(plan, timeout=0)
    finally:
        session.target.write_many([(address, bytes(8))])
    session.apply(session.plan(objects("cmdline.c")))


@pytest.mark.parametrize("series", ["6.1"])
def test_immediate_does_not_wait_and_says_what_it_did_not_do(machine, objects, tmp_path):
    start(machine, "sleep 3; echo woke")
    target = f"guest:{machine.name}"
    path = tmp_path / "nap.o"
    path.write_bytes(objects("nap.c").content)
    answer = oddtoc("apply", str(path), "--target", target, "--immediate", "--timeout", "0")
    assert "stacks were not looked at" in answer
    answer = oddtoc("revert", "nap", "--target", target, "--immediate", "--format", "json")
    assert json.loads(answer)["stacks_checked"] is False
    with Session.open(target) as again:
        assert again.status() == []
    assert run(machine, "sleep 3; cat /tmp/started") == b"woke\n"


def oddtoc(*arguments):
    result = subprocess.run([sys.executable, "-m", "oddtoc", *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result
    return result.stdout


@pytest.mark.parametrize("series", ["6.1"])
def test_immediate_is_refused_where_a_mark_would_be_left_on_the_way(session, objects):
    """Between a marked entry and the branch r2 is odd: a thread there would keep it, or be taken for a local call."""
    with pytest.raises(MechanismError, match="--immediate"):
        session.apply(session.plan(objects("slow.c"), mechanism="odd-toc/cr4"), immediate=True)
    assert session.status() == []
    session.apply(session.plan(objects("slow.c"), mechanism="guarded/slot"), immediate=True)
    with pytest.raises(MechanismError, match="--immediate"):
        session.revert("slow", immediate=True)
    session.revert("slow")
