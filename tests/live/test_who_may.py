"""Policy and log between the commands and a running kernel."""

import json
import os
import subprocess
import sys

import pytest

from oddtoc.errors import LogError, SignatureError
from oddtoc.live.session import Session
from oddtoc.trust.log import log_path
from oddtoc.trust.policy import Policy
from oddtoc.trust.signature import sign


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable, folder in (("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")):
        (tmp_path / folder / "oddtoc").mkdir(mode=0o700, parents=True)
        monkeypatch.setenv(variable, str(tmp_path / folder))
    return tmp_path


@pytest.fixture
def key(home):
    for name in ("alice", "mallory"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    (home / "config/oddtoc/allowed").write_text(f"alice@here {(home / 'alice.pub').read_text()}")
    (home / "config/oddtoc/policy.toml").write_text('require-signature = true\nallowed-signers = "allowed"\n')
    return lambda name: home / name


@pytest.fixture
def patch(home, objects):
    """A copy of the test's own, which can be signed and altered."""
    path = home / "cmdline.o"
    path.write_bytes(objects("cmdline.c").content)
    return path


@pytest.fixture
def oddtoc(guest):
    """Runs a command on the guest; gives status, what it printed, and what it complained about."""

    def run(command, *words):
        line = [sys.executable, "-m", "oddtoc", command, *map(str, words), "-t", f"guest:{guest('6.1').name}"]
        result = subprocess.run(line, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout, result.stderr

    return run


def log():
    return [json.loads(line) for line in log_path(Policy()).read_text().splitlines()]


def applied(guest):
    with Session.open(f"guest:{guest('6.1').name}") as session:
        return [status.record for status in session.status() if status.present]


def test_only_what_is_signed_is_applied(guest, patch, key, oddtoc):
    status, _, said = oddtoc("apply", patch)
    assert status == 4 and "there is no signature" in said
    sign(patch, key("mallory"))
    status, _, said = oddtoc("apply", patch)
    assert status == 4 and "nobody who may sign" in said
    sign(patch, key("alice"))
    whole = patch.read_bytes()
    patch.write_bytes(whole + b"\0")
    status, _, said = oddtoc("apply", patch)
    assert status == 4 and "of another object" in said
    assert applied(guest) == []
    patch.write_bytes(whole)
    assert oddtoc("apply", patch)[0] == 0
    (record,) = applied(guest)
    assert oddtoc("revert", "cmdline")[0] == 0
    found = log()
    assert [(one["action"], one["result"]) for one in found] == [
        *[("apply", "failed")] * 3,
        *[("apply", "begun"), ("apply", "done"), ("revert", "begun"), ("revert", "done")],
    ]
    done = found[4]
    assert (done["signer"], done["sha256"], done["patch"]) == ("alice@here", record.sha256, "cmdline")
    assert done["uid"] == os.getuid() and done["target"] == f"guest:{guest('6.1').name}" and done["pause_ms"] > 0
    (function,) = done["where"]
    assert (function["function"], function["mechanism"]) == ("cmdline_proc_show", record.functions[0].mechanism)
    assert function["words"] == [f"{change.address:#x}" for change in record.functions[0].changes]
    assert found[6]["sha256"] == record.sha256 and found[6]["where"] == done["where"]


@pytest.mark.usefixtures("home")
def test_what_fails_is_in_the_log(oddtoc):
    status, _, said = oddtoc("revert", "nothing")
    assert status == 4 and "no patch named nothing" in said
    (line,) = log()
    assert (line["action"], line["patch"], line["result"]) == ("revert", "nothing", "failed")
    assert line["error"] == "no patch named nothing is applied"


@pytest.mark.usefixtures("home")
def test_without_a_log_nothing_is_written_to_the_target(guest, objects, monkeypatch):
    log_path(Policy()).mkdir()
    with Session.open(f"guest:{guest('6.1').name}") as session:
        plan = session.plan(objects("cmdline.c"))
        monkeypatch.setattr(session.target, "write_many", lambda _: pytest.fail("written"))
        with pytest.raises(LogError):
            session.apply(plan)
        monkeypatch.undo()


@pytest.mark.usefixtures("home")
def test_without_a_log_nothing_is_reverted(guest, objects):
    with Session.open(f"guest:{guest('6.1').name}") as session:
        session.apply(session.plan(objects("cmdline.c")))
        log_path(Policy()).unlink()
        log_path(Policy()).mkdir()
        with pytest.raises(LogError):
            session.revert("cmdline")
        assert [status.record.name for status in session.status()] == ["cmdline"]
        log_path(Policy()).rmdir()
        session.revert("cmdline")


@pytest.mark.usefixtures("home")
def test_a_plan_of_another_session_was_admitted_by_nobody(guest, objects):
    name = f"guest:{guest('6.1').name}"
    with Session.open(name) as session:
        plan = session.plan(objects("cmdline.c"))
    with Session.open(name) as session, pytest.raises(SignatureError):
        session.apply(plan)
    assert applied(guest) == []
