"""Cumulative patches: one takes the place of all that is applied, in one stop."""

import json
import subprocess
import sys

import pytest
from cleaning import revert_all

from oddtoc.errors import StateError
from oddtoc.live import session as sessions
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session

FILES = ("cmdline", "version")


@pytest.fixture(params=["6.1"])
def series(request):
    return request.param


@pytest.fixture
def session(guest, series):
    with Session.open(f"guest:{guest(series).name}") as session:
        originals = shown(guest(series))
        yield session
        revert_all(session)
        assert shown(guest(series)) == originals


def shown(machine):
    lines = machine.run("cat /proc/cmdline /proc/version").stdout.decode().splitlines()
    assert len(lines) == len(FILES)
    return lines


@pytest.mark.parametrize("series", ["6.1", "6.12", "7.2"], indirect=True)
@pytest.mark.usefixtures("bare_commits")
def test_a_set_is_swapped_in_one_stop(guest, series, session, saying, monkeypatch):
    machine = guest(series)
    version = shown(machine)[1]
    session.apply(session.plan(saying("one", cmdline="one", version="one"), mechanism="guarded/slot"))
    session.apply(session.plan(saying("two", cmdline="two"), mechanism="odd-toc/cr4"))
    plan = session.plan(saying("all", cmdline="all"), replace=True)
    assert plan.replaced == ("one", "two")
    commits = []
    carry_out = sessions.carry_out
    monkeypatch.setattr(
        sessions, "carry_out", lambda *a, **o: commits.append(words(session, plan)) or carry_out(*a, **o)
    )
    before = words(session, plan)
    outcome = session.apply(plan)
    assert commits == [before], "there is one commit, and no word of code changes before it"
    assert outcome.round_trips <= 3
    assert shown(machine) == ["all", version]
    assert [(s.record.name, s.condition) for s in session.status()] == [("all", Condition.APPLIED)]
    with pytest.raises(StateError, match="no patch named one"):
        session.revert("one")
    session.revert("all")


def words(session, plan):
    return session.target.read_many([(c.address, 4) for f in plan.commit.functions for c in f.changes])


def test_a_patch_of_the_same_name_may_replace_its_predecessor(guest, series, session, saying):
    session.apply(session.plan(saying("fix", cmdline="1", version="1"), mechanism="guarded/slot"))
    session.apply(session.plan(saying("fix", cmdline="2", version="2"), replace=True))
    assert shown(guest(series)) == ["2", "2"]
    assert [s.condition for s in session.status()] == [Condition.APPLIED]
    assert not session.apply(session.plan(saying("fix", cmdline="2", version="2"), replace=True)).changed
    session.revert("fix")


def test_one_that_is_applied_already_can_still_become_the_only_one(guest, series, session, saying):
    version = shown(guest(series))[1]
    session.apply(session.plan(saying("one", cmdline="one", version="one")))
    session.apply(session.plan(saying("two", cmdline="two"), mechanism="guarded/slot"))
    session.apply(session.plan(saying("three", cmdline="three")))
    outcome = session.apply(session.plan(saying("two", cmdline="two"), replace=True))
    assert outcome.changed
    assert shown(guest(series)) == ["two", version]
    assert [s.record.name for s in session.status()] == ["two"]


def test_patches_stack_on_one_that_replaced_others(guest, series, session, saying):
    session.apply(session.plan(saying("one", cmdline="one")))
    session.apply(session.plan(saying("all", cmdline="all"), replace=True))
    session.apply(session.plan(saying("two", cmdline="two")))
    assert not session.apply(session.plan(saying("all", cmdline="all"))).changed
    assert shown(guest(series))[0] == "two"
    session.revert("all")
    assert shown(guest(series))[0] == "two"
    session.revert("two")


def test_the_command_says_what_it_replaces(guest, series, saying, tmp_path):
    target = f"guest:{guest(series).name}"
    for name in ("old", "new"):
        (tmp_path / f"{name}.o").write_bytes(saying(name, cmdline=name).content)

    def oddtoc(*arguments):
        result = subprocess.run([sys.executable, "-m", "oddtoc", *arguments], capture_output=True, text=True)
        assert result.returncode == 0, result
        return result.stdout

    oddtoc("apply", str(tmp_path / "old.o"), "--target", target)
    again = oddtoc("apply", str(tmp_path / "old.o"), "--target", target)
    assert "applied to" in again and "already" in again
    planned = oddtoc("apply", str(tmp_path / "new.o"), "--target", target, "--replace", "--dry-run")
    assert "that of old: reverted" in planned
    swapped = oddtoc("apply", str(tmp_path / "new.o"), "--target", target, "--replace", "--format", "json")
    assert json.loads(swapped)["replaced"] == ["old"]
    again = json.loads(oddtoc("apply", str(tmp_path / "new.o"), "--target", target, "--replace", "--format", "json"))
    assert again["changed"] is False
    oddtoc("revert", "new", "--target", target)
