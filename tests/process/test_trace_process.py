"""Traces of a running process: its calls go on as ever, and are counted."""

import pytest

from oddtoc.errors import NoSiteError, UsageError
from oddtoc.live.session import Session
from oddtoc.places import Span
from oddtoc.trace.tracer import Tracer

CALLS = {"hidden": 1, "thing_inside": 1, "thing_leaf": 2, "thing_leaf_inside": 1, "thing_sum": 2, "thing_value": 3}
"""What one answer of user.c takes, from inside and outside of the library, and through a pointer."""
EVERYTHING = ["libthing.so.1:hidden", "libthing.so.1:thing_*"]


def counts(tracer):
    named = zip(tracer.names, tracer.last.counts, strict=True)
    return {name: (one.calls, one.returns) for name, one in named if one.calls}


def body(session, function):
    """The code of a function of the program, from behind its first word."""
    symbol = session.running.subject(["user"]).function(function)
    return Span(symbol.address + 4, symbol.address + symbol.size)


@pytest.mark.parametrize("mechanism", [None, "shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_calls_from_inside_and_outside_are_counted_also_of_patched_functions(user_process, built, mechanism):
    with Session.open(user_process.target) as session:
        if mechanism:
            session.apply(session.plan(built("thing", long_calls="/" in mechanism), mechanism=mechanism))
        text = user_process.ask()
        for returns in (False, True):
            with (tracer := Tracer(session, EVERYTHING, events=returns, returns=returns)):
                assert user_process.ask() == text
                assert user_process.ask() == text
            found = counts(tracer)
            # the replacement of thing_sum calls others of the library
            assert {name: found[name] for name in CALLS if name in found}.keys() == CALLS.keys()
            if not mechanism:
                assert found == {name: (2 * calls, 2 * calls * returns) for name, calls in CALLS.items()}
            assert all(calls == back for calls, back in found.values()) or not returns
            assert tracer.still_in_use == ()
            assert user_process.ask() == text
        assert dict(tracer.refused)["thing_chosen"] == "thing_chosen is an IFUNC: callers do not come by"


def test_who_is_in_a_traced_call_keeps_its_memory_until_it_has_come_back(user_process):
    before = user_process.ask()
    with Session.open(user_process.target) as session:
        with (tracer := Tracer(session, ["libthing.so.1:thing_wait"], returns=True)):
            user_process.ask("wait")
            caller = session.threads.standing_in([body(session, "wait_inside")])
            assert "wait_inside" in caller.message
        assert counts(tracer) == {"thing_wait": (1, 0)}
        assert "it is still in use" in tracer.still_in_use[0]
        assert [status for status in session.status() if status.present] == []
        user_process.ask("go")
        assert [entry.record.name for entry in session.gc().free] == [tracer.name]
    assert user_process.ask() == before


def test_patterns_name_one_file_and_functions_that_return_once(user_process):
    before = user_process.ask()
    with Session.open(user_process.target) as session:
        with pytest.raises(UsageError, match="one file"):
            Tracer(session, ["libthing.so.1:thing_*", "libz.so.1:adler32"])
        with pytest.raises(NoSiteError, match="returns twice"):
            Tracer(session, ["libc.so.6:vfork"], returns=True)
        with (tracer := Tracer(session, ["libz.so.1:adler32*"])):
            assert user_process.ask() == before
        assert counts(tracer)["adler32"][0] >= 1
        with (tracer := Tracer(session, ["main", "say"])):
            assert user_process.ask() == before
        assert counts(tracer).keys() <= {"say"}
