"""Callbacks of a patch that changes a module: what has them run is a part of the patch that hooks the kernel proper."""

import subprocess
import sys

import pytest
from cleaning import revert_all
from hooked import HOOKED, hooked_words, said

from oddtoc.errors import BusyError, PatchError, StateError
from oddtoc.live.journal import Condition
from oddtoc.live.loading import watch
from oddtoc.live.session import Session

MOUNT = "umount /mnt 2>/dev/null; mount -t vfat -o loop /fat.img /mnt"
BLOCKS = "stat -f -c %b /mnt"
ARRIVED, LEFT = ["pre_patch 1, 3653", "post_patch 2"], ["pre_unpatch 3", "post_unpatch 4"]


@pytest.fixture(params=["6.1"])
def series(request):
    return request.param


@pytest.fixture
def mounted(machine):
    machine.run(f"mkdir -p /mnt; insmod /fat.ko 2>/dev/null; insmod /vfat.ko 2>/dev/null; {MOUNT}")
    yield machine
    machine.run("umount /mnt")


@pytest.fixture
def session(mounted):
    with Session.open(f"guest:{mounted.name}") as session:
        words = hooked_words(session)
        yield session
        revert_all(session)
        session.settle()
        assert hooked_words(session) == words
        assert session.gc().kept == ()


def applied(session, patch, **options):
    session.prepare(patch)
    return session.apply(session.plan(patch, **options), timeout=30)


@pytest.mark.parametrize(
    "series, mechanism",
    [("6.1", "shared-toc"), ("6.1", "guarded/slot"), ("6.1", "odd-toc/cr4"), ("6.12", "shared-toc"),
     ("7.2", "guarded/slot")],
    indirect=["series"],
)  # fmt: skip
def test_each_runs_once_and_in_order(machine, session, objects, mechanism):
    before = hooked_words(session)
    applied(session, objects("fat_callbacks.c"), mechanism=mechanism)
    assert said(machine) == ARRIVED and hooked_words(session) == before
    assert machine.run(BLOCKS).stdout == b"4702\n"
    # what has them run is not given back as long as they may have to
    assert "fat_callbacks uses" in dict((r.name, why) for r, why in session.gc().kept)["callbacks of fat_callbacks"]
    assert [status.record.name for status in session.status()] == ["fat_callbacks"]
    session.revert("fat_callbacks", timeout=30)
    assert said(machine) == LEFT and hooked_words(session) == before
    assert machine.run(BLOCKS).stdout == b"61\n"
    assert {e.record.name for e in session.gc().free} >= {"fat_callbacks", "callbacks of fat_callbacks"}


def test_one_that_fails_stops_the_apply(machine, session, objects):
    with pytest.raises(StateError, match="said -19: the patch is not applied"):
        applied(session, objects("fat_callbacks.c", flags=("-DSAYS=-19",)))
    assert said(machine) == ARRIVED[:1] and session.status() == []
    assert machine.run(BLOCKS).stdout == b"61\n"


def test_a_commit_that_fails_is_followed_by_post_unpatch(machine, session, objects, monkeypatch):
    def busy(*_arguments, **_options):
        raise BusyError("somebody is in it")

    monkeypatch.setattr("oddtoc.live.session.carry_out", busy)
    with pytest.raises(BusyError):
        applied(session, objects("fat_callbacks.c"))
    assert said(machine) == [ARRIVED[0], "post_unpatch 2"] and session.status() == []


def test_those_of_a_module_that_is_gone_do_not_run(machine, session, objects):
    applied(session, objects("fat_callbacks.c"))
    said(machine)
    machine.run("umount /mnt; rmmod vfat fat")
    try:
        assert [status.condition for status in session.status()] == [Condition.GONE]
        assert not session.revert("fat_callbacks").changed
        assert said(machine) == []
    finally:
        machine.run(f"insmod /fat.ko; insmod /vfat.ko; {MOUNT}")


def test_another_run_reverts_it(mounted, objects):
    """All that is needed for that is in the target."""
    with Session.open(f"guest:{mounted.name}") as session:
        applied(session, objects("fat_callbacks.c"))
    command = [sys.executable, "-m", "oddtoc", "revert", "fat_callbacks", "--target", f"guest:{mounted.name}"]
    shown = subprocess.run([*command, "--dry-run"], check=True, capture_output=True, text=True).stdout
    assert "pre_unpatch at" in shown and f"branch of {HOOKED}" in shown
    subprocess.run(command, check=True, capture_output=True)
    assert said(mounted) == [*ARRIVED, *LEFT]


def test_they_are_refused_for_a_module_that_is_being_loaded(machine, session, objects):
    machine.run("umount /mnt; rmmod vfat fat")
    try:
        with pytest.raises(PatchError, match="can't run before the code of the module does") as caught:
            watch(session, objects("fat_callbacks.c"), wait=0.2, timeout=10)
        assert "oddtoc apply" in caught.value.advice
    finally:
        machine.run(f"insmod /fat.ko; insmod /vfat.ko; {MOUNT}")
