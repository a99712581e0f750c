"""oddtoc report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.options import Format, Output
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from oddtoc.report.page import Section

_SOURCES = "What oddtoc scan or oddtoc lab printed with --format json; or images, which are scanned."


def report(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help=_SOURCES)],
    path: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page.")],
    output: Output = Format.TEXT,
) -> None:
    """Make one page of HTML that needs nothing else: tables to sort and search, maps, matrices."""
    from oddtoc.report.page import page, written_json

    sections = [_section(source) for source in sources]
    text = page("oddtoc report", ", ".join(section.title for section in sections), sections)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from error
    typer.echo(written_json(path, sections) if output is Format.JSON else path)


def _section(source: str) -> Section:
    import json

    from oddtoc.report.pages import read_answer, section_of

    if source.endswith(".json"):
        return section_of(read_answer(Path(source)), source)
    from oddtoc.cli.inspect import image_path
    from oddtoc.report.scan import scan_as_json
    from oddtoc.scan.run import run_scan

    scan = run_scan([image_path(source)])
    return section_of(json.loads(scan_as_json(scan, ["functions", "jumps", "room"])), source)
