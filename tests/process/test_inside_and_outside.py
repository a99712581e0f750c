"""Functions of OpenSSL and sqlite, called from python3 and from inside of their library, are replaced while it runs."""

import hashlib
import hmac
from pathlib import Path

import pytest
from user import User

from oddtoc.live.session import Session

ROWS = "5 5"
DIGESTS = f"{hashlib.sha256(b'abc').hexdigest()} {hmac.digest(b'key', b'abc', 'sha256').hex()}"
# a digest is of one update; an HMAC is of two: the key, and the message or the inner digest
PATCHED = f"{hashlib.sha256(b'patched').hexdigest()} {hashlib.sha256(b'patchedpatched').hexdigest()}"
PROGRAM = "/tmp/digests.py"


@pytest.fixture(scope="module")
def python_process(process_guest):
    process_guest.put(Path(__file__).parent / "programs/digests.py", PROGRAM)
    user = User(process_guest, f"python3.11 {PROGRAM}")
    yield user
    process_guest.run(f"kill -9 {user.pid}")


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_openssl_and_sqlite(python_process, built, mechanism):
    assert python_process.ask() == f"{ROWS} {DIGESTS}"
    with Session.open(python_process.target) as session:
        for name, answer in (("digest", f"{ROWS} {PATCHED}"), ("row", f"1005 1005 {PATCHED}")):
            session.apply(session.plan(built(name, long_calls="/" in mechanism), mechanism=mechanism))
            assert python_process.ask() == answer
        for name, answer in (("digest", f"1005 1005 {DIGESTS}"), ("row", f"{ROWS} {DIGESTS}")):
            session.revert(name)
            assert python_process.ask() == answer
