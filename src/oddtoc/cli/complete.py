"""What shells complete: targets, guests, kernels, mechanisms, and patches that are applied."""

from __future__ import annotations

import os
from collections.abc import Iterator

import typer

_prefix = ""
"""What bash has cut off from the word that is to be completed."""


def join_words() -> None:
    """Undo in the environment what bash does to words with colons, such as guest:6.1: it hands them over in pieces.

    It replaces the last piece alone, so what comes before is left out of the answers (Bash manual, COMP_WORDBREAKS).
    """
    global _prefix
    words: list[str] = []
    glued = False
    pieces = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
    for number, piece in enumerate(pieces):
        glued = bool(words) and ":" in (piece, pieces[number - 1])
        if glued:
            words[-1] += piece
        else:
            words.append(piece)
    if glued:
        before, colon, words[-1] = words[-1].rpartition(":")
        _prefix = before + colon
    os.environ.update(COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1))


def targets(incomplete: str) -> list[tuple[str, str]]:
    """The guests that run, as targets, with their kernels."""
    whole = [(f"guest:{name}", kernel) for name, kernel in _running()]
    cut = len(_prefix)
    return [(word[cut:], kernel) for word, kernel in whole if word.startswith(_prefix + incomplete)]


def guests(incomplete: str) -> list[tuple[str, str]]:
    """The names of guests that run, with their kernels."""
    return [(name, kernel) for name, kernel in _running() if name.startswith(incomplete)]


def _running() -> Iterator[tuple[str, str]]:
    from oddtoc.target.guest import Guest

    return ((guest.name, guest.label) for guest in Guest.all() if guest.alive)


def series(incomplete: str) -> list[str]:
    """The kernels that Debian has."""
    from oddtoc.debian import SERIES

    return [one for one in SERIES if one.startswith(incomplete)]


def mechanisms(incomplete: str) -> list[tuple[str, str]]:
    """The mechanisms, with what they do."""
    from oddtoc.mechanism.catalog import AUTO, MECHANISMS

    known = [(AUTO, "the cheapest whose conditions hold"), *((name, one.summary) for name, one in MECHANISMS.items())]
    return [(name, about) for name, about in known if name.startswith(incomplete)]


def schemas(incomplete: str) -> list[str]:
    """The commands that answer in JSON."""
    from oddtoc.report.schemas import SCHEMAS

    return [name for name in SCHEMAS if name.startswith(incomplete)]


def applied(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The patches that are applied to the target that was named before; none if it can't be asked."""
    from oddtoc.errors import OddtocError
    from oddtoc.live.session import Session

    target = ctx.params.get("target")
    if not target:
        return []
    try:
        with Session.open(target, vmlinux=ctx.params.get("vmlinux")) as session:
            found = [status for status in session.status() if status.present]
    except OddtocError:
        # nobody wants to read an error in the middle of a command line
        return []
    return [(one.record.name, one.condition.value) for one in found if one.record.name.startswith(incomplete)]
