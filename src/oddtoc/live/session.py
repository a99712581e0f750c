"""A session with one target: status, apply, revert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from oddtoc.errors import BusyError, ChangedError, FaultError, StateError, UsageError
from oddtoc.image.elf import Image
from oddtoc.kernel.running import RunningKernel
from oddtoc.link.object import PatchObject
from oddtoc.live.commit import Commit, carry_out
from oddtoc.live.journal import Journal, PatchStatus
from oddtoc.live.plan import Plan, plan_apply
from oddtoc.live.record import STATE_OFFSET, State, state_word
from oddtoc.mechanism.catalog import AUTO
from oddtoc.target.connect import connect, parse_target
from oddtoc.target.qemu import QemuTarget

DEFAULT_TIMEOUT = 10.0
_PIECE = 16 << 10


@dataclass(frozen=True)
class Outcome:
    """What an apply or revert did to the target.

    Attributes:
        name: the patch.
        commit_pause: seconds that the target stood still for the commit.
        longest_pause: seconds of the longest stop of the whole operation.
        total_pause: seconds of all its stops.
        stops: how many there were.
        round_trips: of the debug protocol, in the commit's stop.
    """

    name: str
    commit_pause: float
    longest_pause: float
    total_pause: float
    stops: int
    round_trips: int


class Session:
    """A connection to a running kernel, identified by its build id.

    Use it as a context manager; leaving it lets the target run on.

    Args:
        target: where it runs, already connected.
        image: the kernel's image.

    Raises:
        MismatchError: another kernel runs there.
    """

    def __init__(self, target: QemuTarget, image: Image) -> None:
        self.target = target
        self.kernel = RunningKernel(image, target.read_many)
        self.kernel.check_identity()

    @classmethod
    def open(cls, target: str, *, vmlinux: str | Path | None = None) -> Session:
        """Connect to a target.

        Args:
            target: ``guest:NAME``, ``gdb://host:port``, ``qmp:PATH`` or the path of a debug server's Unix socket.
            vmlinux: the kernel's ELF image with symbols; known already for ``guest:NAME``.

        Raises:
            UsageError: the target is malformed, or an image is needed.
            TargetError: nobody answers there; TargetInUseError: somebody else is connected.
            MismatchError: another kernel runs there.
        """
        address = parse_target(target)
        vmlinux = vmlinux or address.vmlinux
        if vmlinux is None:
            raise UsageError(f"which kernel runs at {target}?", advice="give its image with --vmlinux PATH")
        image = Image.open(vmlinux)
        connection = connect(address)
        try:
            return cls(connection, image)
        except BaseException:
            connection.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the target, which runs on."""
        self.target.close()

    def journal(self) -> Journal:
        """The target's records, read now, with the live words they speak of.

        Raises:
            RecordError: the journal in the target is damaged.
        """
        return Journal(self.kernel.rooms.journal, self.target.read_many)

    def status(self) -> list[PatchStatus]:
        """Every recorded patch that was not reverted, oldest first, judged by the live words."""
        return self.journal().patches

    def plan(self, patch: PatchObject, *, mechanism: str = AUTO, which: Mapping[str, str] | None = None) -> Plan:
        """Everything that applying a patch would write. See `plan_apply`."""
        return plan_apply(self.kernel, self.journal(), patch, mechanism=mechanism, which=which)

    def apply(self, plan: Plan, *, timeout: float = DEFAULT_TIMEOUT) -> Outcome:
        """Carry out a plan: payload and intent while the target runs, then the commit in one stop.

        Args:
            plan: from `plan`, made in this session.
            timeout: seconds to wait for vCPUs to leave the words that change.

        Raises:
            ChangedError: the room is not empty, or a word has changed since the plan was made.
            BusyError: a vCPU stood in the way all the time; the patch is not applied.
        """
        first = len(self.target.pauses)
        self._check_empty(plan)
        for address in plan.superseded:
            self.target.write_many([(address + STATE_OFFSET, state_word(State.REVERTED))])
        for address, data, _ in plan.segments:
            for start in range(0, len(data), _PIECE):
                self.target.write_many([(address + start, data[start : start + _PIECE])])
        self._write_intent(plan)
        state = (plan.journal_address + STATE_OFFSET, state_word(State.APPLIED))
        commit = Commit(plan.record.functions, to_new=True, accepted=False, state=state)
        try:
            pause = carry_out(self.target, commit, timeout=timeout)
        except (BusyError, ChangedError, FaultError):
            self.target.write_many([(plan.journal_address + STATE_OFFSET, state_word(State.REVERTED))])
            raise
        return self._outcome(plan.record.name, pause.seconds, pause.round_trips, first)

    def revert(self, name: str, *, timeout: float = DEFAULT_TIMEOUT) -> Outcome:
        """Put back the words that a patch changed.

        Its payload stays in memory, untouched: a thread may still be in it.

        Args:
            name: of the patch.
            timeout: seconds to wait for vCPUs to leave the words that change.

        Raises:
            StateError: no such patch is applied, or a later one covers it.
            BusyError: a vCPU stood in the way all the time; the patch is still applied.
        """
        first = len(self.target.pauses)
        commit = self.plan_revert(name)
        pause = carry_out(self.target, commit, timeout=timeout)
        return self._outcome(name, pause.seconds, pause.round_trips, first)

    def plan_revert(self, name: str) -> Commit:
        """What reverting a patch would write."""
        journal = self.journal()
        status = journal.find(name)
        if above := journal.above(status):
            raise StateError(f"{name} is covered by {above[-1]}", advice=f"oddtoc revert {above[-1]} first")
        state = (status.entry.address + STATE_OFFSET, state_word(State.REVERTED))
        return Commit(status.record.functions, to_new=False, accepted=True, state=state)

    def _check_empty(self, plan: Plan) -> None:
        requests = [(address, len(data)) for address, data, _ in plan.segments]
        requests.append((plan.journal_address, len(plan.journal_entry)))
        for (address, _), memory in zip(requests, self.target.read_many(requests), strict=True):
            if any(memory):
                raise ChangedError(
                    f"the memory at {address:#x} is in use: it is not zero",
                    address=address,
                    advice="something other than oddtoc has written there; nothing was changed",
                )

    def _write_intent(self, plan: Plan) -> None:
        """Body first: the header makes the entry valid."""
        header = 32
        self.target.write_many([(plan.journal_address + header, plan.journal_entry[header:])])
        self.target.write_many([(plan.journal_address, plan.journal_entry[:header])])

    def _outcome(self, name: str, pause: float, round_trips: int, first: int) -> Outcome:
        pauses = [one.seconds for one in self.target.pauses[first:]]
        return Outcome(name, pause, max(pauses), sum(pauses), len(pauses), round_trips)
