"""Callbacks of a patch: they run inside of the kernel, in their order, and a failing one stops the apply."""

import time

import pytest
from cleaning import revert_all
from hooked import hooked_words, said

from oddtoc.errors import BusyError, StateError
from oddtoc.live import session as sessions
from oddtoc.live.session import Session

MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]


@pytest.fixture(params=["6.1"])
def series(request):
    return request.param


@pytest.fixture
def session(machine):
    with Session.open(f"guest:{machine.name}") as session:
        session.gc()
        words = hooked_words(session)
        yield session
        revert_all(session)
        session.settle()
        assert hooked_words(session) == words
        assert session.gc().kept == ()


@pytest.mark.parametrize(
    "series, mechanism",
    [*(("6.1", mechanism) for mechanism in MECHANISMS), ("6.12", "shared-toc"), ("7.2", "guarded/slot")],
    indirect=["series"],
)
def test_each_runs_once_and_in_order(machine, session, objects, mechanism):
    session.apply(session.plan(objects("callbacks.c"), mechanism=mechanism), timeout=30)
    assert said(machine) == ["pre_patch", "post_patch"]
    assert machine.run("cat /proc/cmdline").stdout == b"with callbacks\n"
    session.revert("callbacks", timeout=30)
    assert said(machine) == ["pre_unpatch", "post_unpatch"]
    assert machine.run("cat /proc/cmdline").stdout != b"with callbacks\n"


def test_the_function_that_is_hooked_is_as_before_in_between(session, objects):
    before = hooked_words(session)
    session.apply(session.plan(objects("callbacks.c")))
    assert hooked_words(session) == before
    session.revert("callbacks")
    assert hooked_words(session) == before


def test_one_that_fails_stops_the_apply(machine, session, objects):
    with pytest.raises(StateError, match="said -19: the patch is not applied"):
        session.apply(session.plan(objects("callbacks.c", flags=("-DSAYS=-19",))))
    assert said(machine) == ["pre_patch"]
    assert machine.run("cat /proc/cmdline").stdout != b"with callbacks\n"
    assert session.status() == []


def test_one_that_is_late_is_waited_for(machine, session, objects):
    session.apply(session.plan(objects("callbacks.c", flags=("-DSLEEPS=1000",))))
    assert said(machine) == ["pre_patch", "post_patch"]


def test_one_that_does_not_return_stops_the_apply_and_keeps_its_memory(machine, session, objects):
    with pytest.raises(StateError, match="still runs"):
        session.apply(session.plan(objects("callbacks.c", flags=("-DSLEEPS=6000",))), timeout=3)
    assert session.status() == []
    assert "in use" in session.gc().kept[0][1]
    # it sleeps for 6 seconds of the guest's, which stands still now and then
    deadline = time.monotonic() + 60
    while (heard := said(machine)) == [] and time.monotonic() < deadline:
        time.sleep(0.5)
    assert heard == ["pre_patch"]
    machine.run("sleep 0.5")
    assert session.gc().kept == ()


def test_where_nobody_comes_by_nothing_is_run(machine, session, objects):
    tuned = "/proc/sys/vm/compaction_proactiveness"
    before = machine.run(f"cat {tuned}; echo 0 > {tuned}; sleep 1").stdout.decode().split()[0]
    try:
        with pytest.raises(BusyError, match="no thread came by"):
            session.apply(session.plan(objects("callbacks.c")), timeout=2)
    finally:
        machine.run(f"echo {before} > {tuned}")
    machine.run("sleep 1.5")
    assert said(machine) == []
    assert session.status() == []


def test_a_commit_that_fails_is_followed_by_post_unpatch(machine, session, objects, monkeypatch):
    def busy(*_arguments, **_options):
        raise BusyError("somebody is in it")

    monkeypatch.setattr(sessions, "carry_out", busy)
    with pytest.raises(BusyError):
        session.apply(session.plan(objects("callbacks.c")))
    assert said(machine) == ["pre_patch", "post_unpatch"]
    assert session.status() == []


def test_only_the_new_one_speaks_when_it_replaces(machine, session, objects, saying):
    session.apply(session.plan(objects("callbacks.c")))
    assert said(machine) == ["pre_patch", "post_patch"]
    session.apply(session.plan(saying("all", cmdline="all"), replace=True))
    assert said(machine) == []
    session.apply(session.plan(objects("callbacks.c"), replace=True))
    assert said(machine) == ["pre_patch", "post_patch"]


def test_a_hook_that_a_killed_run_left_is_taken_back(machine, session, objects, monkeypatch):
    class KilledError(Exception):
        pass

    def killed(*_arguments, **_options):
        raise KilledError

    before = hooked_words(session)
    with monkeypatch.context() as patching:
        patching.setattr("oddtoc.live.callbacks.Callbacks.run", killed)
        patching.setattr("oddtoc.live.callbacks.Callbacks.__exit__", lambda *_: None)
        with pytest.raises(KilledError):
            session.apply(session.plan(objects("callbacks.c")))
    assert hooked_words(session) != before
    machine.run("sleep 1.2")
    session.apply(session.plan(objects("callbacks.c")))
    assert hooked_words(session) == before
    assert said(machine) == ["pre_patch", "post_patch"]
