"""Which words change when patches come and go: from what stands there now to what has to stand there then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from oddtoc.link.object import PART_MARK
from oddtoc.live.journal import Condition, Journal, PatchStatus
from oddtoc.live.record import Change, FunctionRecord


def moves(
    journal: Journal, leaving: Sequence[PatchStatus] = (), arriving: Sequence[FunctionRecord] = ()
) -> tuple[FunctionRecord, ...]:
    """The words that one commit has to change.

    Args:
        journal: what is in force.
        leaving: patches that are taken back, wherever they are in the stacks.
        arriving: functions that go on top.

    Returns:
        Functions whose changes go from the word that stands there now to the one that has to. First those that only
        leave: a commit whose arriving words are all there is complete. Functions of which no word changes, because
        another patch covers them, are left out.
    """
    found = {function.entry: function for function in _leaving(journal, leaving)}
    for function in arriving:
        # a word that only the leaving patches changed, and the arriving one leaves alone, still has to go back
        left = found.pop(function.entry).changes if function.entry in found else ()
        words = {change.address: change for change in left}
        words |= {c.address: replace(c, old=_or(journal.current(c.address), c.old)) for c in function.changes}
        found[function.entry] = replace(function, changes=_in_order(words.values()))
    return tuple(f for f in found.values() if any(change.old != change.new for change in f.changes))


def leaving_with(journal: Journal, name: str) -> list[PatchStatus]:
    """What a revert takes back: the parts of a patch that are in force, the last one first, and behind them itself.

    Raises:
        StateError: no such patch is applied.
    """
    status = journal.find(name)
    mark = f"{name}{PART_MARK}"
    parts = [other for other in journal.patches if other.present and other.record.name.startswith(mark)]
    return [*reversed(parts), status]


def _leaving(journal: Journal, leaving: Sequence[PatchStatus]) -> Iterable[FunctionRecord]:
    gone = {status.entry.address for status in leaving}
    words: dict[int, dict[int, Change]] = {}
    functions: dict[int, FunctionRecord] = {}
    for status in leaving:
        for function, condition in status.functions:
            if condition is Condition.GONE:
                continue
            functions[function.entry] = function
            for change in function.changes:
                # what somebody else has changed is expected as it was, so that the commit finds out
                before = change.new if condition is Condition.FOREIGN else journal.current(change.address)
                after = _or(journal.without(gone, change.address), change.old)
                if before is not None:
                    words.setdefault(function.entry, {})[change.address] = replace(change, old=before, new=after)
    for entry, changes in words.items():
        yield replace(functions[entry], changes=_in_order(changes.values()))


def _in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: change.address))


def _or(word: int | None, otherwise: int) -> int:
    return otherwise if word is None else word
