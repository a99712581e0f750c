"""A commit that is cut in the middle is undone before the guest runs on, by whoever comes first, and never later."""

import json
import os
import signal
from contextlib import contextmanager

import pytest
from killing import end_after, packets

from oddtoc.errors import TargetError
from oddtoc.live.journal import Condition
from oddtoc.live.session import Session
from oddtoc.target.guardian import Monitor
from oddtoc.target.qemu import QemuTarget
from oddtoc.target.undo import UNDO_FILE, Undo

FILES = "/proc/cmdline /proc/version"


@pytest.fixture(scope="module")
def machine(guest_factory):
    return guest_factory("6.1")


@pytest.fixture
def patch(saying):
    return saying("both", cmdline="patched", version="patched")


@pytest.fixture
def guardian(machine, guardian_of):
    """Its process, which goes on after the test."""
    (pid,) = guardian_of(machine)
    yield pid
    os.kill(pid, signal.SIGCONT)


def shown(machine):
    return machine.run(f"cat {FILES}").stdout.decode().splitlines()


def apply(machine, patch):
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(patch, mechanism="shared-toc"), immediate=True)


def revert(machine):
    with Session.open(f"guest:{machine.name}") as session:
        for status in session.status():
            session.revert(status.record.name)
        session.gc(lambda _spans: None)


def cut_in_the_middle(machine, patch):
    """Kill an apply when it has written the first of its two functions."""
    sent = packets(lambda: apply(machine, patch))
    revert(machine)
    *_, first, _, _ = (number for number, packet in enumerate(sent, 1) if packet.startswith(b"$M"))
    done, _ = end_after(first, lambda: apply(machine, patch), how="killed")
    assert not done


def test_the_next_oddtoc_undoes_it_when_it_comes_first(machine, patch, guardian):
    before = shown(machine)
    os.kill(guardian, signal.SIGSTOP)
    cut_in_the_middle(machine, patch)
    assert (machine.folder / UNDO_FILE).exists()
    with Session.open(f"guest:{machine.name}") as session:
        assert not [status for status in session.status() if status.present]
    assert not (machine.folder / UNDO_FILE).exists()
    assert shown(machine) == before
    apply(machine, patch)
    assert shown(machine) == ["patched", "patched"]
    revert(machine)


def test_a_guest_that_has_run_since_is_left_as_it_is(machine, patch, guardian):
    before = shown(machine)
    os.kill(guardian, signal.SIGSTOP)
    cut_in_the_middle(machine, patch)
    Monitor(machine.qmp_socket).ask("cont")
    half = shown(machine)
    assert sorted(half) == sorted(["patched", before[half.index("patched") ^ 1]])
    os.kill(guardian, signal.SIGCONT)
    with Session.open(f"guest:{machine.name}") as session:
        assert [status.condition for status in session.status()] == [Condition.PARTLY]
    assert not (machine.folder / UNDO_FILE).exists()
    assert shown(machine) == half
    revert(machine)
    assert shown(machine) == before


def test_a_file_that_makes_no_sense(machine, guardian):
    os.kill(guardian, signal.SIGSTOP)
    file = machine.folder / UNDO_FILE
    for text in ("", "[]", "{}", '{"cpus": 1, "writes": 2}', '{"cpus": "", "writes": [["x", "00"]]}'):
        file.write_text(text)
        with pytest.raises(TargetError, match=r"undo\.json makes no sense"):
            QemuTarget.connect(machine.debug_socket)
    file.write_text(json.dumps({"cpus": "another stop", "writes": [[0xC000000000000000, "00" * 8]]}))
    with QemuTarget.connect(machine.debug_socket) as target:
        assert any(target.read(0xC000000000000000, 8))
    assert not file.exists()


def test_a_target_without_guardian_has_no_file(tmp_path):
    assert Undo.beside(("127.0.0.1", 1234)) is None
    assert Undo.beside(tmp_path / "debug.sock") is None


def test_the_file_is_there_only_while_a_commit_writes(machine, patch, monkeypatch):
    seen = []
    kept = Undo.kept

    @contextmanager
    def noted(undo, cpus, writes):
        file = machine.folder / UNDO_FILE
        assert not file.exists()
        with kept(undo, cpus, writes):
            seen.append((len(writes), file.exists()))
            yield
        assert not file.exists()

    monkeypatch.setattr(Undo, "kept", noted)
    apply(machine, patch)
    revert(machine)
    assert seen == [(3, True), (3, True)], "two functions and a state each"
