"""What is done at one target, by whichever process: look, apply, revert. An answer comes back, never an error."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from oddtoc.errors import ImageError, OddtocError, TargetInUseError
from oddtoc.fleet.targets import FleetTarget
from oddtoc.kernel.complaints import complaints
from oddtoc.kernel.running import RunningKernel
from oddtoc.link.object import PatchObject
from oddtoc.live.journal import Condition, PatchStatus
from oddtoc.live.parts import Applied as Parts
from oddtoc.live.parts import Rehearsal, apply_parts, rehearse
from oddtoc.live.record import FunctionRecord
from oddtoc.live.session import DEFAULT_TIMEOUT, Session
from oddtoc.mechanism.catalog import AUTO, by_name
from oddtoc.trust.signature import signature_of

_AGAIN: Final = 0.2
"""Seconds until a target is tried again that another oddtoc uses."""
_CHECK: Final = 60.0
"""Seconds that a check may take."""


@dataclass(frozen=True)
class Manner:
    """How targets are visited: the options of `oddtoc apply` and `oddtoc revert`.

    Attributes:
        remote: whether a debug server may be on another machine.
        timeout: seconds to wait for threads to leave what changes, and for a target that another oddtoc uses.
        immediate: don't look at stacks.
        mechanism: a mechanism's name, or auto.
        which: choices for names that stand more than once.
        replace: take the place of all that is applied.

    Raises:
        MechanismError: no mechanism has that name.
    """

    remote: bool = False
    timeout: float = DEFAULT_TIMEOUT
    immediate: bool = False
    mechanism: str = AUTO
    which: Mapping[str, str] = field(default_factory=dict)
    replace: bool = False

    def __post_init__(self) -> None:
        if self.mechanism != AUTO:
            by_name(self.mechanism)


@dataclass(frozen=True)
class Applied:
    """A patch that a target has: its name, its hash, and what the live words say of it."""

    name: str
    sha256: str
    condition: str


@dataclass(frozen=True)
class Answer:
    """What came of a visit.

    Attributes:
        patches: what is applied there now, oldest first; None if that is not known.
        complaints: what its kernel has complained of since it booted; before an apply, if that was the visit.
        changed: whether words were changed by this visit.
        pause: seconds that it stood still for that.
        planned: the functions whose words an apply would change, where only that was asked.
        error: what went wrong; empty if nothing did.
        advice: the way out, if there is one.
    """

    patches: tuple[Applied, ...] | None = None
    complaints: frozenset[str] | None = None
    changed: bool = False
    pause: float = 0.0
    planned: tuple[FunctionRecord, ...] = ()
    error: str = ""
    advice: str = ""

    def has(self, sha256: str) -> bool:
        """Whether a patch object is in force there as a whole."""
        whole = (Condition.APPLIED.value, Condition.COVERED.value)
        return any(one.sha256 == sha256 and one.condition in whole for one in self.patches or ())


@dataclass(frozen=True)
class Shipment:
    """A patch object on its way to whoever applies it, with its signature.

    Args:
        name: the patch's name.
        content: the bytes of the object.
        signature: those of its signature; None if it has none.
    """

    name: str
    content: bytes
    signature: bytes | None

    @classmethod
    def of(cls, patch: PatchObject) -> Shipment:
        """Pack a patch object that was read from a file.

        Raises:
            ImageError: its signature can't be read.
        """
        path = signature_of(patch.path) if patch.path else None
        try:
            return cls(patch.name, patch.content, path.read_bytes() if path and path.exists() else None)
        except OSError as error:
            raise ImageError(f"{path} can't be read: {error.strerror}") from error

    @property
    def sha256(self) -> str:
        """The hash by which records know the object."""
        return hashlib.sha256(self.content).hexdigest()

    @contextmanager
    def unpacked(self) -> Iterator[PatchObject]:
        """The patch object, in a file beside its signature as long as this lasts."""
        with tempfile.TemporaryDirectory(prefix="oddtoc-") as folder:
            path = Path(folder, "patch.o")
            path.write_bytes(self.content)
            if self.signature is not None:
                signature_of(path).write_bytes(self.signature)
            yield PatchObject.open(path, self.name)


@dataclass(frozen=True)
class Look:
    """Sees what a target has, and whether it is well.

    Attributes:
        manner: how.
        check: a shell command that has to succeed, or none; ODDTOC_TARGET and ODDTOC_NAME say which target it is for.
    """

    manner: Manner
    check: str = ""

    def __call__(self, target: FleetTarget) -> Answer:
        """Look at a target, behind the check: what that brings about counts too."""
        failed = _checked(self.check, target) if self.check else ""
        answer = _visited(target, self.manner, lambda _session: Answer())
        return replace(answer, error=failed) if failed and not answer.error else answer


@dataclass(frozen=True)
class Apply:
    """Applies a patch to a target; where it is applied already it is left as it is."""

    manner: Manner
    shipment: Shipment

    def __call__(self, target: FleetTarget) -> Answer:
        """Apply it."""
        return _visited(target, self.manner, self._apply)

    def _apply(self, session: Session) -> Answer:
        before = _complaints(session)
        with self.shipment.unpacked() as patch:
            outcomes = [outcome for _, outcome in _put(session, patch, self.manner).done]
        changed, pause = any(o.changed for o in outcomes), sum(o.commit_pause for o in outcomes)
        return Answer(complaints=before, changed=changed, pause=pause)


@dataclass(frozen=True)
class Rehearse:
    """Plans an apply, and writes nothing."""

    manner: Manner
    shipment: Shipment

    def __call__(self, target: FleetTarget) -> Answer:
        """Plan it."""
        return _visited(target, self.manner, self._plan)

    def _plan(self, session: Session) -> Answer:
        with self.shipment.unpacked() as patch:
            commit = _planned(session, patch, self.manner).commit
        return Answer(planned=tuple(commit.functions) if commit else ())


@dataclass(frozen=True)
class Revert:
    """Takes a patch back from a target; one that has not got it is left as it is.

    Attributes:
        manner: how.
        name: the patch's name.
        sha256: its hash, if another one of the same name is none of our business.
    """

    manner: Manner
    name: str
    sha256: str = ""

    def __call__(self, target: FleetTarget) -> Answer:
        """Take it back."""
        return _visited(target, self.manner, self._revert)

    def _revert(self, session: Session) -> Answer:
        if not any(self._is_meant(status) for status in session.status()):
            return Answer()
        outcome = session.revert(self.name, timeout=self.manner.timeout, immediate=self.manner.immediate)
        return Answer(changed=outcome.changed, pause=outcome.commit_pause)

    def _is_meant(self, status: PatchStatus) -> bool:
        record = status.record
        return status.present and record.name == self.name and self.sha256 in ("", record.sha256)


@contextmanager
def _connected(target: FleetTarget, manner: Manner) -> Iterator[Session]:
    """A session with a target; one that another oddtoc uses is waited for."""
    limit = time.monotonic() + manner.timeout
    while True:
        try:
            session = Session.open(target.address, vmlinux=target.vmlinux, modules=target.modules, remote=manner.remote)
            break
        except TargetInUseError:
            if time.monotonic() > limit:
                raise
            time.sleep(_AGAIN)
    with session:
        yield session


def _put(session: Session, patch: PatchObject, manner: Manner) -> Parts:
    return apply_parts(
        session,
        patch,
        mechanism=manner.mechanism,
        which=manner.which,
        replace=manner.replace,
        timeout=manner.timeout,
        immediate=manner.immediate,
    )


def _planned(session: Session, patch: PatchObject, manner: Manner) -> Rehearsal:
    return rehearse(session, patch, mechanism=manner.mechanism, which=manner.which, replace=manner.replace)


def _visited(target: FleetTarget, manner: Manner, act: Callable[[Session], Answer]) -> Answer:
    """What came of an act, and what is applied behind it."""
    try:
        with _connected(target, manner) as session:
            answer = act(session)
            patches = tuple(_applied(status) for status in session.status() if status.present)
            found = _complaints(session) if answer.complaints is None else answer.complaints
            return replace(answer, patches=patches, complaints=found)
    except OddtocError as error:
        return Answer(error=error.message, advice=error.advice or "")


def _applied(status: PatchStatus) -> Applied:
    return Applied(status.record.name, status.record.sha256, status.condition.value)


def _complaints(session: Session) -> frozenset[str]:
    return complaints(session.running) if isinstance(session.running, RunningKernel) else frozenset()


def _checked(command: str, target: FleetTarget) -> str:
    """What is wrong with a target by the user's own check; nothing if it is well."""
    environment = {**os.environ, "ODDTOC_TARGET": target.address, "ODDTOC_NAME": target.name}
    try:
        result = subprocess.run(
            command, shell=True, env=environment, capture_output=True, text=True, timeout=_CHECK, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the check did not end within {_CHECK:.0f} s"
    said = (result.stderr or result.stdout).strip().splitlines()
    return f"the check ended with {result.returncode}{f': {said[-1]}' if said else ''}" if result.returncode else ""
