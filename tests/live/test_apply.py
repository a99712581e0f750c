"""Apply, status and revert on real kernels that run."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cleaning import revert_all
from qemu.qmp import QMPClient

from oddtoc.build.compile import compile_patch
from oddtoc.errors import (
    AmbiguousSymbolError,
    MechanismError,
    MismatchError,
    NoSiteError,
    PatchError,
    StateError,
    SymbolError,
)
from oddtoc.image.elf import Image
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session

HERE = Path(__file__).parent
SAMPLES = HERE.parent.parent / "src/oddtoc/samples"
KERNELS = ["6.1", "6.12", "7.2"]
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
PATCHED = b"this has been live patched\n"

every_kernel = pytest.mark.parametrize("series", KERNELS)
every_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


@pytest.fixture(scope="module")
def guest(own_guest):
    """Not shared: payloads of the large code model stay in memory."""
    return own_guest


@pytest.fixture
def session(guest, series):
    with Session.open(f"guest:{guest(series).name}") as session:
        before = count_complaints(guest(series))
        yield session
        revert_all(session)
    assert count_complaints(guest(series)) == before


def count_complaints(guest):
    log = "dmesg | grep -ciE 'oops|bug:|warning:|call trace|unable to handle|bad page' || true"
    return int(guest.run(log).stdout)


def output(guest, command):
    result = guest.run(command)
    assert result.status == 0, result
    return result.stdout


@every_kernel
@every_mechanism
def test_the_basic_sample_says_so_and_the_old_text_comes_back(guest, series, session, objects, mechanism):
    machine = guest(series)
    before = output(machine, "cat /proc/cmdline")
    assert before != PATCHED
    plan = session.plan(objects("cmdline.c"), mechanism=mechanism)
    outcome = session.apply(plan)
    assert output(machine, "cat /proc/cmdline") == PATCHED
    assert [status.condition for status in session.status()] == [Condition.APPLIED]
    assert 0 < outcome.commit_pause <= outcome.longest_pause <= outcome.total_pause
    session.revert("cmdline")
    assert output(machine, "cat /proc/cmdline") == before
    assert session.status() == []


@every_kernel
@every_mechanism
@pytest.mark.usefixtures("bare_commits")
def test_the_commit_takes_three_round_trips(session, objects, mechanism):
    outcome = session.apply(session.plan(objects("cmdline.c"), mechanism=mechanism))
    assert outcome.round_trips <= 3, "one for registers and words, one for SRR0, one for writes"
    assert session.revert("cmdline").round_trips <= 3


LOOP = """
want=$(cat /proc/mounts); reads=0; wrong=0
while [ ! -e /tmp/stop ]; do
    got=$(tr '|' ' ' < /proc/mounts); reads=$((reads + 1)); [ "$got" = "$want" ] || wrong=$((wrong + 1))
done
echo $reads $wrong > /tmp/loop-{number}
"""


@every_kernel
def test_a_locally_called_function_changes_under_load(guest, series, session, objects):
    machine = guest(series)
    output(machine, "rm -f /tmp/stop /tmp/loop-*")
    for number in "12":
        script = LOOP.replace("{number}", number)
        output(
            machine, f"cat > /tmp/script-{number} <<'END'\n{script}\nEND\nsh /tmp/script-{number} > /dev/null 2>&1 &"
        )
    plain = output(machine, "cat /proc/mounts")
    for mechanism in MECHANISMS * 2:
        session.apply(session.plan(objects("putc.c"), mechanism=mechanism))
        changed = output(machine, "cat /proc/mounts")
        assert changed.startswith(b"rootfs|/|rootfs ") and changed.replace(b"|", b" ") == plain
        session.revert("putc")
        assert output(machine, "cat /proc/mounts") == plain
    output(machine, "touch /tmp/stop; until [ -s /tmp/loop-1 -a -s /tmp/loop-2 ]; do usleep 100000; done")
    for number in "12":
        reads, wrong = map(int, output(machine, f"cat /tmp/loop-{number}").split())
        assert reads > 0 and wrong == 0


@every_kernel
@every_mechanism
def test_a_module_calls_globally_and_the_kernel_locally(guest, series, session, objects, mechanism):
    """A caller in another object must get its own TOC pointer back."""
    machine = guest(series)
    module, kernel = "cat /sys/block/loop0/loop/sizelimit", "cat /sys/class/net/lo/addr_len /sys/class/net/lo/ifindex"
    output(
        machine,
        "[ -e /tmp/disk ] || { dd if=/dev/zero of=/tmp/disk bs=64k count=1 2>&1; losetup /dev/loop0 /tmp/disk; }",
    )
    before = output(machine, module), output(machine, kernel)
    session.apply(session.plan(objects("emit.c"), mechanism=mechanism))
    looped = f"for i in $(seq 20); do {module}; {kernel}; done"
    assert set(output(machine, looped).splitlines()) == {b"patched 1"}
    session.revert("emit")
    assert (output(machine, module), output(machine, kernel)) == before


@every_kernel
@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot"])
def test_bpf_programs_call_from_far_away_and_reload_nothing(guest, series, session, objects, mechanism):
    machine = guest(series)
    assert output(machine, "bpf_caller 1000") != b"0ddba115\n"
    session.apply(session.plan(objects("ktime.c"), mechanism=mechanism))
    assert output(machine, "bpf_caller 100000") == b"0ddba115\n"
    session.revert("ktime")
    assert output(machine, "bpf_caller 1000") != b"0ddba115\n"


@every_kernel
def test_odd_toc_is_refused_for_helpers_of_bpf(session, objects):
    with pytest.raises(MechanismError, match="BPF"):
        session.plan(objects("ktime.c"), mechanism="odd-toc/cr4")


@every_kernel
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("options", [{"code_model": "large"}, {"long_calls": True}], ids=str)
def test_other_code_models_run_too(guest, series, session, objects, mechanism, options):
    machine = guest(series)
    output(
        machine,
        "[ -e /tmp/disk ] || { dd if=/dev/zero of=/tmp/disk bs=64k count=1 2>&1; losetup /dev/loop0 /tmp/disk; }",
    )
    session.apply(session.plan(objects("emit.c", **options), mechanism=mechanism))
    assert output(machine, "cat /sys/block/loop0/loop/sizelimit") == b"patched 1\n"


@every_kernel
def test_another_process_lists_and_reverts(guest, series, objects):
    machine = guest(series)
    target = f"guest:{machine.name}"
    with Session.open(target) as session:
        session.apply(session.plan(objects("cmdline.c")))
    listed = json.loads(oddtoc("status", "--target", target, "--format", "json").stdout)
    assert [(one["patch"], one["condition"]) for one in listed] == [("cmdline", "applied")]
    assert listed[0]["functions"][0]["mechanism"] == "shared-toc"
    oddtoc("revert", "cmdline", "--target", target)
    assert output(machine, "cat /proc/cmdline") != PATCHED
    assert "nothing is applied" in oddtoc("status", "--target", target).stdout


def oddtoc(*arguments, status=0):
    result = subprocess.run([sys.executable, "-m", "oddtoc", *arguments], capture_output=True, text=True)
    assert result.returncode == status, result
    return result


@every_kernel
def test_nothing_is_written_that_the_dry_run_did_not_show(guest, series, session, objects, tmp_path):
    """The whole read-only part of the kernel, before and after, against the plan."""
    image = Image.open(guest(series).vmlinux)
    start, end = image.symbols.one("_stext").address, image.symbols.one("__init_begin").address

    def memory():
        return physical_memory(guest(series), start & 0x0FFFFFFFFFFFFFFF, end - start, tmp_path / "memory")

    for mechanism in MECHANISMS:
        before = memory()
        plan = session.plan(objects("cmdline.c"), mechanism=mechanism)
        assert memory() == before, "a plan writes nothing"
        session.apply(plan)
        expected = bytearray(before)
        for address, data, _ in [*plan.segments, (plan.journal_address, plan.journal_entry, "")]:
            expected[address - start : address - start + len(data)] = data
        for change in plan.changes:
            place = change.address - start
            assert int.from_bytes(expected[place : place + 4], "little") == change.old
            expected[place : place + 4] = change.new.to_bytes(4, "little")
        expected[plan.journal_address - start + 8] = 2
        assert memory() == expected
        session.revert("cmdline")


def physical_memory(guest, address, size, file):
    """Memory as QEMU itself saves it, past the debug protocol."""

    async def save():
        client = QMPClient("test")
        await client.connect(str(guest.qmp_socket))
        await client.execute("pmemsave", {"val": address, "size": size, "filename": str(file)})
        await client.disconnect()

    asyncio.run(save())
    return file.read_bytes()


@every_kernel
def test_what_can_not_be_done_is_refused(guest, series, session, tmp_path):
    def plan(function, **options):
        source = tmp_path / "refused.c"
        source.write_text(
            f"#include <oddtoc.h>\nstatic int mine(void) {{ return 0; }}\nODDTOC_REPLACE(vmlinux, {function}, mine);\n"
        )
        return session.plan(compile_patch(source, tmp_path / "refused.o"), **options)

    with pytest.raises(SymbolError, match="cmdline_proc_shaw"):
        plan("cmdline_proc_shaw")
    with pytest.raises(NoSiteError, match="no ftrace site"):
        plan("memcpy")
    with pytest.raises(StateError, match="no patch named nothing"):
        session.revert("nothing")
    other = {"6.1": "6.12", "6.12": "7.2", "7.2": "6.1"}[series]
    image = Image.open(guest(other).vmlinux)
    with pytest.raises(MismatchError, match="build id"):
        Session(session.target, image)


@every_kernel
def test_a_name_that_stands_twice_needs_a_choice(session, tmp_path):
    table = session.kernel.image.symbols
    twice = next(
        s for s in table if s.is_function and s.size and len(table.find(s.name)) == 2 and s.name.isidentifier()
    )
    first, second = table.find(twice.name)
    source = tmp_path / "twice.c"
    source.write_text(
        f"#include <oddtoc.h>\nstatic int mine(void) {{ return 0; }}\nODDTOC_REPLACE(vmlinux, {twice.name}, mine);\n"
    )
    patch = compile_patch(source, tmp_path / "twice.o")
    with pytest.raises(AmbiguousSymbolError) as caught:
        session.plan(patch)
    assert len(caught.value.candidates) == 2
    try:
        plan = session.plan(patch, which={twice.name: hex(second.address)})
    except NoSiteError as error:
        assert error.function == twice.name
    else:
        assert plan.record.functions[0].entry == second.address
    assert first.address != second.address


@every_kernel
def test_only_a_kernel_and_its_modules_are_patched(session, tmp_path):
    source = tmp_path / "program.c"
    source.write_text(
        "#include <oddtoc.h>\nstatic int mine(void) { return 0; }\nODDTOC_REPLACE(redis-server, main, mine);\n"
    )
    with pytest.raises(PatchError, match="neither vmlinux nor a module"):
        session.plan(compile_patch(source, tmp_path / "program.o"))
