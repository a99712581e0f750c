"""What the names in a patch stand for."""

from __future__ import annotations

from collections.abc import Mapping

from oddtoc.link.fresh import read_fresh
from oddtoc.link.payload import Outside
from oddtoc.live.needs import Needs
from oddtoc.live.running import Subject


class Names:
    """Resolves names for a payload.

    Args:
        subject: what is patched.
        which: the user's choices for names that stand more than once in its image.
        needs: what it uses of other parts of the patch.
    """

    def __init__(self, subject: Subject, which: Mapping[str, str], needs: Needs | None = None) -> None:
        self._subject = subject
        self._which = which
        self._needs = needs or Needs()

    def is_foreign(self, name: str) -> bool:
        """Whether a function runs on another TOC pointer than what is patched."""
        return read_fresh(name) is not None or self._subject.is_foreign(name)

    def resolve(self, name: str) -> Outside:
        """What has that name.

        Raises:
            SymbolError: nothing has it, or more than one thing.
        """
        if read_fresh(name) is not None:
            return self._needs.resolve(name)
        return self._subject.resolve(name, self._which.get(name))
