"""The log: one line when something begins, one when it ends."""

import json
import os
import stat
from multiprocessing import Process

import pytest

from oddtoc.errors import GuestError, LogError, StateError
from oddtoc.trust.log import log_path, logged
from oddtoc.trust.policy import Policy


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_begin_and_end(home):
    with logged(Policy(), "apply", "guest:x", "fix") as operation:
        operation.begin(sha256="00")
        assert [line["result"] for line in lines(log_path(Policy()))] == ["begun"]
        operation.details["pause_ms"] = 1.5
    path = home / "state" / "oddtoc" / "log.jsonl"
    assert path == log_path(Policy())
    begun, done = lines(path)
    assert done.items() >= {"action": "apply", "target": "guest:x", "patch": "fix", "uid": os.getuid()}.items()
    assert (begun["result"], done["result"], done["sha256"], done["pause_ms"]) == ("begun", "done", "00", 1.5)
    assert done["host"] and done["time"].endswith("Z") and done["time"] >= begun["time"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.usefixtures("home")
def test_failures_are_written_down():
    with pytest.raises(StateError), logged(Policy(), "revert", "guest:x", "fix"):
        raise StateError("no patch", advice="none")
    with pytest.raises(KeyboardInterrupt), logged(Policy(), "revert", "guest:x", "fix"):
        raise KeyboardInterrupt
    found = [(line["result"], line["error"]) for line in lines(log_path(Policy()))]
    assert found == [("failed", "no patch"), ("failed", "KeyboardInterrupt")]


@pytest.mark.usefixtures("home")
def test_names_can_not_break_lines():
    with logged(Policy(), "apply", "guest:x\n{}", "fix\n\u2028\ud800") as operation:
        operation.begin()
    assert len(lines(log_path(Policy()))) == 2


def wrong_kind(path):
    path.mkdir()


def readable_by_others(path):
    path.touch(0o644)


def a_link(path):
    path.symlink_to(path.with_name("victim"))


def a_pipe(path):
    os.mkfifo(path, 0o600)


def no_folder(path):
    path.parent.rmdir()


@pytest.mark.parametrize("make", [wrong_kind, readable_by_others, a_link, a_pipe, no_folder])
def test_a_log_that_can_not_be_written_stops_what_begins(tmp_path, make):
    path = tmp_path / "logs" / "log.jsonl"
    path.parent.mkdir()
    make(path)
    reached = []
    with pytest.raises(LogError) as caught, logged(Policy(log=path), "apply", "guest:x", "fix") as operation:
        operation.begin()
        reached.append(1)
    assert not reached and len(str(caught.value).splitlines()) <= 2
    assert not path.with_name("victim").exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("write", [lambda _file, line: len(line) - 1, lambda _file, _line: os.truncate("/", 0)])
def test_a_full_disk_stops_what_begins(monkeypatch, write):
    reached = []
    monkeypatch.setattr("oddtoc.trust.log.os.write", write)
    with pytest.raises(LogError), logged(Policy(), "apply", "guest:x", "fix") as operation:
        operation.begin()
        reached.append(1)
    assert not reached


def test_a_folder_that_others_can_enter_is_refused(home):
    (home / "state" / "oddtoc").mkdir(mode=0o755)
    with pytest.raises(GuestError, match="only you"):
        log_path(Policy())


def append(path, number):
    for _ in range(50):
        with logged(Policy(log=path), "apply", "guest:x", f"{number}" * 3000) as operation:
            operation.begin()


def test_lines_of_several_processes_stay_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    processes = [Process(target=append, args=(path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = lines(path)
    assert len(found) == 4 * 50 * 2
    assert {line["patch"][0] for line in found} == set("0123")
