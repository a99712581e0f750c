"""What the names in a patch stand for."""

from __future__ import annotations

from collections.abc import Mapping

from oddtoc.kernel.running import TABLES
from oddtoc.link.payload import Outside
from oddtoc.live.running import Subject
from oddtoc.places import Rooms, Span


class Names:
    """Resolves names for a payload.

    Args:
        subject: what is patched.
        which: the user's choices for names that stand more than once in its image.
    """

    def __init__(self, subject: Subject, which: Mapping[str, str]) -> None:
        self._subject = subject
        self._which = which

    def resolve(self, name: str) -> Outside:
        """What has that name.

        Raises:
            SymbolError: nothing has it, or more than one thing.
        """
        return self._subject.resolve(name, self._which.get(name))


def tables_of(rooms: Rooms) -> Span:
    """Where patches register their tables (live/tables.py), in the room that all patches of a kernel share."""
    return Span(rooms.common.start + TABLES, rooms.common.end)
