"""The policy: what has to be signed, by whom, and where it is written down what was done.

Two files, both optional: the machine's, /etc/oddtoc/policy.toml, and the user's, in $XDG_CONFIG_HOME/oddtoc or
~/.config/oddtoc. The user's can add to the machine's and takes nothing from it. Keys, all optional:

    require-signature = true            # apply refuses what is not signed
    allowed-signers = "allowed_signers" # ssh-keygen(1), ALLOWED SIGNERS; relative to the folder of the policy
    log = "/var/log/oddtoc.jsonl"       # instead of $XDG_STATE_HOME/oddtoc/log.jsonl
"""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oddtoc.errors import PolicyError

MACHINE = Path("/etc/oddtoc/policy.toml")
_REQUIRE, _SIGNERS, _LOG = "require-signature", "allowed-signers", "log"
_KINDS = {_REQUIRE: bool, _SIGNERS: str, _LOG: str}
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Policy:
    """What is demanded.

    Attributes:
        require_signature: whether unsigned patch objects are refused.
        allowed_signers: the file that says whose signatures count; None if nobody's do.
        log: where applies and reverts are written down; None for the usual place.
    """

    require_signature: bool = False
    allowed_signers: Path | None = None
    log: Path | None = None


def current_policy() -> Policy:
    """The policy of this machine and user.

    Raises:
        PolicyError: a policy file is malformed, or somebody else could have written it.
    """
    machine, user = _read(MACHINE), _read(_users())
    return Policy(
        require_signature=machine.require_signature or user.require_signature,
        allowed_signers=machine.allowed_signers or user.allowed_signers,
        log=machine.log or user.log,
    )


def check_owner(path: Path, status: os.stat_result) -> None:
    """Refuse a file that says who may, when anybody but root and the user could have written it.

    Raises:
        PolicyError: its owner is another user, or others can write it.
    """
    if not stat.S_ISREG(status.st_mode):
        raise PolicyError(f"{path} is not a regular file")
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
        raise PolicyError(f"others can write {path}", advice=f"it decides who may: chmod go-w {path}, and own it")


def _users() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "oddtoc" / "policy.toml"


def _read(path: Path) -> Policy:
    try:
        with path.open("rb") as file:
            check_owner(path, os.fstat(file.fileno()))
            plain = tomllib.loads(file.read(_LARGEST).decode())
    except (FileNotFoundError, NotADirectoryError):
        return Policy()
    except OSError as error:
        raise PolicyError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path} is malformed: {error}") from error
    for key, value in plain.items():
        _check(path, key, value)
    return Policy(plain.get(_REQUIRE, False), _path(path, plain.get(_SIGNERS)), _path(path, plain.get(_LOG)))


def _check(path: Path, key: str, value: Any) -> None:
    kind = _KINDS.get(key)
    if kind is None:
        raise PolicyError(f"{path} has an unknown key {key!r}", advice=f"known: {', '.join(_KINDS)}")
    if type(value) is not kind or value == "":
        raise PolicyError(f"{path}: {key} is {'no path' if kind is str else 'neither true nor false'}")


def _path(policy: Path, value: str | None) -> Path | None:
    if value is None:
        return None
    try:
        return policy.parent / Path(value).expanduser()
    except (RuntimeError, ValueError) as error:
        raise PolicyError(f"{policy}: {value!r} is no path: {error}") from error
