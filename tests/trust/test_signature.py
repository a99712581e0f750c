"""Signatures, made and checked with the real ssh-keygen."""

import subprocess

import pytest
from typer.testing import CliRunner

from oddtoc.build.compile import compile_patch
from oddtoc.cli import app
from oddtoc.errors import PolicyError, SignatureError
from oddtoc.trust.policy import Policy
from oddtoc.trust.signature import check, sign, signature_of, verify

SOURCE = """
#include <oddtoc.h>
static int one(void) { return 1; }
ODDTOC_REPLACE(vmlinux, two, one);
"""


@pytest.fixture
def patch(tmp_path):
    (tmp_path / "small.c").write_text(SOURCE)
    compile_patch(tmp_path / "small.c", tmp_path / "small.o")
    return tmp_path / "small.o"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_is_signed_is_told_from_whom(patch, keys, home, kind):
    key = keys("alice", kind)
    signature = sign(patch, key)
    assert signature == patch.with_name("small.o.sig")
    (home / "allowed").write_text(f"alice@here {key.with_suffix('.pub').read_text()}")
    assert verify(patch.read_bytes(), signature, home / "allowed") == "alice@here"
    # and by the tool itself
    command = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-n",
        "oddtoc",
        "-I",
        "alice@here",
        "-f",
        home / "allowed",
        "-s",
        signature,
    ]
    subprocess.run(command, input=patch.read_bytes(), check=True, capture_output=True)


def refusal(patch, allowed, content=None):
    with pytest.raises(SignatureError) as caught:
        verify(content or patch.read_bytes(), signature_of(patch), allowed)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def test_unsigned(patch, signers):
    assert "there is no signature" in refusal(patch, signers("alice"))


def test_every_altered_byte_is_noticed(patch, keys, signers):
    sign(patch, keys("alice"))
    content = patch.read_bytes()
    for place in (0, 7, len(content) // 2, len(content) - 1):
        altered = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert "another object" in refusal(patch, signers("alice"), altered)
    assert "another object" in refusal(patch, signers("alice"), content + b"\0")
    assert "another object" in refusal(patch, signers("alice"), content[:-1])


def test_altered_signatures(patch, keys, signers):
    signature = sign(patch, keys("alice"))
    whole = signature.read_bytes()
    for place in range(40, len(whole) - 40, 37):
        signature.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refusal(patch, signers("alice"))
    for content in (b"", b"\0" * 100, whole[:100], b"x" * 70000, whole.replace(b"SSH", b"PGP")):
        signature.write_bytes(content)
        refusal(patch, signers("alice"))


def test_signed_by_somebody_else(patch, keys, signers):
    sign(patch, keys("mallory"))
    assert "nobody who may sign" in refusal(patch, signers("alice", "bob"))
    sign(patch, keys("bob"))
    assert verify(patch.read_bytes(), signature_of(patch), signers("alice", "bob")) == "bob@here"


def test_signed_for_something_else(patch, keys, signers):
    for namespace in ("file", "git", "oddtoc2"):
        signature_of(patch).unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", keys("alice"), patch], check=True)
        assert "another object" in refusal(patch, signers("alice"))


def test_signers_may_be_limited(patch, keys, signers):
    sign(patch, keys("alice"))
    good = signers("alice", options='namespaces="oddtoc,file"')
    assert verify(patch.read_bytes(), signature_of(patch), good)
    refusal(patch, signers("alice", options='namespaces="git"'))
    refusal(patch, signers("alice", options='valid-before="20200101"'))


def test_allowed_signers_that_others_can_write(patch, keys, signers):
    sign(patch, keys("alice"))
    allowed = signers("alice")
    allowed.chmod(0o666)
    with pytest.raises(PolicyError, match="others can write"):
        verify(patch.read_bytes(), signature_of(patch), allowed)
    refusal(patch, allowed.with_name("none"))


@pytest.mark.parametrize("key", ["none", "folder", "nokey"])
def test_keys_that_are_none(patch, tmp_path, key):
    (tmp_path / "folder").mkdir()
    (tmp_path / "nokey").write_text("no key")
    with pytest.raises(SignatureError):
        sign(patch, tmp_path / key)
    assert not signature_of(patch).exists()


def test_what_a_policy_asks(patch, keys, signers):
    content, allowed = patch.read_bytes(), signers("alice")
    assert check(content, patch, Policy()) is None
    assert check(content, patch, Policy(allowed_signers=allowed)) is None
    for policy in (Policy(True), Policy(True, allowed)):
        for path in (patch, None):
            with pytest.raises(SignatureError):
                check(content, path, policy)
    sign(patch, keys("alice"))
    assert check(content, patch, Policy(True, allowed)) == "alice@here"
    sign(patch, keys("mallory"))
    # a signature that is there counts, asked for or not
    with pytest.raises(SignatureError):
        check(content, patch, Policy(False, allowed))


def test_commands(patch, keys, signers, policy):
    def oddtoc(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    assert "small.o.sig" in oddtoc("sign", patch, "--key", keys("alice")).stdout
    assert "nobody is allowed" in str(oddtoc("verify", patch).exception)
    allowed = signers("alice")
    assert "signed by alice@here" in oddtoc("verify", patch, "--allowed-signers", allowed).stdout
    policy(f'allowed-signers = "{allowed}"')
    assert "signed by alice@here" in oddtoc("verify", patch).stdout
    patch.with_name("no.o").write_bytes(b"no object")
    assert isinstance(oddtoc("sign", patch.with_name("no.o"), "--key", keys("alice")).exception, Exception)
    assert not patch.with_name("no.o.sig").exists()
