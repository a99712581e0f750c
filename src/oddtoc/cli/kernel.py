"""oddtoc kernel: Debian's kernels on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli import complete
from oddtoc.cli.command import Command
from oddtoc.cli.options import Format, Output

if TYPE_CHECKING:
    from oddtoc.debian import DebianKernel
    from oddtoc.debian.apt import Report

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Debian's ppc64el kernels on this machine.")


@app.command(cls=Command)
def fetch(
    series: Annotated[
        str,
        typer.Argument(
            metavar="SERIES", help="6.1, 6.12 or 7.2; with -64k for 64 KiB pages.", autocompletion=complete.series
        ),
    ],
    output: Output = Format.TEXT,
) -> None:
    """Get Debian's newest kernel of a series, its modules and a static busybox."""
    from oddtoc.debian import fetch_kernel

    with progress(series) as report:
        kernel = fetch_kernel(series, refresh=True, report=report, note=lambda line: typer.echo(line, err=True))
    typer.echo(json.dumps([_plain(kernel)], indent=2) if output is Format.JSON else _describe(kernel))


@app.command("list", cls=Command)
def list_kernels(output: Output = Format.TEXT) -> None:
    """List the kernels that were fetched."""
    from oddtoc.debian import fetched_kernels

    kernels = fetched_kernels()
    if output is Format.JSON:
        typer.echo(json.dumps([_plain(kernel) for kernel in kernels], indent=2))
    else:
        typer.echo("\n".join(map(_describe, kernels)) or "no kernel was fetched yet: oddtoc kernel fetch 6.1")


@contextmanager
def progress(series: str) -> Iterator[Report]:
    """A progress bar on standard error while a kernel is fetched; nothing when it is no terminal but the words."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = TextColumn("kernel {task.fields[series]}: {task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking", total=100, series=series)

        def report(what: str, percent: float) -> None:
            bar.update(task, description=what, completed=percent)

        yield report


def _describe(kernel: DebianKernel) -> str:
    parts = {"image": kernel.vmlinux, "modules": kernel.modules, "config": kernel.config, "busybox": kernel.busybox}
    lines = [f"{kernel.series}: Linux {kernel.release} (Debian {kernel.version})"]
    return "\n".join([*lines, *(f"  {what:8} {path}" for what, path in parts.items())])


def _plain(kernel: DebianKernel) -> dict[str, str]:
    return {key: str(value) for key, value in asdict(kernel).items()}
