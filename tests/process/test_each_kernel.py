"""Processes on the kernels that other tests here do not run on, from outside."""

import os
import subprocess
import sys

import pytest
from machine import Machine
from user import PATCHED, PLAIN, User
from waiting import Waiting

from oddtoc.live.session import Session
from oddtoc.process.guest import boot_with_gdbserver
from oddtoc.trace.tracer import Tracer

TRACED = "libthing.so.1:thing_value"


@pytest.fixture(scope="module", params=["6.12", "7.2"])
def other_guest(request, user, debian_files):
    files = debian_files | user
    made = boot_with_gdbserver(request.param, f"test-process-{request.param}-{os.getpid()}", files=files, timeout=300)
    yield Machine(made)
    made.guest.stop()


@pytest.fixture
def user_process(other_guest):
    user = User(other_guest)
    yield user
    other_guest.run(f"kill -9 {user.pid}")


def from_outside(words, target):
    """What the command says here."""
    command = [sys.executable, "-m", "oddtoc", *words.split(), "--target", target]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def test_from_outside(user_process, built):
    path = built("thing").path
    waiting = Waiting(built("thing"), "thing_value", user_process.target)
    assert user_process.ask() == PATCHED
    assert waiting.answer()[1].splitlines()[-1].startswith("right: ")
    assert "0 errors" in from_outside(f"check {path}", user_process.target)
    assert "stood still for" in from_outside(f"apply {path}", user_process.target)
    assert user_process.ask() == PATCHED
    assert "thing: applied" in from_outside("status", user_process.target)
    with Session.open(user_process.target) as session, Tracer(session, [TRACED], returns=True) as tracer:
        assert user_process.ask() == PATCHED
        assert [(one.calls, one.returns) for one in tracer.read().counts] == [(3, 3)]
    assert "reverted thing" in from_outside("revert thing", user_process.target)
    assert user_process.ask() == PLAIN


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot"])
def test_by_islands_in_the_last_page_of_the_text(user_process, built, mechanism):
    assert user_process.ask("fill") == "filled"
    patch = built("thing", long_calls="/" in mechanism)
    with Session.open(user_process.target) as session:
        (room,) = session.running.subject(["libthing.so.1"]).padding
        (before,) = session.target.read_many([(room.start, room.size)])
        session.apply(session.plan(patch, mechanism=mechanism))
        assert all(function.island in room for function in session.status()[0].record.replaced)
        assert user_process.ask() == PATCHED
        session.revert("thing")
        assert user_process.ask() == PLAIN
        session.gc()
        assert session.target.read_many([(room.start, room.size)]) == [before]
