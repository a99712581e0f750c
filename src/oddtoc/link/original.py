"""The original of a patched function, for its replacement to call: `oddtoc_original_FUNCTION`.

A stub in the payload runs the word that the branch displaced and goes on behind it; templates in
mechanism/original.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oddtoc import isa
from oddtoc.errors import PatchError

if TYPE_CHECKING:
    from oddtoc.link.layout import Redirect

_PREFIX = "oddtoc_original_"


def original_of(name: str) -> str | None:
    """The function whose original a symbol stands for; None for any other symbol."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def displaced_word(redirect: Redirect) -> int:
    """The word that the branch displaced, which has to do the same anywhere.

    Raises:
        PatchError: it is not known, or depends on where it stands.
    """
    function, word = redirect.entry.function, redirect.displaced
    if word is None:
        raise PatchError(
            f"the original of {function} can't be called: nobody said which word the branch displaces",
            function=function,
        )
    if isa.depends_on_place(word):
        raise PatchError(
            f"the original of {function} can't be called: {word:#010x}, which the branch displaces, works only there",
            address=redirect.entry.behind,
            function=function,
        )
    return word


def can_move(redirect: Redirect) -> bool:
    """Whether `displaced_word` has an answer."""
    try:
        displaced_word(redirect)
    except PatchError:
        return False
    return True
