"""Entries of functions as they are now: told from the live words of a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from oddtoc.errors import NoSiteError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry, entry_range
from oddtoc.image.symbols import Symbol

_MOST_WORDS_AT_AN_ENTRY = 12

ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reads several (address, size) of live memory at once."""


def live_entries(image: Image, read_many: ReadMany, symbols: Iterable[Symbol]) -> list[Entry]:
    """The entries of functions, told from the live words, all read at once.

    Args:
        image: that the functions belong to, with the addresses that it has in the target.
        read_many: reads live memory.
        symbols: the functions.

    Raises:
        NoSiteError: the words at an entry are those of no known shape.
    """
    entries = []
    for found in known_entries(image, read_many, symbols):
        if isinstance(found, NoSiteError):
            raise found
        entries.append(found)
    return entries


def known_entries(image: Image, read_many: ReadMany, symbols: Iterable[Symbol]) -> list[Entry | NoSiteError]:
    """`live_entries`, with the error in place of each entry that is of no known shape."""
    symbols = list(symbols)
    # before the first function of a module nothing is mapped
    starts = [entry_range(symbol)[0] for symbol in symbols]
    ends = [symbol.address + 4 * _MOST_WORDS_AT_AN_ENTRY for symbol in symbols]
    windows = [(start, end - start) for start, end in zip(starts, ends, strict=True)]
    memory = read_many(windows)

    def reader(index: int) -> Callable[[int], int]:
        start = windows[index][0]

        def read_word(address: int) -> int:
            offset = address - start
            if not 0 <= offset <= len(memory[index]) - 4:
                raise NoSiteError(f"the entry of {symbols[index].name} is longer than any known shape", address=address)
            return int.from_bytes(memory[index][offset : offset + 4], "little")

        return read_word

    def entry(index: int) -> Entry | NoSiteError:
        try:
            return image.entry(symbols[index], reader(index))
        except NoSiteError as error:
            return error

    return [entry(index) for index in range(len(symbols))]
