"""Parts of a report, for what commands, benchmarks and the corpus leave in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from oddtoc.errors import UsageError
from oddtoc.report.page import Section
from oddtoc.report.sections.benchmarks import cost_section, time_section
from oddtoc.report.sections.corpus import corpus_section
from oddtoc.report.sections.lab import lab_section
from oddtoc.report.sections.proofs import proofs_section
from oddtoc.report.sections.scan import scan_section

_WAYS: Final[dict[frozenset[str], Callable[[Any, str], Section]]] = {
    frozenset(("images", "totals", "failed")): scan_section,
    frozenset(("mechanisms", "scenarios", "cells")): lab_section,
    frozenset(("unit", "costs", "peer")): cost_section,
    frozenset(("benchmark", "unit", "measurements")): time_section,
}
_WAYS_OF_LISTS: Final[dict[frozenset[str], Callable[[Any, str], Section]]] = {
    frozenset(("mechanism", "call", "verdict", "ways")): proofs_section,
    frozenset(("file", "outcome", "reason")): corpus_section,
}
"""Keys of an answer, or of what an answer lists -> what makes a part of it."""


def section_of(answer: object, name: str) -> Section:
    """The part of a page for an answer.

    Args:
        answer: what `oddtoc scan`, `lab` or `prove` printed, what a benchmark wrote, or the corpus's log, read.
        name: where it is from.

    Raises:
        UsageError: it is from none of these, or not whole.
    """
    for keys, way in (_WAYS_OF_LISTS if isinstance(answer, list) else _WAYS).items():
        first = answer[0] if isinstance(answer, list) and answer else answer
        if isinstance(first, dict) and keys <= first.keys():
            try:
                return way(answer, name)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UsageError(f"{name} is not whole: {error!r}", advice="let the command print it again") from error
    raise UsageError(
        f"{name} is not what oddtoc scan, lab or prove print with --format json, a benchmark's or the corpus's file",
        advice="oddtoc scan 6.1 --format json --table functions > scan.json",
    )


def read_answer(path: Path) -> object:
    """What a command printed into a file; a list of objects for one that has an object in every line (.jsonl).

    Raises:
        UsageError: the file can't be read, or is no JSON.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error


def target_section(scan: Mapping[str, Any], status: list[Mapping[str, Any]], target: str) -> Section:
    """The part of a page for a running kernel: its image, with what is applied to it.

    Args:
        scan: what `oddtoc scan` prints of the image, with the tables functions and room.
        status: what `oddtoc status` prints.
        target: where it runs.
    """
    return scan_section(scan, target, applied=status)
