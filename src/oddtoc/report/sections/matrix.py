"""A table with a word in every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def matrix(
    rows: Sequence[str], columns: Sequence[str], verdicts: Mapping[tuple[str, str], str], classes: Mapping[str, str]
) -> str:
    """HTML of a table; colours only repeat the words.

    Args:
        rows: names, of mechanisms.
        columns: names, of scenarios or calls.
        verdicts: (row, column) -> the word; nothing for what does not exist.
        classes: word -> good, bad or other.
    """
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    lines = []
    for row in rows:
        cells = (verdicts.get((row, column), "") for column in columns)
        shown = "".join(f'<td class="{classes.get(word, "bad") if word else ""}">{escape(word)}</td>' for word in cells)
        lines.append(f'<tr><th scope="row">{escape(row)}</th>{shown}</tr>')
    return (
        f'<table class="matrix"><thead><tr><th scope="col">mechanism</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
