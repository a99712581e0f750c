"""What the names in a patch stand for."""

from __future__ import annotations

from collections.abc import Mapping

from oddtoc.link.payload import Outside
from oddtoc.live.running import Subject


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
