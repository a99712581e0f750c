"""One page of HTML that needs nothing else: sections with figures, pictures and tables to sort and search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from oddtoc.report.template import filled, script_data
from oddtoc.scan.schema import Field, Kind

_WIDEST = 64
"""Characters of a column; longer texts are cut, and shown whole when pointed at."""
_CODED = 4000
"""A column of texts with at most so many different ones is sent as numbers."""


@dataclass(frozen=True)
class PageTable:
    """A table of a page.

    Args:
        title: what stands above it.
        fields: its columns, with what they mean.
        rows: a dictionary for each row; addresses are texts ("0x...").
    """

    title: str
    fields: Mapping[str, Field]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        title: its heading.
        about: a line below.
        figures: names and values that stand out, with a remark each.
        pictures: pieces of HTML that are made already.
        tables: what can be sorted and searched.
    """

    title: str
    about: str = ""
    figures: Sequence[tuple[str, str, str]] = ()
    pictures: Sequence[str] = ()
    tables: Sequence[PageTable] = field(default_factory=list)


def written_json(path: Path, sections: Sequence[Section]) -> str:
    """Where the page is, and what is on it."""
    return json.dumps({"path": str(path), "sections": [section.title for section in sections]}, indent=2)


def page(title: str, about: str, sections: Sequence[Section]) -> str:
    """The whole page."""
    tables = [table for section in sections for table in section.tables]
    numbers = {id(table): number for number, table in enumerate(tables)}
    body = [_contents(sections) if len(sections) > 1 else ""]
    for place, section in enumerate(sections):
        body.append(f'<section id="part{place}"><h2>{escape(section.title)}</h2>')
        body += [f'<p class="about">{escape(section.about)}</p>' if section.about else "", _figures(section)]
        body += [f'<div class="card wide">{picture}</div>' for picture in section.pictures]
        body += [f'<div class="card" data-table="{numbers[id(table)]}"></div>' for table in section.tables]
        body.append("</section>")
    return filled(
        "report.html",
        TITLE=escape(title),
        ABOUT=escape(about),
        BODY="\n".join(body),
        DATA=script_data([_columns(table) for table in tables]),
    )


def _contents(sections: Sequence[Section]) -> str:
    links = (f'<li><a href="#part{n}">{escape(section.title)}</a></li>' for n, section in enumerate(sections))
    return f'<nav aria-label="contents"><ul>{"".join(links)}</ul></nav>'


def _figures(section: Section) -> str:
    if not section.figures:
        return ""
    parts = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)} <small>{escape(remark)}</small></dd></div>"
        for name, value, remark in section.figures
    )
    return f'<dl class="figures">{"".join(parts)}</dl>'


def _columns(table: PageTable) -> dict[str, Any]:
    return {"title": table.title, "columns": [_column(table, name, one) for name, one in table.fields.items()]}


def _column(table: PageTable, name: str, described: Field) -> dict[str, Any]:
    values = [row[name] for row in table.rows]
    longest = max((len(f"{value:,}" if isinstance(value, int) else str(value or "")) for value in values), default=0)
    column: dict[str, Any] = {
        "name": name,
        "kind": described.kind.value,
        "meaning": described.meaning,
        "width": min(longest, _WIDEST),
    }
    words = dict.fromkeys(values) if described.kind in (Kind.TEXT, Kind.LABEL) else {}
    if words and len(words) <= _CODED:
        codes = {word: code for code, word in enumerate(words)}
        return {**column, "words": list(words), "codes": [codes[value] for value in values]}
    return {**column, "values": values}
