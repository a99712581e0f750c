"""Shadow variables, and states that cumulative patches hand on."""

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
        common = session.kernel.rooms.common
        assert not any(session.target.read(common.start, 960)), "an open lock, and no variable is left"


def shown(machine, file):
    return machine.run(f"cat /proc/{file}").stdout.decode().strip()


@pytest.mark.parametrize(
    "series, mechanism",
    [("6.1", "shared-toc"), ("6.1", "guarded/slot"), ("6.12", "guarded/slot"), ("7.2", "shared-toc")],
    indirect=["series"],
)
def test_variables_are_made_found_and_dropped(machine, session, objects, mechanism):
    plan = session.plan(objects("shadow.c"), mechanism=mechanism)
    assert plan.record.pinned == "", "the library keeps its addresses to itself"
    session.apply(plan)
    for _ in range(3):
        assert shown(machine, "version") == "ok"
    assert [shown(machine, "cmdline") for _ in range(2)] == ["version 1, read 1", "version 1, read 2"]


def test_four_at_a_time_do_not_disturb_each_other(machine, session, objects):
    session.apply(session.plan(objects("shadow.c")))
    reader = "for i in $(seq 20); do cat /proc/version; done"
    result = machine.run(f"for n in 1 2 3 4; do ({reader}) > /tmp/shadow-$n & done; wait; cat /tmp/shadow-*")
    assert result.stdout == b"ok\n" * 80


def test_the_next_patch_finds_what_the_one_before_it_left(machine, session, objects):
    session.apply(session.plan(objects("shadow.c")))
    assert shown(machine, "cmdline") == "version 1, read 1"
    session.apply(session.plan(objects("shadow.c", flags=("-DVERSION=2",)), replace=True))
    assert session.status()[0].record.states == ((0x51, 2),)
    assert shown(machine, "cmdline") == "version 2, read 2"


def test_a_patch_that_knows_less_is_refused(session, objects, saying):
    session.apply(session.plan(objects("shadow.c", flags=("-DVERSION=2",))))
    with pytest.raises(StateError, match="does not know state 0x51"):
        session.plan(saying("all", cmdline="all"), replace=True)
    with pytest.raises(StateError, match="knows version 1 of state 0x51, and shadow has made 2"):
        session.plan(objects("shadow.c"), replace=True)
    session.apply(session.plan(saying("other", cmdline="other")))
    session.revert("shadow")
    session.apply(session.plan(objects("shadow.c")))
