"""oddtoc lab: every mechanism against every scenario."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.complete import mechanisms
from oddtoc.cli.options import Format, Output

if TYPE_CHECKING:
    from oddtoc.lab.run import Matrix


class Flavour(StrEnum):
    """What the trampolines find behind r13."""

    PROCESS = "process"
    KERNEL = "kernel"


def lab(
    mechanism: Annotated[
        list[str] | None,
        typer.Option(
            "--mechanism",
            "-m",
            metavar="NAME",
            help="Such as guarded/slot; repeatable. All if not given.",
            autocompletion=mechanisms,
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", "-s", metavar="NAME", help="Such as sibling; repeatable. All if not given."),
    ] = None,
    output: Output = Format.TEXT,
    soak: Annotated[bool, typer.Option("--soak", help="A million patched calls for each cell that passes.")] = False,
    flavour: Annotated[
        Flavour, typer.Option("--flavour", help="Run the trampolines of processes, or those of kernels.")
    ] = Flavour.PROCESS,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Emulators at a time.")] = 2,
) -> None:
    """Run every mechanism in every scenario, on real machine code under qemu-ppc64le."""
    from oddtoc.report.lab import matrix_as_json, matrix_as_text

    matrix = _run(mechanism or [], scenario or [], soak=soak, process=flavour is Flavour.PROCESS, jobs=jobs)
    typer.echo(matrix_as_json(matrix) if output is Format.JSON else matrix_as_text(matrix))


def _run(mechanisms: list[str], scenarios: list[str], *, soak: bool, process: bool, jobs: int) -> Matrix:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from oddtoc.lab.run import SOAK_CALLS, cell_count, run_lab

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("building", total=cell_count(mechanisms, scenarios))
        return run_lab(
            mechanisms,
            scenarios,
            jobs=jobs,
            calls=SOAK_CALLS if soak else 1,
            process=process,
            progress=lambda cell: bar.update(task, advance=1, description=f"{cell.mechanism} {cell.scenario}"),
        )
