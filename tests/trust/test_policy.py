"""Policy files: what they say, who may have written them, and which of two counts."""

import os
import random

import pytest

from oddtoc.errors import OddtocError, PolicyError
from oddtoc.trust import policy as policies
from oddtoc.trust.policy import Policy, current_policy

WRONG = {
    "no toml": "require-signature",
    "unknown key": "require-signatures = true",
    "no flag": 'require-signature = "yes"',
    "number": "require-signature = 1",
    "no path": "allowed-signers = true",
    "empty path": 'log = ""',
    "NUL": 'log = "a\\u0000b"\nallowed-signers = "~no-such-user-at-all/x"',
    "table": "[log]\na = 1",
}


@pytest.fixture(autouse=True)
def machine(home, tmp_path, monkeypatch):
    del home  # it is there
    path = tmp_path / "etc" / "policy.toml"
    path.parent.mkdir()
    monkeypatch.setattr(policies, "MACHINE", path)
    return path


def test_nothing_is_demanded_without_a_policy():
    assert current_policy() == Policy()


def test_what_a_policy_says(policy):
    path = policy('require-signature = true\nallowed-signers = "allowed"\nlog = "/var/log/oddtoc.jsonl"')
    assert current_policy() == Policy(True, path.parent / "allowed", policies.Path("/var/log/oddtoc.jsonl"))


def test_the_user_takes_nothing_from_the_machine(policy, machine):
    machine.write_text('require-signature = true\nallowed-signers = "/etc/allowed"\nlog = "/log"')
    policy('require-signature = false\nallowed-signers = "/mine"\nlog = "/dev/null"')
    assert current_policy() == Policy(True, policies.Path("/etc/allowed"), policies.Path("/log"))
    machine.write_text("")
    assert not current_policy().require_signature
    policy("require-signature = true")
    assert current_policy().require_signature


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_malformed_policies_are_refused(policy, text):
    policy(text)
    with pytest.raises(PolicyError) as caught:
        current_policy()
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_policies_that_others_can_write_are_refused(policy, mode):
    policy("").chmod(mode)
    with pytest.raises(PolicyError, match="others can write"):
        current_policy()


def test_policies_of_other_users_are_refused(policy, monkeypatch):
    policy("")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    status = policies.Path(os.environ["XDG_CONFIG_HOME"], "oddtoc", "policy.toml").stat()
    if status.st_uid == 0:
        current_policy()
    else:
        with pytest.raises(PolicyError):
            current_policy()


def test_what_is_no_file_is_refused(machine):
    machine.mkdir()
    with pytest.raises(PolicyError):
        current_policy()


def test_damage_ends_in_our_errors(policy):
    rng = random.Random(20261123)
    whole = b'require-signature = true\nallowed-signers = "allowed"\nlog = "/var/log/oddtoc.jsonl"\n'
    path = policy("")
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            current_policy()
        except OddtocError as error:
            assert isinstance(error, PolicyError)
