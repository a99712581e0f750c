"""oddtoc report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oddtoc.cli.complete import targets
from oddtoc.cli.options import Format, Output, Remote, Vmlinux
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from oddtoc.report.page import Section

_SOURCES = (
    "What oddtoc scan, lab or prove printed with --format json, what benchmarks wrote, the corpus's log; or images, "
    "which are scanned."
)
_TARGET = "A running kernel: its image, with what is applied."


def report(
    path: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page.")],
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCE...", help=_SOURCES)] = None,
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help=_TARGET, autocompletion=targets)] = "",
    vmlinux: Vmlinux = None,
    remote: Remote = False,
    output: Output = Format.TEXT,
) -> None:
    """Make one page of HTML that needs nothing else: tables to sort and search, maps, matrices, plots."""
    from oddtoc.report.page import page, written_json

    if not (sources or target):
        raise UsageError("nothing to report", advice="name files, images or a --target")
    sections = [_running(target, vmlinux, remote)] if target else []
    sections += [_section(source) for source in sources or []]
    text = page("oddtoc report", ", ".join(section.title for section in sections), sections)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from error
    typer.echo(written_json(path, sections) if output is Format.JSON else path)


def _running(target: str, vmlinux: Path | None, remote: bool) -> Section:
    import json

    from oddtoc.live.session import Session
    from oddtoc.report.pages import target_section
    from oddtoc.report.patches import status_json

    with Session.open(target, vmlinux=vmlinux, remote=remote) as session:
        image, status = session.kernel.image.path, session.status()
    return target_section(_scanned(image), json.loads(status_json(status)), target)


def _scanned(image: Path) -> dict[str, Any]:
    import json

    from oddtoc.report.scan import scan_as_json
    from oddtoc.scan.run import run_scan

    scanned: dict[str, Any] = json.loads(scan_as_json(run_scan([image]), ["functions", "jumps", "room"]))
    return scanned


def _section(source: str) -> Section:
    from oddtoc.report.pages import read_answer, section_of

    if source.endswith((".json", ".jsonl")):
        return section_of(read_answer(Path(source)), source)
    from oddtoc.cli.inspect import image_path

    return section_of(_scanned(image_path(source)), source)
