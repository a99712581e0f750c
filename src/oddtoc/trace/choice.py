"""Which functions a trace watches: those whose names fit, as far as a branch can take their calls aside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate

from oddtoc.errors import NoSiteError, SymbolError
from oddtoc.image.entry import Entry
from oddtoc.image.symbols import Symbol
from oddtoc.live.journal import Journal
from oddtoc.live.running import Subject
from oddtoc.trace.displaced import can_move

_WILD = frozenset("*?[")
_BOOT_ONLY = (".init", ".exit")
_RETURN_TWICE = frozenset(
    ["vfork", "setjmp", "_setjmp", "sigsetjmp", "__sigsetjmp", "getcontext", "swapcontext", "makecontext", "setcontext"]
)
"""Functions that return twice, or to somebody else."""


@dataclass(frozen=True)
class Traced:
    """A function that is watched.

    Attributes:
        name: of the function, with its address behind where several have that name.
        symbol: it.
        entry: address of its global entry.
        behind: address of the word that the branch displaces.
        word: what stands there now: its own, or the branch of a patch.
        original: what stands there without any patch.
    """

    name: str
    symbol: Symbol
    entry: int
    behind: int
    word: int
    original: int


@dataclass(frozen=True)
class Choice:
    """What a trace watches.

    Attributes:
        functions: by address.
        refused: (name, reason) of those that fit a pattern and can't be watched.
    """

    functions: tuple[Traced, ...]
    refused: tuple[tuple[str, str], ...]


def choose(subject: Subject, journal: Journal, patterns: Sequence[str], *, returns: bool) -> Choice:
    """The functions that some patterns mean.

    Args:
        subject: the image that they are in.
        journal: what is applied there.
        patterns: names, or globs as of a shell.
        returns: whether returns are to be watched.

    Raises:
        SymbolError: no function fits one of them.
        NoSiteError: none of those that do can be watched; the error says why of the first.
    """
    symbols = _fitting(subject, patterns)
    functions: list[Traced] = []
    refused: list[tuple[str, str]] = []
    entries = subject.known_entries(symbols)
    places = [(entry.behind or entry.local_entry, 4) for entry in entries if isinstance(entry, Entry)]
    words = iter(subject.read_many(places))
    for symbol, name, entry in zip(symbols, _told_apart(symbols), entries, strict=True):
        word = 0 if isinstance(entry, NoSiteError) else int.from_bytes(next(words), "little")
        try:
            functions.append(_traced(subject, journal, symbol, name, entry, word, returns=returns))
        except NoSiteError as error:
            refused.append((name, error.message))
    if not functions:
        raise NoSiteError(f"none of {len(refused)} functions can be traced: {refused[0][1]}", function=symbols[0].name)
    return Choice(tuple(functions), tuple(refused))


def _fitting(subject: Subject, patterns: Sequence[str]) -> list[Symbol]:
    found: dict[int, Symbol] = {}
    names = [(table, indices := table.functions().indices, table.names(indices)) for table in subject.tables]
    for pattern in patterns:
        fit = re.compile(translate(pattern)).match
        fitting = [
            table.symbol(int(indices[place]))
            for table, indices, known in names
            for place, name in enumerate(known)
            if fit(name)
        ]
        found |= {symbol.address: symbol for symbol in reversed(fitting) if symbol.address not in found}
        if fitting:
            continue
        if _WILD & set(pattern):
            raise SymbolError(f"no function fits {pattern}")
        subject.function(pattern)  # which says what there is instead
    return [found[address] for address in sorted(found)]


def _told_apart(symbols: Sequence[Symbol]) -> list[str]:
    counts = Counter(symbol.name for symbol in symbols)
    return [f"{s.name}@{s.address:#x}" if counts[s.name] > 1 else s.name for s in symbols]


def _traced(
    subject: Subject,
    journal: Journal,
    symbol: Symbol,
    name: str,
    entry: Entry | NoSiteError,
    word: int,
    *,
    returns: bool,
) -> Traced:
    """One function.

    Raises:
        NoSiteError: it can't be watched, and why.
    """
    reason = None
    if symbol.type == "ifunc":
        reason = "is an IFUNC: callers do not come by"
    elif symbol.section.startswith(_BOOT_ONLY):
        reason = "only ran at boot"
    elif returns and symbol.name in _RETURN_TWICE:
        reason = "returns twice, or to somebody else"
    if reason:
        raise NoSiteError(f"{symbol.name} {reason}", address=symbol.address, function=symbol.name)
    if isinstance(entry, NoSiteError):
        raise entry
    behind = subject.branch_place(symbol, entry)
    if subject.is_jumped_to(entry.global_entry, behind):
        raise NoSiteError(
            f"the first word of {symbol.name} is jumped to from inside (a loop)", address=behind, function=symbol.name
        )
    original = subject.image.word(behind)
    _check_word(journal, name, behind, word, original)
    return Traced(name, symbol, entry.global_entry, behind, word, original)


def _check_word(journal: Journal, name: str, behind: int, word: int, original: int) -> None:
    if word not in (original, journal.current(behind)):
        raise NoSiteError(
            f"somebody else has changed {name}: {word:#010x} stands there and not {original:#010x}",
            address=behind,
            function=name,
        )
    if word == original and not can_move(word):
        raise NoSiteError(f"{name} begins with {word:#010x}, which works only there", address=behind, function=name)
