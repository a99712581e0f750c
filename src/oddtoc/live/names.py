"""What the names in a patch stand for: symbols of the kernel, and what all patches share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oddtoc.image.symbols import Symbol
from oddtoc.kernel.room import Rooms, Span
from oddtoc.kernel.running import RunningKernel

_SHADOW_TABLE = 0
_MAILBOX = 960
_TABLES = 1024
_SHARED = {"oddtoc_shadow_table": _SHADOW_TABLE, "oddtoc_mailbox": _MAILBOX, "oddtoc_tables": _TABLES}
"""Offsets (bytes) in the common room: 960 bytes of shadow table, then the mailbox, then 3 KiB of tables."""


@dataclass(frozen=True)
class Place:
    """Data outside of the payload."""

    address: int
    other: int = 0

    @property
    def local_entry(self) -> int:
        """Nobody calls it."""
        return self.address


class Names:
    """Resolves names for a payload.

    Args:
        kernel: the running kernel.
        which: the user's choices for names that stand more than once in its image.
    """

    def __init__(self, kernel: RunningKernel, which: Mapping[str, str]) -> None:
        self._kernel = kernel
        self._which = which

    def resolve(self, name: str) -> Symbol | Place:
        """What has that name.

        Raises:
            SymbolError: nothing has it, or more than one symbol of the kernel.
        """
        if name in _SHARED:
            return Place(self._kernel.rooms.common.start + _SHARED[name])
        return self._kernel.image.symbols.one(name, self._which.get(name))


def mailbox_of(rooms: Rooms) -> int:
    """The address of the mailbox that callbacks are asked for through (oddtoc_callbacks.h)."""
    return rooms.common.start + _MAILBOX


def tables_of(rooms: Rooms) -> Span:
    """Where patches register their tables (live/tables.py)."""
    return Span(rooms.common.start + _TABLES, rooms.common.end)
