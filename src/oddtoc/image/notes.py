"""ELF notes (System V gABI, "Note Section"): the build id that tells one kernel from another."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_NT_GNU_BUILD_ID = 3


def iterate_notes(content: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, type and descriptor of every note in the content of a note section; stops at a damaged one."""
    place = 0
    while place + 12 <= len(content):
        name_size, size, kind = struct.unpack_from("<III", content, place)
        name_at = place + 12
        start = name_at + (name_size + 3 & ~3)
        if start + size > len(content):
            return
        yield (
            content[name_at : name_at + name_size].rstrip(b"\0").decode(errors="replace"),
            kind,
            content[start : start + size],
        )
        place = start + (size + 3 & ~3)


def build_id(content: bytes) -> bytes | None:
    """The GNU build id in the content of a note section, or None."""
    return next(
        (text for name, kind, text in iterate_notes(content) if (name, kind) == ("GNU", _NT_GNU_BUILD_ID)), None
    )
