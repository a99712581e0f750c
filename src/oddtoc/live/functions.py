"""The functions of a target that a patch replaces, as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from oddtoc.errors import ChangedError, PatchError, SymbolError
from oddtoc.image.entry import Entry
from oddtoc.image.symbols import Symbol
from oddtoc.link.object import PatchObject, Replacement
from oddtoc.live.journal import Journal
from oddtoc.live.running import Subject


@dataclass(frozen=True)
class Function:
    """A function that is to be redirected: where, and the word at `behind` while no patch is applied."""

    symbol: Symbol
    entry: Entry
    behind: int
    word: int


def find_functions(
    subject: Subject, journal: Journal, patch: PatchObject, which: Mapping[str, str]
) -> dict[str, Function]:
    """What a patch replaces, and what it hooks for its callbacks, by name.

    Args:
        subject: the image that it changes.
        journal: what is applied there.
        patch: the patch object.
        which: for names that stand more than once, the file, address or version that is meant.

    Raises:
        PatchError: a function is replaced twice, or can't be hooked.
        SymbolError: there is no such function, or more than one.
        NoSiteError: it has no word for a branch.
        ChangedError: somebody else has a branch there.
    """
    symbols: dict[str, Symbol] = {}
    for replacement in (*patch.replacements, *patch.hooks):
        symbol = _symbol(subject, patch, replacement, which)
        if symbol.name in symbols:
            raise PatchError(f"{patch.name} replaces {symbol.name} twice", function=symbol.name)
        symbols[symbol.name] = symbol
    found: dict[str, Function] = {}
    entries = subject.entries(symbols.values())
    places = [
        subject.branch_place(symbol, entry, compiled=patch.kernel is not None)
        for symbol, entry in zip(symbols.values(), entries, strict=True)
    ]
    live = subject.read_many([(behind, 4) for behind in places])
    for symbol, entry, behind, memory in zip(symbols.values(), entries, places, live, strict=True):
        word = int.from_bytes(memory, "little")
        original = subject.image.word(behind)
        if word not in (original, journal.current(behind)) and not journal.is_left_hook(behind, word):
            raise ChangedError(
                f"the word for the branch in {symbol.name} is {word:#010x} and not {original:#010x}",
                address=behind,
                function=symbol.name,
                advice="a kprobe, a breakpoint or another patcher is there: remove it first",
            )
        found[symbol.name] = Function(symbol, replace(entry, behind=behind), behind, original)
    return found


def _symbol(subject: Subject, patch: PatchObject, replacement: Replacement, which: Mapping[str, str]) -> Symbol:
    chosen = which.get(replacement.function) or replacement.which or None
    try:
        return subject.function(replacement.function, chosen)
    except SymbolError as error:
        if replacement in patch.hooks:
            raise PatchError(
                f"{patch.name} has callbacks, and this target lacks {replacement.function}, where they could run",
                function=replacement.function,
            ) from error
        raise
