"""The mappings of a process, from /proc/PID/maps (proc(5))."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from oddtoc.places import Span

PAGE = 64 << 10
"""Bytes: the largest page size there is, so that what is aligned to it suits every kernel."""
DELETED = " (deleted)"
"""Behind the path of a file that has no name any more, or another file has its name (proc(5))."""
_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)")
_LOWEST = 1 << 20
_BEYOND_STACK = 64 << 20
"""Bytes below the main stack that it may still grow into."""


@dataclass(frozen=True)
class Mapping:
    """One line: where, permissions (``r-xp``), offset in the file (bytes), device and inode, and the path or what the
    kernel calls it."""

    span: Span
    permissions: str
    offset: int
    file: tuple[str, int]
    path: str

    @property
    def is_anonymous(self) -> bool:
        """Whether it belongs to no file and has no name."""
        return not self.path and self.file[1] == 0

    @property
    def is_executable(self) -> bool:
        """Whether code in it runs."""
        return "x" in self.permissions


def parse_maps(text: str) -> list[Mapping]:
    """All mappings, by address. Lines that make no sense are left out."""
    found = []
    for line in text.splitlines():
        if match := _LINE.match(line):
            start, end, permissions, offset, device, inode, path = match.groups()
            span = Span(int(start, 16), int(end, 16))
            found.append(Mapping(span, permissions, int(offset, 16), (device, int(inode)), path))
    return found


def base_name(path: str) -> str:
    """The name of a mapped file without its folders, also of one that was deleted."""
    return PurePosixPath(path.removesuffix(DELETED)).name


def nearest_gap(mappings: Sequence[Mapping], around: Span, size: int, taken: Iterable[Span] = ()) -> int | None:
    """The place for `size` bytes that is free and nearest to some code.

    Args:
        mappings: of the process.
        around: the code.
        size: bytes, a multiple of the page size.
        taken: what is free and shall stay so.

    Returns:
        Its address, a multiple of 64 KiB; None where there is none.
    """
    used = sorted([*(_grown(mapping) for mapping in mappings), *taken])
    edges = [_LOWEST, *(span.end for span in used)]
    ends = [*(span.start for span in used), 1 << 47]
    places = []
    for low, high in zip(edges, ends, strict=True):
        first, last = -(-low // PAGE) * PAGE, (high - size) // PAGE * PAGE
        if first <= last:
            places += [first, last]
    return min(places, key=lambda place: max(around.end - place, place + size - around.start), default=None)


def _grown(mapping: Mapping) -> Span:
    """A stack and a heap with what they may grow into."""
    if mapping.path == "[stack]":
        return Span(mapping.span.start - _BEYOND_STACK, mapping.span.end)
    if mapping.path == "[heap]":
        return Span(mapping.span.start, mapping.span.end + _BEYOND_STACK)
    return mapping.span
