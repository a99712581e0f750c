"""The commit: the words of a patch change, all of them, while the target stands still and nobody is in their way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oddtoc.errors import BusyError, ChangedError, FaultError
from oddtoc.live.quiescence import Watch
from oddtoc.live.record import Change, FunctionRecord
from oddtoc.live.running import Held, Stander, Target
from oddtoc.live.store import Write
from oddtoc.places import Span
from oddtoc.target.pause import Pause, uninterrupted

_FIRST_DELAY = 0.001
_LONGEST_DELAY = 0.1


@dataclass(frozen=True)
class Commit:
    """What a commit changes.

    Attributes:
        functions: whose words change, each from the old word, which stands there now, to the new one.
        states: written behind the words: the states of records.
        accepted: whether a word may already be what it is to become.
        entries: address and bytes of what has to stand in the journal: the headers of the records that were written for
            this commit; none of those that were there before.
    """

    functions: Sequence[FunctionRecord]
    states: Sequence[Write]
    accepted: bool
    entries: Sequence[Write] = ()


def carry_out(target: Target, commit: Commit, *, timeout: float, watch: Watch | None = None) -> Pause:
    """Write a commit in one stop, as soon as no thread stands in its way.

    Args:
        target: the target.
        commit: what to change.
        timeout: seconds after which to give up; the target runs on in between.
        watch: looks at the stacks of all threads; None looks at the vCPUs' own positions alone.

    Returns:
        The pause that the target saw for the commit itself.

    Raises:
        BusyError: somebody stood in the way all the time; the error says who.
        ChangedError: a word is not the one that the plan was made for; nothing was written.
        FaultError: a word could not be written; those that were are back as they were.
    """
    deadline = time.monotonic() + timeout
    blamed: BusyError | None = None
    delay = _FIRST_DELAY
    blocks = [_block(function.changes) for function in commit.functions]
    places = [*((block.start, block.size) for block in blocks), *((place, len(data)) for place, data in commit.states)]
    own = [(place, len(header)) for place, header in commit.entries]
    words = [(c.address, c.old.to_bytes(4, "little")) for function in commit.functions for c in function.changes]
    while True:
        with uninterrupted(), target.stopped() as stopped:
            stopped.unshare(words)
            more = watch.requests() if watch else []
            cpus, memory = stopped.look([*places, *own, *more])
            live, rest = memory[: len(places)], memory[len(places) + len(own) :]
            _check_entries(commit, memory[len(places) :])
            obstacle = _obstacle(cpus, commit.functions)
            if watch and obstacle is None:
                obstacle = watch.obstacle(stopped, cpus, rest)
            if obstacle is None:
                wanted = _wanted(commit, blocks, live)
                before = [(place, memory) for (place, _), memory in zip(places, live, strict=True)]
                with target.undoable(cpus, before):
                    _write(stopped, wanted, before)
        if obstacle is None:
            return target.pauses[-1]
        # who is named together with a stack says more than a vCPU that was just passing by
        blamed = obstacle if obstacle.stack or blamed is None else blamed
        if time.monotonic() > deadline:
            raise blamed
        time.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


def _obstacle(cpus: Iterable[Stander], functions: Iterable[FunctionRecord]) -> BusyError | None:
    """A vCPU that stands between a global entry and the branch, or on a word that changes."""
    windows = [(Span(function.entry + 4, function.behind + 4), function) for function in functions]
    for cpu in cpus:
        if not cpu.is_known:
            return BusyError(
                f"{cpu.label} is in the kernel's entry code, where it can't be seen what it interrupted",
                address=cpu.positions[0],
                advice="try again, or give it longer with --timeout",
            )
        for span, function in windows:
            for address in cpu.positions:
                if address in span:
                    return BusyError(
                        f"{cpu.label} stands at {address:#x}, in the entry of {function.name}",
                        address=address,
                        function=function.name,
                        advice="try again, or give it longer with --timeout",
                    )
    return None


def _wanted(commit: Commit, blocks: Sequence[Span], live: Sequence[bytes]) -> list[Write]:
    """What to write, states last; the words that stand there now are those that are expected."""
    words = list(zip(commit.functions, blocks, live, strict=False))
    for function, block, memory in words:
        _check(function, commit, block, memory)
    return [*((block.start, _changed(function, block, memory)) for function, block, memory in words), *commit.states]


def _check_entries(commit: Commit, memory: Sequence[bytes]) -> None:
    """Another oddtoc that comes in between takes the record for that of a killed run: it ends it, or gives it back."""
    for (place, header), found in zip(commit.entries, memory, strict=False):
        if found != header:
            raise ChangedError(
                "another oddtoc has been at the records of this target meanwhile; nothing was written",
                address=place,
                advice="try again when it has finished",
            )


def _write(stopped: Held, wanted: Sequence[Write], before: Sequence[Write]) -> None:
    try:
        stopped.write_many(wanted, verify=True)
    except (FaultError, ChangedError):
        stopped.write_many(before, verify=False)
        raise


def _block(changes: Sequence[Change]) -> Span:
    """From the first to the last word of a function that changes: written in one piece."""
    addresses = [change.address for change in changes]
    return Span(min(addresses), max(addresses) + 4)


def _check(function: FunctionRecord, commit: Commit, block: Span, memory: bytes) -> None:
    for change in function.changes:
        offset = change.address - block.start
        word = int.from_bytes(memory[offset : offset + 4], "little")
        if word != change.old and not (commit.accepted and word == change.new):
            raise ChangedError(
                f"the {change.role} of {function.name} is {word:#010x} and not {change.old:#010x}; nothing was written",
                address=change.address,
                function=function.name,
                advice="somebody else has changed it: look with oddtoc status",
            )


def _changed(function: FunctionRecord, block: Span, memory: bytes) -> bytes:
    result = bytearray(memory)
    for change in function.changes:
        offset = change.address - block.start
        result[offset : offset + 4] = change.new.to_bytes(4, "little")
    return bytes(result)
