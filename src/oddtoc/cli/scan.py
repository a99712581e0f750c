"""oddtoc scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.options import Scheduler
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from oddtoc.engine import Engine
    from oddtoc.scan.run import Scan
    from oddtoc.scan.sources import Failure


class TableFormat(StrEnum):
    """How tables are printed or written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


class TableName(StrEnum):
    """What there is a table of."""

    IMAGES = "images"
    FUNCTIONS = "functions"
    JUMPS = "jumps"
    ROOM = "room"


_IMAGES = (
    "Kernels, modules (.ko, .ko.xz, ...), programs, libraries, Debian packages, folders, URLs (s3://, https://, "
    "file:// ...), or a series such as 6.1."
)
_TABLE = "The whole table instead of the summary; repeatable."
_REDRAWN = 0.1
"""Seconds."""
_FOLDER = "Write a file for each table into this folder."
_PARTS = "With --format parquet: a folder for each table, written part by part; a scan that was ended goes on."


def scan(
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGE...", help=_IMAGES)] = None,
    table: Annotated[list[TableName] | None, typer.Option("--table", help=_TABLE)] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option("--between", metavar="A B", help="What two kernels, folders or packages share, and what changed."),
    ] = None,
    output: Annotated[TableFormat, typer.Option("--format", help="How to print or write.")] = TableFormat.TEXT,
    folder: Annotated[Path | None, typer.Option("--output", "-o", metavar="FOLDER", help=_FOLDER)] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", metavar="N", min=1, help="Processes; one for each CPU if not given.")
    ] = None,
    scheduler: Scheduler = "",
    parts: Annotated[bool, typer.Option("--parts", help=_PARTS)] = False,
) -> None:
    """Show what can be redirected in whole images, what is dangerous, and where there is room."""
    if bool(images) == bool(between):
        raise UsageError("nothing to scan" if not images else "--between names its images itself")
    if output is TableFormat.PARQUET and folder is None:
        raise UsageError("Parquet is not for terminals", advice="name a folder with --output")
    if output is TableFormat.TEXT and folder is not None:
        raise UsageError("--output writes tables", advice="choose --format csv, json or parquet")
    if output is TableFormat.CSV and folder is None and len(table or []) > 1:
        raise UsageError("CSV holds one table", advice="name one, or a folder for several with --output")
    if parts and output is not TableFormat.PARQUET:
        raise UsageError("--parts is for Parquet", advice="choose --format parquet")
    from oddtoc.engine import open_engine

    names = list(dict.fromkeys(table or []))
    with open_engine(scheduler, jobs) as engine:
        if between:
            failed = _compare(between, names, output, folder, engine)
        elif folder is not None and (parts or (scheduler and output is TableFormat.PARQUET)):
            failed = _scan_into_parts(images or [], names, folder, engine)
        else:
            failed = _scan(images or [], names, output, folder, engine)
    if failed:
        from oddtoc.report.scan import failures_as_text

        typer.echo(failures_as_text(failed), err=True)
        raise typer.Exit(1)


def _scan(
    images: list[str], names: list[TableName], output: TableFormat, folder: Path | None, engine: Engine
) -> list[Failure]:
    from oddtoc.report.scan import scan_as_json, scan_as_text, tables_as_text
    from oddtoc.report.tables import table_as_csv, write_tables

    wanted = names or (list(TableName) if folder else [])
    found = _run(images, engine, functions=TableName.FUNCTIONS in wanted)
    if folder is not None:
        _written(write_tables([found.table(name) for name in wanted], folder, output))
    elif output is TableFormat.JSON:
        typer.echo(scan_as_json(found, names))
    elif output is TableFormat.CSV:
        _print(table_as_csv(found.table((names or [TableName.IMAGES])[0])), end="")
    else:
        _print(tables_as_text([found.table(name) for name in names]) if names else scan_as_text(found))
    return found.failed


def _compare(
    between: tuple[str, str], names: list[TableName], output: TableFormat, folder: Path | None, engine: Engine
) -> list[Failure]:
    from oddtoc.report.scan import comparison_as_json, comparison_as_text, tables_as_text
    from oddtoc.report.tables import table_as_csv, write_tables
    from oddtoc.scan.between import compare

    if names not in ([], [TableName.FUNCTIONS]):
        raise UsageError("--between compares functions", advice="--table functions shows them all")
    first, second = (_run([side], engine, digests=True) for side in between)
    found = compare(first, second)
    if folder is not None:
        _written(write_tables([found.table], folder, output))
    elif output is TableFormat.JSON:
        typer.echo(comparison_as_json(found))
    elif output is TableFormat.CSV:
        _print(table_as_csv(found.table), end="")
    else:
        _print(tables_as_text([found.table]) if names else comparison_as_text(found))
    return [*first.failed, *second.failed]


def _scan_into_parts(images: list[str], names: list[TableName], folder: Path, engine: Engine) -> list[Failure]:
    from oddtoc.report.parts import Parts
    from oddtoc.scan.batch import LARGE
    from oddtoc.scan.run import scan_batches
    from oddtoc.scan.sources import Failure

    parts = Parts(folder, names or list(TableName))
    failed: list[Failure] = []
    with _bar() as progress:
        wanted = [_source(image) for image in images]
        for batch, results in scan_batches(wanted, engine, size=LARGE, progress=progress, skip=parts.has):
            parts.write(batch, results)
            failed += [result for result in results if isinstance(result, Failure)]
    parts.finish()
    _written(parts.folders)
    return failed


def _run(images: list[str], engine: Engine, *, functions: bool = True, digests: bool = False) -> Scan:
    from oddtoc.scan.run import run_scan

    with _bar() as progress:
        wanted = [_source(image) for image in images]
        return run_scan(wanted, engine=engine, progress=progress, functions=functions, digests=digests)


def _source(image: str) -> Path | str:
    from oddtoc.cli.inspect import image_path
    from oddtoc.scan.store import is_url

    return image if is_url(image) else image_path(image)


@contextmanager
def _bar() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on terminals, when there is more than one file; drawn by no thread, for processes are forked."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None, visible=False)
        drawn = monotonic()

        def tell(done: int, known: int, name: str) -> None:
            nonlocal drawn
            bar.update(task, completed=done, total=known, description=Path(name).name, visible=known > 1)
            if monotonic() - drawn > _REDRAWN:
                bar.refresh()
                drawn = monotonic()

        yield tell


def _print(lines: Iterable[str], end: str = "\n") -> None:
    for line in lines:
        typer.echo(line + end, nl=False)


def _written(paths: Iterable[Path]) -> None:
    for path in paths:
        typer.echo(path)
