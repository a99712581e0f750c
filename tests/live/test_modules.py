"""Functions of loaded modules are replaced, for callers in the kernel, in other modules and inside of the module."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cleaning import revert_all

from asleep import asleep
from oddtoc.errors import BusyError, GuestError, MismatchError, NotLoadedError, PatchError, SymbolError, TargetError
from oddtoc.isa import NOP
from oddtoc.live.journal import Condition
from oddtoc.live.loading import watch
from oddtoc.live.session import Session

KERNELS = ["6.1", "6.12", "7.2"]
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
MOUNT = "mount -t vfat -o loop /fat.img /mnt"
ISYNC = 0x4C00012C
PLAIN, PATCHED = b"61 2020-01-01", b"4711 2001-09-09"

every_kernel = pytest.mark.parametrize("series", KERNELS)


def run(machine, script):
    result = machine.run(script, timeout=90)
    assert result.status == 0, result
    return result.stdout


def shown(machine):
    """How many blocks the file system says that it has, and of which day its file is."""
    run(machine, f"umount /mnt; {MOUNT}")
    asked = "echo $(stat -f -c %b /mnt) $(stat -c %y /mnt/FILE | cut -c1-10); cat /mnt/FILE"
    return run(machine, asked).removesuffix(b"\nhello\n")


@pytest.fixture
def mounted(machine):
    run(machine, f"mkdir -p /mnt; {MOUNT}; rm -f /tmp/stop")
    yield machine
    run(machine, "touch /tmp/stop; until umount /mnt; do usleep 100000; done")


@pytest.fixture
def session(mounted):
    with Session.open(f"guest:{mounted.name}") as session:
        yield session
        revert_all(session)


def applied(session, patch, **options):
    session.prepare(patch)
    return session.apply(session.plan(patch, **options))


@every_kernel
def test_callers_in_the_kernel_in_another_module_and_inside(mounted, session, objects):
    """The kernel calls fat_statfs by pointer, vfat calls fat_build_inode, fat itself fat_time_fat2unix."""
    assert shown(mounted) == PLAIN
    for mechanism in MECHANISMS:
        run(mounted, "dmesg -c")
        applied(session, objects("fat.c"), mechanism=mechanism)
        assert [status.condition for status in session.status()] == [Condition.APPLIED]
        assert {shown(mounted), shown(mounted)} == {PATCHED}, mechanism
        assert b"built by the patch: 2\n" in run(mounted, "dmesg")
        session.revert("fat")
        assert shown(mounted) == PLAIN, mechanism
    assert session.status() == []
    assert [entry.record.name for entry in session.gc().free].count("fat") == len(MECHANISMS)


@every_kernel
def test_under_load(mounted, session, objects):
    """Whoever asks meanwhile gets the old answer or the new one."""
    loop = "while [ ! -e /tmp/stop ]; do stat -f -c %b /mnt || echo failed; done > /tmp/blocks-{0} 2>&1"
    loops = "\n".join(f"({loop}; touch /tmp/ended-{{0}}) &".format(number) for number in "12")
    run(mounted, f"rm -f /tmp/ended-*\n{loops}")
    for mechanism in MECHANISMS:
        applied(session, objects("fat.c"), mechanism=mechanism)
        assert run(mounted, "stat -f -c %b /mnt") == b"4711\n"
        session.revert("fat")
        assert run(mounted, "stat -f -c %b /mnt") == b"61\n"
    run(mounted, "touch /tmp/stop; until [ -e /tmp/ended-1 -a -e /tmp/ended-2 ]; do usleep 100000; done")
    counts = run(mounted, "sort /tmp/blocks-1 /tmp/blocks-2 | uniq -c").split()
    assert sorted(counts[1::2]) == [b"4711", b"61"] and min(map(int, counts[::2])) > 5


@every_kernel
@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot"])
def test_who_sleeps_in_a_module_is_waited_for(mounted, session, objects, mechanism):
    """The old fat_statfs waits for a patched fat_count_free_clusters: behind a return helper, with guarded/slot."""
    applied(session, objects("fat_nap.c"), mechanism=mechanism)
    run(mounted, f"umount /mnt; {MOUNT}; rm -f /tmp/blocks; (stat -f -c %b /mnt > /tmp/blocks 2>&1) & {asleep('stat')}")
    with pytest.raises(BusyError, match=r"^stat \(pid \d+\) .* in fat_statfs, at fat_statfs\+0x\w+ \[fat\]") as caught:
        applied_within(session, objects("fat.c"), 0.2)
    assert caught.value.function == "fat_statfs"
    with pytest.raises(BusyError, match="the patch fat_nap"):
        session.revert("fat_nap", timeout=0.2)
    applied_within(session, objects("fat.c"), 60)
    assert run(mounted, "cat /tmp/blocks") == b"61\n", "the old one has run to its end"
    assert run(mounted, "stat -f -c %b /mnt") == b"4711\n"


def applied_within(session, patch, timeout):
    session.prepare(patch)
    return session.apply(session.plan(patch), timeout=timeout)


@every_kernel
def test_a_module_that_is_removed_and_loaded_again(mounted, session, objects):
    applied(session, objects("fat.c"))
    before = run(mounted, "cat /sys/module/fat/sections/.text")
    run(mounted, "umount /mnt; rmmod vfat fat")
    try:
        assert [status.condition for status in session.status()] == [Condition.GONE]
        with pytest.raises(NotLoadedError, match="fat is not loaded"):
            session.plan(objects("fat.c"))
        # something else takes the place
        run(mounted, "insmod /vfat.ko 2>&1 || insmod /fat.ko && insmod /vfat.ko")
        (status,) = session.status()
        same_place = run(mounted, "cat /sys/module/fat/sections/.text") == before
        assert status.condition in ((Condition.ABSENT, Condition.GONE) if same_place else (Condition.GONE,))
    finally:
        run(mounted, f"insmod /fat.ko 2>&1; insmod /vfat.ko 2>&1; {MOUNT}")
    assert shown(mounted) == PLAIN
    applied(session, objects("fat.c"))
    assert shown(mounted) == PATCHED
    session.revert("fat")
    assert shown(mounted) == PLAIN
    assert {entry.record.name for entry in session.gc().free} >= {"fat"}


@pytest.mark.parametrize("series", ["6.1"])
def test_a_revert_of_what_has_gone_writes_nothing_but_its_record(mounted, session, objects):
    applied(session, objects("fat.c"))
    run(mounted, "umount /mnt; rmmod vfat fat")
    try:
        written = []
        write_many = session.target.write_many
        session.target.write_many = lambda writes: (written.extend(writes), write_many(writes))
        assert not session.revert("fat").changed
        session.gc()
        rooms = (session.running.journal, *session.running.payloads)
        assert written and all(any(address in room for room in rooms) for address, _ in written)
        assert session.status() == [] and session.journal().contents.entries == ()
    finally:
        run(mounted, f"insmod /fat.ko; insmod /vfat.ko; {MOUNT}")


@every_kernel
def test_a_module_that_comes_is_patched_before_its_code_runs(mounted, objects, tmp_path):
    """Its init function calls fat_cache_init."""
    path = tmp_path / "fat_init.o"
    path.write_bytes(objects("fat_init.c").content)
    run(mounted, "umount /mnt; rmmod vfat fat")
    try:
        command = [sys.executable, "-m", "oddtoc", "watch", str(path), "--target", f"guest:{mounted.name}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*command, "--wait", "60"], **pipes) as watching:
            assert watching.stderr.readline() == "waiting for the module fat\n"
            # another one is not what is waited for
            run(mounted, "insmod /dummy.ko; rmmod dummy; insmod /fat.ko")
            told, complaint = watching.communicate(timeout=60)
            assert "applied fat_init" in told, complaint
        assert run(mounted, "dmesg").count(b"fat begins in the patch") == 1
        with Session.open(f"guest:{mounted.name}") as session:
            assert [status.condition for status in session.status()] == [Condition.APPLIED]
            session.revert("fat_init")
            run(mounted, "rmmod fat")
            with pytest.raises(TargetError, match=r"was not loaded within 0\.2 s"):
                watch(session, objects("fat_init.c"), wait=0.2, timeout=10)
        run(mounted, "insmod /fat.ko")
        assert run(mounted, "dmesg").count(b"fat begins in the patch") == 1
    finally:
        run(mounted, f"insmod /fat.ko 2>&1; insmod /vfat.ko 2>&1; {MOUNT}")


@every_kernel
def test_the_image_is_where_the_kernel_says(mounted, session):
    """Sections, against what sysfs says; words, against memory."""
    module = session.kernel.subject(["fat.ko"])
    sections = "for s in /sys/module/fat/sections/.*; do [ -f $s ] && echo ${s##*/} $(cat $s); done"
    told = dict(line.split() for line in run(mounted, sections).decode().splitlines())
    placed = {s.name: s.address for s in module.image.sections if s.name in told and s.address >> 60}
    assert {".text", ".data", ".toc", ".rodata", ".init.text"} <= placed.keys()
    assert {name: int(told[name], 16) for name in placed} == placed
    assert module.toc == (int(told[".toc"], 16) & ~0xFF) + 0x8000
    text = module.image.section(".text")
    memory = np.frombuffer(session.target.read_many([(text.address, text.size)])[0], "<u4")
    expected = module.image.words(text.address, len(memory))
    differing = np.flatnonzero(memory != expected)
    sites = (module.image.sites - np.uint64(text.address)) // np.uint64(4)
    at_site = np.isin(differing, [sites, sites - np.uint64(1)])
    # elsewhere the kernel chose at boot: jump labels (b for nop), barriers, access to user memory
    chosen = differing[~at_site]
    assert set(expected[chosen]) <= {NOP, ISYNC} and set(memory[chosen] >> 26) <= {18, 24, 31}
    assert len(chosen) < len(memory) // 100


@pytest.mark.parametrize("series", ["6.1"])
def test_what_can_not_be_patched_is_refused(session):
    kernel = session.kernel
    with pytest.raises(NotLoadedError, match="dummy is not loaded"):
        kernel.subject(["dummy.ko"])
    with pytest.raises(PatchError, match="neither vmlinux nor a module") as caught:
        kernel.subject(["fat"])
    assert "fat.ko" in caught.value.advice
    with pytest.raises(PatchError, match=r"fat\.ko and vmlinux"):
        kernel.subject(["fat.ko", "vmlinux"])
    module = kernel.subject(["fat.ko"])
    with pytest.raises(SymbolError, match="no function nothing_like_it"):
        module.function("nothing_like_it")
    with pytest.raises(SymbolError, match="neither fat nor the kernel has"):
        module.resolve("nothing_like_it")
    assert kernel.subject(["vfat.ko"]).resolve("fat_build_inode").address == module.function("fat_build_inode").address


@pytest.mark.parametrize("series", ["6.1"])
def test_the_file_of_a_module(mounted, objects, kernels):
    """It has to be there, and that of the module that is loaded."""
    other = Path(kernels["6.12"].modules)
    with (
        Session.open(f"guest:{mounted.name}", modules=other) as session,
        pytest.raises(MismatchError, match=r"fat\.ko is not the module"),
    ):
        session.plan(objects("fat.c"))
    with Session.open(str(mounted.debug_socket), vmlinux=mounted.vmlinux) as session:
        with pytest.raises(GuestError, match="no file of the module fat") as caught:
            session.plan(objects("fat.c"))
        assert "--modules" in caught.value.advice


@pytest.mark.parametrize("series", ["6.1"])
def test_commands(mounted, objects, tmp_path):
    path = tmp_path / "fat.o"
    path.write_bytes(objects("fat.c").content)
    target = ["--target", f"guest:{mounted.name}"]
    assert "0 errors" in oddtoc("check", str(path), *target)
    assert "fat_statfs" in oddtoc("apply", str(path), *target)
    assert "branch of fat_statfs" in oddtoc("revert", "fat", "--dry-run", *target)
    run(mounted, "umount /mnt; rmmod vfat fat")
    (told,) = json.loads(oddtoc("status", "--format", "json", *target))
    run(mounted, f"insmod /fat.ko; insmod /vfat.ko; {MOUNT}")
    assert (told["condition"], told["module"]) == ("gone with its module", "fat")
    oddtoc("revert", "fat", *target)
    oddtoc("gc", *target)


def oddtoc(*arguments):
    result = subprocess.run([sys.executable, "-m", "oddtoc", *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result
    return result.stdout
