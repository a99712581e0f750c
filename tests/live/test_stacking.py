"""Several patches on one function: the right one is on top, in whatever order they come off."""

from itertools import permutations, product

import pytest
from cleaning import revert_all

from oddtoc.errors import StateError
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session

KERNELS = ["6.1", "6.12", "7.2"]
MECHANISMS = ["shared-toc", "guarded/slot", "odd-toc/cr4"]
NAMES = ("one", "two", "three")
FILES = ("cmdline", "version")


@pytest.fixture
def series():
    return "6.1"


@pytest.fixture
def session(guest, series):
    with Session.open(f"guest:{guest(series).name}") as session:
        originals = [output(guest(series), file) for file in FILES]
        words = live_words(session)
        yield session
        revert_all(session)
        assert [output(guest(series), file) for file in FILES] == originals
        assert live_words(session) == words


def live_words(session):
    places = [(session.kernel.function(f"{file}_proc_show").address, 64) for file in FILES]
    return session.target.read_many(places)


def output(machine, file):
    result = machine.run(f"cat /proc/{file}")
    assert result.status == 0, result
    return result.stdout.decode().rstrip("\n")


def conditions(session):
    return {status.record.name: status.condition for status in session.status()}


def put_on(session, saying, mechanisms):
    for name, mechanism in zip(NAMES, mechanisms, strict=True):
        session.apply(session.plan(saying(name, cmdline=name), mechanism=mechanism))


@pytest.mark.parametrize("order", list(permutations(NAMES)), ids="-".join)
def test_the_newest_that_is_left_is_on_top_whatever_goes_first(guest, series, session, saying, order):
    original = output(guest(series), "cmdline")
    words = live_words(session)
    for mechanisms in [MECHANISMS, MECHANISMS[::-1], ["guarded/slot", "shared-toc", "guarded/slot"]]:
        put_on(session, saying, mechanisms)
        left = list(NAMES)
        for name in order:
            session.revert(name)
            left.remove(name)
            assert output(guest(series), "cmdline") == (left[-1] if left else original)
            on_top = {n: Condition.APPLIED if n == left[-1] else Condition.COVERED for n in left}
            assert conditions(session) == on_top
        assert live_words(session) == words


@pytest.mark.parametrize("series", KERNELS)
def test_one_below_the_top_goes_without_a_word_of_code(guest, series, session, saying):
    for lower, upper in product(MECHANISMS, MECHANISMS):
        session.apply(session.plan(saying("one", cmdline="one"), mechanism=lower))
        session.apply(session.plan(saying("two", cmdline="two"), mechanism=upper))
        assert conditions(session) == {"one": Condition.COVERED, "two": Condition.APPLIED}
        assert session.plan_revert("one").functions == ()
        words = live_words(session)
        session.revert("one")
        assert live_words(session) == words
        assert output(guest(series), "cmdline") == "two"
        session.revert("two")


def test_functions_of_one_patch_may_lie_at_different_heights(guest, series, session, saying):
    machine = guest(series)
    version = output(machine, "version")
    session.apply(session.plan(saying("one", cmdline="one", version="one"), mechanism="guarded/slot"))
    session.apply(session.plan(saying("two", cmdline="two"), mechanism="shared-toc"))
    assert conditions(session) == {"one": Condition.COVERED, "two": Condition.APPLIED}
    session.revert("one")
    assert (output(machine, "cmdline"), output(machine, "version")) == ("two", version)
    session.apply(session.plan(saying("one", cmdline="one", version="one")))
    assert (output(machine, "cmdline"), output(machine, "version")) == ("one", "one")
    session.revert("two")
    assert (output(machine, "cmdline"), output(machine, "version")) == ("one", "one")


def test_the_same_patch_twice_changes_nothing(session, saying):
    first = session.apply(session.plan(saying("one", cmdline="one")))
    before = session.journal().contents
    plan = session.plan(saying("one", cmdline="one"))
    again = session.apply(plan)
    assert (first.changed, again.changed, again.commit_pause) == (True, False, 0)
    assert session.journal().contents == before
    session.apply(session.plan(saying("two", cmdline="two")))
    assert not session.apply(session.plan(saying("one", cmdline="one"))).changed, "also when it is covered"
    assert conditions(session) == {"one": Condition.COVERED, "two": Condition.APPLIED}


def test_the_same_name_with_another_content_is_refused(session, saying):
    session.apply(session.plan(saying("one", cmdline="one"), mechanism="shared-toc"))
    with pytest.raises(StateError, match="another patch named one"):
        session.plan(saying("one", cmdline="two"))
    with pytest.raises(StateError, match="with shared-toc"):
        session.plan(saying("one", cmdline="one"), mechanism="guarded/slot")
