"""What came of the files, as the documentation has it (docs/corpus.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oddtoc.report.sections.corpus import first_reason

_WHOLE = ("applied", "no effect", "ran at boot")
_OUTCOMES = (*_WHOLE, "in part", "built", "refused", "not now", "failed")
_COLUMNS = ("all files", "kernel proper", "modules")


def table(verdicts: Sequence[Mapping[str, Any]], files: int, versions: str) -> str:
    """How many files came to what, and why, in Markdown.

    Args:
        verdicts: of the files that were judged, as in the log.
        files: how many differ.
        versions: the older and the newer one.
    """
    parts = [verdicts, *([one for one in verdicts if bool(one["module"]) is wanted] for wanted in (False, True))]
    outcomes = [Counter(one["outcome"] for one in part) for part in parts]
    reasons = [Counter(first_reason(one) for one in part if one["outcome"] == "refused") for part in parts]
    whole, in_part = sum(outcomes[0][name] for name in _WHOLE), outcomes[0]["in part"]
    equal, compared = (sum(one[key] for one in verdicts) for key in ("equal", "compared"))
    lines = [f"Linux {versions}: {len(verdicts)} of {files} files that differ", ""]
    lines += _rows("outcome", [name for name in _OUTCOMES if outcomes[0][name]], outcomes, list(map(len, parts)))
    lines += [
        "",
        f"{whole} files, {_share(whole, len(verdicts))}, are applied as a whole and reverted, or proven to have no"
        f" effect. With those of which hunks were left out, each reported, and the rest applied and reverted, it is"
        f" {whole + in_part} files, {_share(whole + in_part, len(verdicts))}.",
        "",
    ]
    lines += _rows("refused for (the first reason counts)", [name for name, _ in reasons[0].most_common()], reasons)
    lines += ["", f"Functions of the old source that are the code that runs: {equal:,} of {compared:,}."]
    return "\n".join(lines)


def _rows(head: str, names: Iterable[str], columns: Sequence[Counter[str]], totals: Sequence[int] = ()) -> list[str]:
    lines = [f"| {head} | {' | '.join(_COLUMNS)} |", f"|---|{'---|' * len(_COLUMNS)}"]
    for name in names:
        cells = [f"{column[name]}" for column in columns]
        if totals:
            cells = [f"{cell} ({_share(int(cell), total)})" for cell, total in zip(cells, totals, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "-"
