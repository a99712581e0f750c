"""What is applied in a target: its records held against its live words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from oddtoc.errors import RoomError, StateError
from oddtoc.kernel.room import Span
from oddtoc.kernel.running import ReadMany
from oddtoc.live.record import FunctionRecord, JournalEntry, Record, State, end_of_journal, read_journal


class Condition(Enum):
    """What the live words say about a recorded patch or function."""

    APPLIED = "applied"
    COVERED = "covered by a later patch"
    ABSENT = "not applied"
    PARTLY = "partly applied"
    FOREIGN = "changed by somebody else"


@dataclass(frozen=True)
class PatchStatus:
    """One recorded patch and what is true of it.

    Attributes:
        entry: its journal entry.
        functions: per function what the live words say.
    """

    entry: JournalEntry
    functions: tuple[tuple[FunctionRecord, Condition], ...]

    @property
    def record(self) -> Record:
        """The record."""
        return self.entry.record

    @property
    def condition(self) -> Condition:
        """The patch as a whole: the one condition of all its functions, otherwise the worst."""
        found = {condition for _, condition in self.functions}
        if len(found) == 1:
            return found.pop()
        if Condition.FOREIGN in found:
            return Condition.FOREIGN
        if found <= {Condition.APPLIED, Condition.COVERED}:
            return Condition.COVERED
        return Condition.PARTLY

    @property
    def present(self) -> bool:
        """Whether any of its words may be in force."""
        return self.condition is not Condition.ABSENT


class Journal:
    """The records of a target, read once, with the live words that they speak of.

    Args:
        room: where the journal is.
        read_many: reads live memory.

    Raises:
        RecordError: the journal is damaged.
    """

    def __init__(self, room: Span, read_many: ReadMany) -> None:
        self.room = room
        self.entries = read_journal(room, lambda address, size: read_many([(address, size)])[0])
        recorded = [entry for entry in self.entries if entry.state is not State.REVERTED]
        addresses = sorted({c.address for e in recorded for f in e.record.functions for c in f.changes})
        memory = read_many([(address, 4) for address in addresses]) if addresses else []
        self.live = {a: int.from_bytes(m, "little") for a, m in zip(addresses, memory, strict=True)}
        self.patches = self._judge(recorded)

    def _judge(self, recorded: Sequence[JournalEntry]) -> list[PatchStatus]:
        """Newest first: the words that a patch covers are those that the next one found."""
        expected = dict(self.live)
        patches: list[PatchStatus] = []
        for entry in reversed(recorded):
            found = tuple((function, self._condition(function, expected)) for function in entry.record.functions)
            patches.append(PatchStatus(entry, found))
            for function, condition in found:
                if condition in (Condition.APPLIED, Condition.COVERED):
                    expected.update((change.address, change.old) for change in function.changes)
        return patches[::-1]

    def _condition(self, function: FunctionRecord, expected: dict[int, int]) -> Condition:
        words = [(expected[change.address], change) for change in function.changes]
        if all(word == change.new for word, change in words):
            on_top = all(self.live[change.address] == change.new for change in function.changes)
            return Condition.APPLIED if on_top else Condition.COVERED
        if all(word == change.old for word, change in words):
            return Condition.ABSENT
        if all(word in (change.old, change.new) for word, change in words):
            return Condition.PARTLY
        return Condition.FOREIGN

    def find(self, name: str) -> PatchStatus:
        """The patch of that name, the one in force if there are several records.

        Raises:
            StateError: no patch of that name is applied; the error names those that are.
        """
        for status in reversed(self.patches):
            if status.record.name == name and status.present:
                return status
        applied = [status.record.name for status in self.patches if status.present]
        raise StateError(
            f"no patch named {name} is applied",
            advice=f"applied: {', '.join(applied)}" if applied else "nothing is applied there",
        )

    def is_applied(self, name: str) -> bool:
        """Whether words of a patch of that name are in force."""
        return any(status.record.name == name and status.present for status in self.patches)

    def above(self, status: PatchStatus) -> list[str]:
        """Names of the patches that were applied later over functions of this one."""
        mine = {function.entry for function, _ in status.functions}
        later = self.patches[self.patches.index(status) + 1 :]
        return [s.record.name for s in later if s.present and mine & {f.entry for f, _ in s.functions}]

    def abandoned(self, name: str) -> tuple[int, ...]:
        """Addresses of entries of that name whose commit never happened."""
        return tuple(s.entry.address for s in self.patches if s.record.name == name and not s.present)

    def wrote(self, address: int, word: int) -> bool:
        """Whether a patch that is in force put this word there."""
        return any(
            change.address == address and change.new == word
            for status in self.patches
            if status.present
            for function, _ in status.functions
            for change in function.changes
        )

    @property
    def spans(self) -> list[Span]:
        """Memory that was ever given to a payload. It is not given again: a thread may still be in it."""
        return [span for entry in self.entries for span in entry.record.spans.values() if span.size > 0]

    def end(self, *, entry_size: int) -> int:
        """Where the next entry of that many bytes goes.

        Raises:
            RoomError: the journal is full.
        """
        place = end_of_journal(self.room, self.entries)
        if place + entry_size + 128 > self.room.end:
            raise RoomError(
                "the journal of this target is full", address=place, advice="reboot the target to start afresh"
            )
        return place
