"""What stands between a session and its target: the policy is asked, and every apply and revert is logged.

As decorators of the session's methods, so that no way of calling them goes around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from oddtoc.errors import OddtocError, SignatureError
from oddtoc.link.object import PatchObject
from oddtoc.live.moves import leaving_with
from oddtoc.live.record import FunctionRecord, Record
from oddtoc.trust.log import Operation, logged
from oddtoc.trust.policy import Policy, current_policy
from oddtoc.trust.signature import check

if TYPE_CHECKING:
    from oddtoc.live.outcome import Outcome
    from oddtoc.live.plan import Plan
    from oddtoc.live.session import Session

_P = ParamSpec("_P")


class Keeper:
    """Knows, for one session, the policy and which patch objects it has admitted.

    Args:
        target: as the user wrote it.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._signers: dict[str, str | None] = {}

    @cached_property
    def policy(self) -> Policy:
        """The policy, read once.

        Raises:
            PolicyError: it is malformed.
        """
        return current_policy()

    def admit(self, patch: PatchObject) -> None:
        """Let a patch object in.

        Raises:
            SignatureError: the policy wants a signature that it has not got.
        """
        # a signature is one of the whole file, which the first part is
        signed = patch.first or patch
        self._signers[hashlib.sha256(patch.content).hexdigest()] = check(signed.content, signed.path, self.policy)

    def vouch(self, record: Record) -> None:
        """Let in what oddtoc itself has made: nobody signs that."""
        self._signers[record.sha256] = None

    def signer(self, sha256: str) -> str | None:
        """Who signed a patch object that was admitted.

        Raises:
            SignatureError: it was not admitted.
        """
        if sha256 not in self._signers:
            raise SignatureError("this plan was not made in this session", advice="make it with Session.plan")
        return self._signers[sha256]


def admitted(
    plan: Callable[Concatenate[Session, PatchObject, _P], Plan],
) -> Callable[Concatenate[Session, PatchObject, _P], Plan]:
    """For a method that plans an apply: the policy comes first, and a refusal is logged."""

    @wraps(plan)
    def keep(session: Session, patch: PatchObject, /, *args: _P.args, **options: _P.kwargs) -> Plan:
        try:
            session.keeper.admit(patch)
            return plan(session, patch, *args, **options)
        except OddtocError:
            with logged(session.keeper.policy, "apply", session.keeper.target, patch.name) as operation:
                operation.details["sha256"] = hashlib.sha256(patch.content).hexdigest()
                raise

    return keep


def logged_room(
    make: Callable[Concatenate[Session, PatchObject, _P], None],
) -> Callable[Concatenate[Session, PatchObject, _P], None]:
    """For a method that has the target make room for a patch: the policy comes first here, too."""

    @wraps(make)
    def keep(session: Session, patch: PatchObject, /, *args: _P.args, **options: _P.kwargs) -> None:
        with logged(session.keeper.policy, "room", session.keeper.target, patch.name) as operation:
            session.keeper.admit(patch)
            sha256 = hashlib.sha256(patch.content).hexdigest()
            operation.begin(sha256=sha256, signer=session.keeper.signer(sha256))
            make(session, patch, *args, **options)

    return keep


def logged_apply(
    apply: Callable[Concatenate[Session, Sequence[Plan], _P], list[Outcome]],
) -> Callable[Concatenate[Session, Sequence[Plan], _P], list[Outcome]]:
    """For a method that applies plans: each is an operation of its own."""

    @wraps(apply)
    def keep(session: Session, plans: Sequence[Plan], /, *args: _P.args, **options: _P.kwargs) -> list[Outcome]:
        keeper = session.keeper
        with ExitStack() as stack:
            operations = []
            for record in (plan.record for plan in plans):
                operation = stack.enter_context(logged(keeper.policy, "apply", keeper.target, record.name))
                operation.details["sha256"] = record.sha256
                operation.begin(signer=keeper.signer(record.sha256), where=_where(record.functions))
                operations.append(operation)
            outcomes = apply(session, plans, *args, **options)
            return [_noted(*one) for one in zip(operations, outcomes, strict=True)]

    return keep


def logged_revert(
    revert: Callable[Concatenate[Session, str, _P], Outcome],
) -> Callable[Concatenate[Session, str, _P], Outcome]:
    """For a method that takes a patch back, by name, and its further parts: each is an operation of its own."""

    @wraps(revert)
    def keep(session: Session, name: str, /, *args: _P.args, **options: _P.kwargs) -> Outcome:
        keeper = session.keeper
        with ExitStack() as stack:
            operation = stack.enter_context(logged(keeper.policy, "revert", keeper.target, name))
            operations = [operation]
            *parts, status = leaving_with(session.journal(), name)
            operation.begin(sha256=status.record.sha256, where=_where(status.record.functions))
            for record in (part.record for part in parts):
                operation = stack.enter_context(logged(keeper.policy, "revert", keeper.target, record.name))
                operation.begin(sha256=record.sha256, where=_where(record.functions))
                operations.append(operation)
            outcome = revert(session, name, *args, **options)
            for operation in operations:
                _noted(operation, outcome)
            return outcome

    return keep


def _where(functions: Iterable[FunctionRecord]) -> list[dict[str, Any]]:
    return [
        {
            "function": function.name,
            "entry": f"{function.entry:#x}",
            "mechanism": function.mechanism,
            "payload": f"{function.target:#x}",
            "words": [f"{change.address:#x}" for change in function.changes],
        }
        for function in functions
    ]


def _noted(operation: Operation, outcome: Outcome) -> Outcome:
    operation.details |= {"changed": outcome.changed, "pause_ms": round(outcome.commit_pause * 1000, 3)}
    return outcome
