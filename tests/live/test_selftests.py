"""Cases of the kernel's own livepatch selftests that no other test here has; docs/selftests.md has all of them."""

import pytest
from cleaning import revert_all

from oddtoc.errors import StateError
from oddtoc.live.session import Session


@pytest.fixture(params=["6.1"])
def series(request):
    return request.param


@pytest.fixture
def session(machine):
    with Session.open(f"guest:{machine.name}") as session:
        yield session
        revert_all(session)
        assert session.gc().kept == ()


@pytest.fixture
def apply(session, objects):
    def run(source, *flags, name=None, **options):
        session.apply(session.plan(objects(source, flags=flags, name=name), **options), timeout=30)

    return run


def said(machine):
    lines = machine.run("dmesg -c | grep callback: || true").stdout.decode().splitlines()
    return [line.partition("callback: ")[2] for line in lines]


def loglevel(machine):
    return machine.run("cut -f1 /proc/sys/kernel/printk").stdout.decode().strip()


@pytest.mark.parametrize("series", ["6.1", "7.2"], indirect=True)
def test_syscall_getpid_changes_while_it_is_hammered(machine, session, apply):
    machine.run("rm -f /tmp/enough; for n in 1 2 3 4; do getpid_caller > /tmp/pids-$n & done; sleep 1")
    for mechanism in ("shared-toc", "guarded/slot"):
        apply("getpid.c", mechanism=mechanism)
        machine.run("sleep 0.5")
        session.revert("getpid", timeout=30)
    machine.run("touch /tmp/enough; until [ $(cat /tmp/pids-* | wc -l) = 4 ]; do usleep 100000; done")
    for line in machine.run("cat /tmp/pids-*").stdout.decode().splitlines():
        old, new, wrong = map(int, line.split())
        assert old > 0 and new > 0 and wrong == 0


@pytest.mark.parametrize("series", ["6.1", "6.12", "7.2"], indirect=True)
def test_ftrace_enabled_makes_no_difference(machine, apply, session):
    switch = "/proc/sys/kernel/ftrace_enabled"
    before = machine.run("cat /proc/cmdline").stdout
    machine.run(f"echo 0 > {switch}")
    try:
        apply("cmdline.c")
        assert machine.run("cat /proc/cmdline").stdout == b"this has been live patched\n"
        machine.run(f"echo 1 > {switch}; echo 0 > {switch}")
        assert machine.run("cat /proc/cmdline").stdout == b"this has been live patched\n"
    finally:
        machine.run(f"echo 1 > {switch}")
    assert machine.run("cat /proc/cmdline").stdout == b"this has been live patched\n"
    session.revert("cmdline")
    assert machine.run("cat /proc/cmdline").stdout == before


def test_callbacks_multiple_livepatches(machine, session, apply):
    """Each patch has callbacks of its own, also the one that the other covers."""
    apply("callbacks.c")
    apply("loglevel.c")
    assert said(machine) == ["pre_patch", "post_patch", "1 makes space", "1 changes"]
    session.revert("callbacks", timeout=30)
    session.revert("loglevel", timeout=30)
    assert said(machine) == ["pre_unpatch", "post_unpatch", "1 restores", "1 frees"]


def test_state_system_state_modification(machine, session, apply):
    before = loglevel(machine)
    apply("loglevel.c")
    assert loglevel(machine) == "6" != before
    session.revert("loglevel", timeout=30)
    assert loglevel(machine) == before
    assert said(machine) == ["1 makes space", "1 changes", "1 restores", "1 frees"]


def test_state_taken_over_by_cumulative_patches(machine, session, apply):
    before = loglevel(machine)
    apply("loglevel.c")
    apply("loglevel.c", "-DVERSION=2", name="two", replace=True)
    apply("loglevel.c", "-DVERSION=2", name="three", replace=True)
    assert loglevel(machine) == "6"
    assert said(machine) == ["1 makes space", "1 changes"] + ["2 finds space", "2 takes over"] * 2
    with pytest.raises(StateError, match="knows version 1 of state 0x1091, and three has made 2"):
        apply("loglevel.c", replace=True)
    session.revert("three", timeout=30)
    assert loglevel(machine) == before
    assert said(machine) == ["2 restores", "2 frees"]
