"""Entries of functions, for readers: a block for one, a table for several, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from oddtoc.image.entry import Entry, SiteKind, TocSetup, entry_words
from oddtoc.isa import describe

_KINDS = {
    SiteKind.MPROFILE: "mprofile-kernel",
    SiteKind.PATCHABLE: "patchable",
    SiteKind.OUT_OF_LINE: "out-of-line",
}
_SETUPS = {
    TocSetup.PAIR: "pair",
    TocSetup.ABSOLUTE: "absolute",
    TocSetup.LOADED: "loaded",
    TocSetup.NONE: "none",
    TocSetup.PCREL: "pcrel",
}
_HEADINGS = ("function", "global entry", "local", "TOC set-up", "mark", "mark word", "site", "kind", "behind", "size")
_RIGHT = {2, 4, 6, 8, 9}
_LEGEND = "local, mark, site, behind: bytes from the global entry; size: bytes"


def entries_as_text(entries: Sequence[Entry]) -> str:
    """One entry as a block with all its words, several as a table; ends without a newline."""
    return _block(entries[0]) if len(entries) == 1 else _table(entries)


def entries_as_json(entries: Iterable[Entry]) -> str:
    """A list with one object for each entry, in the order given; addresses and words are strings ("0x...")."""
    return json.dumps([entry_record(entry) for entry in entries], indent=2)


def entry_record(entry: Entry) -> dict[str, Any]:
    """An entry as plain values: addresses and words as "0x..." strings, sizes in bytes, None where there is nothing."""
    return {
        "function": entry.function,
        "global_entry": _address(entry.global_entry),
        "local_entry": _address(entry.local_entry),
        "size": entry.size,
        "toc_setup": _SETUPS[entry.toc_setup],
        "toc": _address(entry.toc),
        "mark": _address(entry.mark),
        "mark_word": _word(entry.mark_word),
        "marked": entry.is_marked,
        "site": _address(entry.site),
        "site_kind": _KINDS[entry.site_kind] if entry.site_kind else None,
        "site_word": _word(entry.site_word),
        "behind": _address(entry.behind),
        "words": [
            {"address": _address(place), "word": _word(word), "text": describe(word, place), "role": role}
            for place, word, role in entry_words(entry)
        ],
    }


def _block(entry: Entry) -> str:
    rows = [
        ("global entry", _address(entry.global_entry)),
        ("local entry", _place(entry, entry.local_entry)),
        ("size", f"{entry.size} bytes" if entry.size else "not told by the image"),
        ("TOC set-up", entry.toc_setup.value),
        ("TOC", _address(entry.toc) or "-"),
        ("mark", _mark(entry)),
        ("site", _place(entry, entry.site) if entry.site else "none: ftrace leaves this function alone"),
        ("kind", f"{_KINDS[entry.site_kind]} ({entry.site_kind.value})" if entry.site_kind else "-"),
        ("behind", _place(entry, entry.behind)),
    ]
    lines = [entry.function, *(f"  {name:<14}{value}" for name, value in rows)]
    for number, (place, word, role) in enumerate(entry_words(entry)):
        text = describe(word, place)
        lines.append(f"  {'' if number else 'words':<14}{place:#x}  {word:08x}  {text:<24}  {role}".rstrip())
    return "\n".join(lines)


def _mark(entry: Entry) -> str:
    if entry.mark is None:
        return "nothing to mark"
    return _place(entry, entry.mark) + ("  marked" if entry.is_marked else "")


def _table(entries: Sequence[Entry]) -> str:
    rows = [_HEADINGS, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(
            text.rjust(width) if column in _RIGHT else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    tocs = sorted({f"{entry.toc:#x}" for entry in entries if entry.toc is not None})
    legend = [_LEGEND, *([f"TOC: {', '.join(tocs)}"] if tocs else [])]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", *legend])


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.function,
        _address(entry.global_entry) or "",
        _distance(entry, entry.local_entry),
        _SETUPS[entry.toc_setup],
        _distance(entry, entry.mark),
        f"{entry.mark_word:08x}{' marked' if entry.is_marked else ''}" if entry.mark_word is not None else "-",
        _distance(entry, entry.site),
        _KINDS[entry.site_kind] if entry.site_kind else "-",
        _distance(entry, entry.behind),
        str(entry.size),
    )


def _place(entry: Entry, address: int | None) -> str:
    return "-" if address is None else f"{address:#x}  ({_distance(entry, address)})"


def _distance(entry: Entry, address: int | None) -> str:
    return "-" if address is None else f"{address - entry.global_entry:+d}"


def _address(address: int | None) -> str | None:
    return None if address is None else f"{address:#x}"


def _word(word: int | None) -> str | None:
    return None if word is None else f"{word:#010x}"
