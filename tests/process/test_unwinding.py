"""Exceptions, cancelled threads and backtraces pass through replacements and return helpers."""

import pytest
from user import User

from oddtoc.errors import ImageError, MechanismError, PatchError
from oddtoc.live.session import Session

PLAIN = "inside 13 101 outside 6 93 seen 111"
PATCHED = "inside 1013 101 outside 1006 93 seen 11"
"""The replacement is no function that the unwinder's caller knows by address; its callers are."""
IMAGES = {"catching": "libthrowing.so.1", "catching-stripped": "libstripped.so.1"}
CANCELLED = "cancelled 1 destroyed 2 cleaned 1"


@pytest.fixture(params=["catching", "catching-stripped", "catching-static"])
def caught(process_guest, request):
    """A program, and what of it or with it is patched."""
    user = User(process_guest, request.param)
    yield user, IMAGES.get(request.param, request.param)
    process_guest.run(f"kill -9 {user.pid}")


def refused_where_it_would_go_wrong(user, built):
    """What catches in a static program reloads r2 from 24(r1), and nobody has put it there again."""
    with Session.open(user.target) as session:
        with pytest.raises(MechanismError, match="can't carry exceptions through middle"):
            session.plan(built("middle", image="catching-static", long_calls=True), mechanism="guarded/slot")
        patch = built("middle", image="catching-static", long_calls=True, unwind=False)
        session.apply(session.plan(patch, mechanism="guarded/slot"))
        session.revert("middle")
    assert user.ask() == PLAIN


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_exceptions_and_cancellation_pass_through(caught, built, mechanism):
    user, image = caught
    assert user.ask() == PLAIN
    if (image, mechanism) == ("catching-static", "guarded/slot"):
        refused_where_it_would_go_wrong(user, built)
        return
    assert user.ask("cancel") == CANCELLED
    with Session.open(user.target) as session:
        session.apply(session.plan(built("middle", image=image, long_calls="/" in mechanism), mechanism=mechanism))
        for _ in range(2):
            assert user.ask() == PATCHED
            assert user.ask("cancel") == CANCELLED
        session.revert("middle")
        assert user.ask() == PLAIN
        assert user.ask("cancel") == CANCELLED


def test_an_unwinder_that_can_not_be_told_is_in_the_way(process_guest, built):
    pid = process_guest.program("bare")
    with Session.open(f"{process_guest.server}#{pid}") as session:
        with pytest.raises(PatchError, match=r"libgcc_s.so.1 could not unwind through visit"):
            session.plan(built("visit", image="bare"))
        session.apply(session.plan(built("visit", image="bare", unwind=False)))
        session.revert("visit")
    assert process_guest.run(f"kill -0 {pid} && echo lives; kill -9 {pid}") == "lives\n"


def test_an_unwinder_in_a_static_program_is_told_or_is_in_the_way(process_guest, built):
    for program, error, why in (
        ("catching-nameless", PatchError, r"catching-nameless could not unwind through middle"),
        ("catching-bare", ImageError, r"no symbols"),
    ):
        user = User(process_guest, program)
        with Session.open(user.target) as session, pytest.raises(error, match=why):
            session.plan(built("middle", image=program))
        process_guest.run(f"kill -9 {user.pid}")
