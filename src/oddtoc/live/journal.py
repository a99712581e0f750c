"""What is applied in a target: its records held against its live words.

Patches over one function form a stack, oldest below. The live words tell which is on top; what lies below is told by
the records alone, as nothing of it can be seen. That is why every operation begins by settling the records: states
that a killed run left behind become what the live words say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

from oddtoc.errors import StateError
from oddtoc.image.live import ReadMany
from oddtoc.live.ahead import overlaid
from oddtoc.live.record import SLOTS, STUBS, Change, FunctionRecord, Record
from oddtoc.live.store import JournalEntry, State, Write, read_journal, state_write
from oddtoc.places import Span
from oddtoc.slots import ReturnSlots


class Condition(Enum):
    """What the live words say about a recorded patch or function."""

    APPLIED = "applied"
    COVERED = "covered by a later patch"
    ABSENT = "not applied"
    PARTLY = "partly applied"
    FOREIGN = "changed by somebody else"
    GONE = "gone with its module"
    """Or, in a process, with the library that was closed."""

    @property
    def in_force(self) -> bool:
        """Whether it takes part in a stack: on top, or below something."""
        return self in (Condition.APPLIED, Condition.COVERED, Condition.PARTLY)


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
    def replaced(self) -> list[tuple[FunctionRecord, Condition]]:
        """The functions that the patch is about."""
        return [(function, condition) for function, condition in self.functions if not function.finder]

    @property
    def condition(self) -> Condition:
        """The patch as a whole: the one condition of all functions that it is about, otherwise the worst."""
        found = {condition for _, condition in self.replaced}
        if not found:
            # it has nothing but callbacks
            return Condition.ABSENT
        if len(found) == 1:
            return found.pop()
        if Condition.FOREIGN in found:
            return Condition.FOREIGN
        if found <= {Condition.APPLIED, Condition.COVERED}:
            return Condition.COVERED
        return Condition.PARTLY

    @property
    def is_whole(self) -> bool:
        """Whether everything that its record is about is in force, what finds tables and unwind information too."""
        return {condition for _, condition in self.functions} <= {Condition.APPLIED, Condition.COVERED}

    @property
    def present(self) -> bool:
        """Whether any of its words may be in force."""
        left = any(function.finder and condition.in_force for function, condition in self.functions)
        return left or self.condition not in (Condition.ABSENT, Condition.GONE)


class Journal:
    """The records of a target, read once, with the live words that they speak of.

    Args:
        room: where the journal is.
        read_many: reads live memory.
        is_here: whether the module of that name, whose `struct module` is at an address, is there (see `Running`).

    Attributes:
        read_many: as given.
        contents: what stands there.
        live: the live words that records speak of, by address.
        patches: every patch that may be in force, oldest first.

    Raises:
        RecordError: the journal is damaged.
    """

    def __init__(
        self, room: Span, read_many: ReadMany, is_here: Callable[[str, int], bool] = lambda _module, _address: True
    ) -> None:
        self.room = room
        self.read_many = read_many
        self._is_here = is_here
        self.contents = read_journal(room, lambda address, size: read_many([(address, size)])[0])
        recorded = _not_replaced([entry for entry in self.contents.entries if entry.state is not State.REVERTED])
        spoken_of = {(entry.record.module, entry.record.module_at) for entry in self.contents.entries}
        self._gone = {module for module in spoken_of if not is_here(*module)}
        hooks = [hook for entry in self.contents.entries for hook in entry.record.hooks]
        records = [entry.record for entry in recorded]
        here = [f for record in records for f in record.functions if f.finder or not self.is_gone(record)]
        functions = [*here, *hooks]
        addresses = sorted({change.address for function in functions for change in function.changes})
        memory = read_many([(address, 4) for address in addresses]) if addresses else []
        self.live = {a: int.from_bytes(m, "little") for a, m in zip(addresses, memory, strict=True)}
        self.patches = self._judge(recorded)
        self._hooks = hooks

    def after(self, writes: Sequence[Write]) -> Journal:
        """What the journal is going to be when something more is written, by this oddtoc alone."""
        return Journal(self.room, overlaid(self.read_many, writes), self._is_here) if writes else self

    def is_gone(self, record: Record) -> bool:
        """Whether what a patch has changed was removed: its memory may be anybody's by now."""
        return (record.module, record.module_at) in self._gone

    def _judge(self, recorded: Sequence[JournalEntry]) -> list[PatchStatus]:
        """Newest first: what is on top covers what is older; a trace covers nothing, calls go on through it."""
        hidden: dict[int, Condition] = {}
        patches: list[PatchStatus] = []
        for index in reversed(range(len(recorded))):
            below = _words(recorded[:index])
            gone = self.is_gone(recorded[index].record)
            functions = tuple(
                (
                    function,
                    Condition.GONE
                    if gone and not function.finder
                    else self._condition(function, recorded[index].state, hidden.get(function.entry), below),
                )
                for function in recorded[index].record.functions
            )
            patches.append(PatchStatus(recorded[index], functions))
            passes = recorded[index].record.temporary
            for function, condition in functions:
                if condition.in_force:
                    below_it = hidden.get(function.entry, Condition.APPLIED) if passes else Condition.COVERED
                    hidden[function.entry] = below_it
        return patches[::-1]

    def _condition(
        self, function: FunctionRecord, state: State, hidden: Condition | None, below: set[tuple[int, int]]
    ) -> Condition:
        """
        Args:
            function: what is judged.
            state: of its patch, as recorded.
            hidden: what it is if that state is true, where a later patch or trace hides its words.
            below: the words that older patches want.
        """
        if hidden is not None:
            return hidden if state is State.APPLIED else Condition.ABSENT
        words = [(self.live[change.address], change) for change in function.changes]
        if all(word == change.new for word, change in words):
            return Condition.APPLIED
        if all(_is_older(word, change.address, change.old, below) for word, change in words):
            return Condition.ABSENT
        if all(word == c.new or _is_older(word, c.address, c.old, below) for word, c in words):
            return Condition.PARTLY
        return Condition.FOREIGN

    def find(self, name: str) -> PatchStatus:
        """The patch of that name, the one in force if there are several records.

        Raises:
            StateError: no patch of that name is applied; the error names those that are.
        """
        for status in reversed(self.patches):
            if status.record.name == name and (status.present or status.entry.state is State.APPLIED):
                return status
        applied = [status.record.name for status in self.patches if status.present]
        raise StateError(
            f"no patch named {name} is applied",
            advice=f"applied: {', '.join(applied)}" if applied else "nothing is applied there",
        )

    def is_applied(self, name: str) -> bool:
        """Whether words of a patch of that name are in force."""
        return any(status.record.name == name and status.present for status in self.patches)

    def check_whole(self, *names: str) -> None:
        """Let nobody build on a patch that a killed run left half-way.

        Args:
            names: patches that are about to be completed or taken back themselves.

        Raises:
            StateError: another patch is partly applied.
        """
        for status in self.patches:
            if status.condition is Condition.PARTLY and status.record.name not in names:
                name = status.record.name
                raise StateError(
                    f"{name} is partly applied: a run of oddtoc was killed over it",
                    advice=f"apply it again to complete it, or oddtoc revert {name}",
                )

    def current(self, address: int) -> int | None:
        """The word that stands at an address if nobody else has been there; None where no patch is in force."""
        words = [change.new for _, change in self._in_force(address)]
        return words[-1] if words else None

    def without(self, leaving: Collection[int], address: int) -> int | None:
        """The word that has to stand at an address when some patches leave; None where no patch is in force.

        Args:
            leaving: addresses of their entries.
            address: of the word.
        """
        changes = list(self._in_force(address))
        if not changes:
            return None
        words = [change.new for status, change in changes if status.entry.address not in leaving]
        return words[-1] if words else changes[0][1].old

    def _in_force(self, address: int) -> Iterable[tuple[PatchStatus, Change]]:
        return self._changes_in_force.get(address, ())

    @cached_property
    def _changes_in_force(self) -> dict[int, list[tuple[PatchStatus, Change]]]:
        """By address, oldest first."""
        found: dict[int, list[tuple[PatchStatus, Change]]] = {}
        for status in self.patches:
            for function, condition in status.functions:
                for change in function.changes if condition.in_force else ():
                    found.setdefault(change.address, []).append((status, change))
        return found

    @property
    def left_hooks(self) -> list[FunctionRecord]:
        """Hooks that a killed run left in place, each with the way back to what has to stand there."""
        return [
            replace(hook, changes=tuple(self._back(change) for change in hook.changes))
            for hook in self._hooks
            if self.is_left_hook(hook.behind, self.live.get(hook.behind, 0))
        ]

    def is_left_hook(self, address: int, word: int) -> bool:
        """Whether a word is the branch of a hook."""
        changes = (change for hook in self._hooks for change in hook.changes)
        return any((change.address, change.new, change.role) == (address, word, "branch") for change in changes)

    def _back(self, change: Change) -> Change:
        below = self.current(change.address)
        return replace(change, old=self.live[change.address], new=change.old if below is None else below)

    @property
    def settling(self) -> list[Write]:
        """What makes the states of all records say what is true."""
        known = {status.entry.address: status for status in self.patches}
        writes = []
        for entry in self.contents.entries:
            status = known.get(entry.address)
            state = State.REVERTED if status is None or not status.present else entry.state
            if status is not None and status.is_whole:
                state = State.APPLIED
            if state is not entry.state:
                writes.append(state_write(entry.address, state))
        return writes

    @property
    def spans(self) -> list[Span]:
        """Memory that payloads hold, also those of reverted patches: somebody may still be in one."""
        return [span for entry in self.contents.entries for span in entry.record.spans.values() if span.size > 0]

    @property
    def return_slots(self) -> list[ReturnSlots]:
        """Where traces keep return addresses, also those that were taken back: somebody may still come back there."""
        spans = [entry.record.spans for entry in self.contents.entries]
        return [ReturnSlots(one[STUBS], one[SLOTS]) for one in spans if STUBS in one and SLOTS in one]

    @property
    def left_over(self) -> list[PatchStatus]:
        """What is in force and was to be temporary."""
        return [status for status in self.patches if status.record.temporary and status.present]

    @property
    def next_serial(self) -> int:
        """For the next record."""
        return max((entry.record.serial for entry in self.contents.entries), default=0) + 1


def _not_replaced(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """A patch that replaced all others ends them with its own state, in one word."""
    kept: list[JournalEntry] = []
    for entry in entries:
        if entry.record.replaces and entry.state is State.APPLIED:
            kept.clear()
        kept.append(entry)
    return kept


def _words(entries: Sequence[JournalEntry]) -> set[tuple[int, int]]:
    """Every (address, word) that records want."""
    return {(c.address, c.new) for entry in entries for f in entry.record.functions for c in f.changes}


def _is_older(word: int, address: int, original: int, below: set[tuple[int, int]]) -> bool:
    return word == original or (address, word) in below
