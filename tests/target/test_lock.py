"""The lock that keeps a second oddtoc out, between real processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oddtoc.errors import GuestError, TargetError, TargetInUseError
from oddtoc.target.lock import TargetLock, lock_key

HOLD = """
import sys
from oddtoc.target.lock import TargetLock
held = TargetLock(sys.argv[1])
print(1, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "oddtoc" / "locks"


@pytest.fixture
def holder():
    process = subprocess.Popen([sys.executable, "-c", HOLD, "key"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"1\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_kept_out_and_told_who_is_in(holder):
    with pytest.raises(TargetInUseError, match=f"process {holder.pid}"):
        TargetLock("key")
    TargetLock("another key").release()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_lock_ends_with_its_process(holder, number):
    holder.send_signal(number)
    holder.wait()
    TargetLock("key").release()


def test_one_process_holds_it_once():
    held = TargetLock("key")
    with pytest.raises(TargetInUseError, match=f"process {os.getpid()}"):
        TargetLock("key")
    held.release()
    held.release()
    TargetLock("key").release()


def test_children_do_not_inherit_it():
    held = TargetLock("key")
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        held.release()
        TargetLock("key").release()
        child.kill()


def test_a_link_in_its_place_is_not_followed(folder, tmp_path):
    TargetLock("key").release()
    (lock,) = folder.iterdir()
    lock.unlink()
    lock.symlink_to(tmp_path / "victim")
    with pytest.raises(TargetError):
        TargetLock("key")
    assert not (tmp_path / "victim").exists()


def test_a_folder_that_others_can_enter_is_refused(folder):
    TargetLock("key").release()
    folder.chmod(0o755)
    with pytest.raises(GuestError, match="only you"):
        TargetLock("key")


def test_the_key_does_not_depend_on_how_a_path_is_written(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path / "sub")
        server.bind("gdb")
        paths = [Path("gdb"), Path("../sub/gdb"), tmp_path / "sub" / "gdb", tmp_path / "link" / "gdb"]
        assert len({lock_key(path) for path in paths}) == 1
    assert lock_key(("LocalHost", 1)) == lock_key(("localhost", 1)) != lock_key(("localhost", 2))
