"""Processes on the kernels that other tests here do not run on: every command, from outside and inside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import Machine
from user import PATCHED, PLAIN, User

from oddtoc.debian.programs import program_files
from oddtoc.live.session import Session
from oddtoc.process.guest import boot_with_gdbserver
from oddtoc.trace.tracer import Tracer

SCRIPTS = Path(__file__).parent / "scripts"
TRACED = "libthing.so.1:thing_value"
_COMPILER = "powerpc64le-linux-gnu"


def compiler_files():
    """What traces are made with."""
    programs = {name: f"usr/bin/{_COMPILER}-{name}" for name in ("as", "ld", "gcc-12")}
    found = program_files(("binutils", "gcc-12"), (*programs.values(), f"usr/lib/gcc/{_COMPILER}/12/cc1"))
    names = {f"{_COMPILER}-gcc": "gcc-12", "as": "as"}
    return found | {f"usr/bin/{name}": found[programs[program]] for name, program in names.items()}


@pytest.fixture(scope="module", params=["6.12", "7.2"])
def other_guest(request, user, debian_files, oddtoc_itself):
    files = debian_files | user | oddtoc_itself | compiler_files()
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
    for words in (f"check {path}", f"explain {path} thing_value"):
        assert "is a process" in from_outside(words, user_process.target)
    assert "stood still for" in from_outside(f"apply {path}", user_process.target)
    assert user_process.ask() == PATCHED
    assert "thing: applied" in from_outside("status", user_process.target)
    with Session.open(user_process.target) as session, Tracer(session, [TRACED], returns=True) as tracer:
        assert user_process.ask() == PATCHED
        assert [(one.calls, one.returns) for one in tracer.read().counts] == [(3, 3)]
    assert "reverted thing" in from_outside("revert thing", user_process.target)
    assert user_process.ask() == PLAIN


def test_from_inside(other_guest, user_process, built):
    other_guest.put(built("thing").path, "/tmp/thing.o")
    printed = other_guest.python((SCRIPTS / "each.py").read_text(), str(user_process.pid), TRACED)
    expected = [PATCHED, ["applied"], PATCHED, [[3, 3]], PLAIN]
    assert printed.splitlines()[-1:] == [json.dumps(expected)], printed
