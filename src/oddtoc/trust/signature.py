"""Signatures of patch objects: SSH signatures (PROTOCOL.sshsig of OpenSSH), made and checked by ssh-keygen.

The signature of PATCH.o is PATCH.o.sig. It covers the bytes of the object and the namespace `oddtoc`, so that a
signature which was made for something else does not count. Objects are checked as they were read, never by name.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from oddtoc.errors import SignatureError
from oddtoc.trust.policy import Policy, check_owner

NAMESPACE = "oddtoc"
_KEYGEN = "ssh-keygen"
_LARGEST = 1 << 16
_GOOD = re.compile(rb'Good "oddtoc" signature for (?P<who>.+) with ')
_SIGN_IT = "sign it: oddtoc sign PATCH.o --key KEY"


def signature_of(patch: Path) -> Path:
    """Where the signature of a patch object is."""
    return patch.with_name(patch.name + ".sig")


def sign(patch: Path, key: Path) -> Path:
    """Sign a patch object.

    Args:
        patch: the file.
        key: an SSH private key, or a public one whose private part an agent holds.

    Returns:
        The signature's path.

    Raises:
        SignatureError: a file can't be read or written, or ssh-keygen refuses.
    """
    content = _content(patch, "patch object")
    _content(key, "key")
    signature = _keygen(["sign", "-q", "-n", NAMESPACE, "-f", str(key)], content, "can't sign with that key")
    if not signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise SignatureError(f"{key} gives no signature")
    try:
        signature_of(patch).write_bytes(signature)
    except OSError as error:
        raise SignatureError(f"{signature_of(patch)} can't be written: {error.strerror}") from error
    return signature_of(patch)


def verify(content: bytes, signature: Path, allowed_signers: Path) -> str:
    """Check the signature of a patch object.

    Args:
        content: the bytes of the object, as they are used.
        signature: the signature's file.
        allowed_signers: who may sign (ssh-keygen(1), ALLOWED SIGNERS).

    Returns:
        Who signed it, as the allowed signers name them.

    Raises:
        SignatureError: there is no signature, it is not of these bytes, or of nobody who may.
        PolicyError: somebody else could have written the allowed signers.
    """
    _check_signers(allowed_signers)
    if not signature.exists():
        raise SignatureError(f"there is no signature {signature}", advice=_SIGN_IT)
    with tempfile.TemporaryDirectory(prefix="oddtoc-") as folder:
        # a copy that nobody else can change between the two questions
        copy = Path(folder, "signature")
        copy.write_bytes(_content(signature, "signature", _LARGEST))
        files = ["-f", str(allowed_signers), "-s", str(copy)]
        found = _keygen(["find-principals", *files], b"", f"{signature} is of nobody who may sign")
        for who in filter(None, found.decode(errors="replace").splitlines()):
            refusal = f"{signature} is of another object or purpose"
            said = _keygen(["verify", "-n", NAMESPACE, "-I", who, *files], content, refusal)
            if match := _GOOD.match(said):
                return match["who"].decode(errors="replace")
    raise SignatureError(f"{signature} is of nobody who may sign", advice=f"those who may are in {allowed_signers}")


def check(content: bytes, patch: Path | None, policy: Policy) -> str | None:
    """What the policy says of a patch object that is to be applied.

    Args:
        content: its bytes, as they are used.
        patch: its file, whose signature is beside it; None if it has none.
        policy: the policy.

    Returns:
        Who signed it; None when it is not signed and need not be, or nobody's signatures count.

    Raises:
        SignatureError: it has to be signed, and is not, or not by someone who may.
        PolicyError: the policy names nobody who may.
    """
    if policy.allowed_signers is None:
        if policy.require_signature:
            raise SignatureError("the policy wants a signature, and names no allowed-signers")
        return None
    if patch is None:
        if policy.require_signature:
            raise SignatureError("a patch object without a file has no signature, and the policy wants one")
        return None
    if not policy.require_signature and not signature_of(patch).exists():
        return None
    return verify(content, signature_of(patch), policy.allowed_signers)


def _check_signers(path: Path) -> None:
    try:
        check_owner(path, path.stat())
    except OSError as error:
        raise SignatureError(f"the allowed signers {path} can't be read: {error.strerror}") from error


def _content(path: Path, what: str, most: int | None = None) -> bytes:
    try:
        if not path.is_file():
            raise SignatureError(f"there is no {what} {path}")
        with path.open("rb") as file:
            content = file.read() if most is None else file.read(most + 1)
    except OSError as error:
        raise SignatureError(f"the {what} {path} can't be read: {error.strerror}") from error
    if most is not None and len(content) > most:
        raise SignatureError(f"{path} is too large for a {what}")
    return content


def _keygen(arguments: Sequence[str], data: bytes, refusal: str) -> bytes:
    try:
        result = subprocess.run([_KEYGEN, "-Y", *arguments], input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise SignatureError(
            f"{_KEYGEN} is not installed", advice="on Debian: apt-get install openssh-client"
        ) from None
    if result.returncode:
        reasons = (result.stderr or result.stdout).decode(errors="replace").split("\n")
        raise SignatureError(refusal, advice=f"{_KEYGEN} says: {reasons[0].strip() or 'no'}")
    return result.stdout
