"""Exceptions, cancelled threads and backtraces pass through replacements and return helpers."""

import pytest

from oddtoc.errors import PatchError
from oddtoc.live.session import Session

PLAIN = "inside 13 101 outside 6 93 seen 111"
PATCHED = "inside 1013 101 outside 1006 93 seen 11"
"""The replacement is no function that the unwinder's caller knows by address; its callers are."""
CANCELLED = "cancelled 1 destroyed 2 cleaned 1"


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_exceptions_and_cancellation_pass_through(catching_process, built, mechanism):
    assert catching_process.ask() == PLAIN
    assert catching_process.ask("cancel") == CANCELLED
    with Session.open(catching_process.target) as session:
        session.apply(session.plan(built("middle", long_calls="/" in mechanism), mechanism=mechanism))
        for _ in range(2):
            assert catching_process.ask() == PATCHED
            assert catching_process.ask("cancel") == CANCELLED
        session.revert("middle")
        assert catching_process.ask() == PLAIN
        assert catching_process.ask("cancel") == CANCELLED


def test_an_unwinder_that_can_not_be_told_is_in_the_way(process_guest, built):
    pid = process_guest.start("exec bare")
    with Session.open(f"{process_guest.server}#{pid}") as session:
        with pytest.raises(PatchError, match=r"libgcc_s.so.1 could not unwind through visit"):
            session.plan(built("visit", image="bare"))
        session.apply(session.plan(built("visit", image="bare", unwind=False)))
        session.revert("visit")
    assert process_guest.run(f"kill -0 {pid} && echo lives; kill -9 {pid}") == "lives\n"
