"""oddtoc fleet: one patch and many targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.command import Command
from oddtoc.cli.options import (
    Format,
    Immediate,
    Mechanism,
    Output,
    PatchName,
    Remote,
    Scheduler,
    Timeout,
    Which,
    choices,
)

if TYPE_CHECKING:
    from oddtoc.engine import Engine
    from oddtoc.fleet import Answer, FleetTarget, Row

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Many targets at once.")

_TARGETS = "A target on each line: guest:NAME, gdb://HOST:PORT ...; behind it name=, vmlinux=, modules=, LABEL= ..."
_ONLY = "Only targets with this label; repeatable."
_JOBS = "How many targets at a time [8]; a cluster has its own number."
_CHECK = "A shell command that must succeed for each target after its wave; it finds $ODDTOC_TARGET and $ODDTOC_NAME."
_AT_ONCE = 8
"""Targets: most of the time goes into waiting for them."""

Targets = Annotated[Path, typer.Option("--targets", metavar="FILE", help=_TARGETS)]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="KEY=VALUE", help=_ONLY)]
Jobs = Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help=_JOBS)]


@app.command(cls=Command)
def apply(
    patch: Annotated[Path, typer.Argument(metavar="PATCH.o", help="A patch object from oddtoc build.")],
    targets: Targets,
    only: Only = None,
    canary: Annotated[int, typer.Option("--canary", metavar="N", min=1, help="Targets that get it first.")] = 1,
    wave: Annotated[str, typer.Option("--wave", metavar="N|N%", help="Targets in each wave behind that.")] = "10",
    limit: Annotated[float, typer.Option("--limit", min=0, max=1, help="The share of a wave that may fail.")] = 0.1,
    settle: Annotated[
        float, typer.Option("--settle", metavar="SECONDS", min=0, help="From a wave to the look at how it does.")
    ] = 5.0,
    check: Annotated[str, typer.Option("--check", metavar="COMMAND", help=_CHECK)] = "",
    rollback_on_failure: Annotated[
        bool, typer.Option("--rollback-on-failure", help="Take it back everywhere when too many fail.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the waves, and every word that the first would get; write none.")
    ] = False,
    mechanism: Mechanism = "auto",
    name: PatchName = None,
    which: Which = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of all that is applied.")] = False,
    immediate: Immediate = False,
    timeout: Timeout = 10.0,
    remote: Remote = False,
    scheduler: Scheduler = "",
    jobs: Jobs = _AT_ONCE,
    output: Output = Format.TEXT,
) -> None:
    """Apply a patch to many targets: a canary first, then wave by wave. The same command goes on where it stopped."""
    from oddtoc.fleet import Manner, Pace, Rollout, Shipment, rehearse, wave_size
    from oddtoc.link.object import PatchObject
    from oddtoc.report import fleet as report

    shipment = Shipment.of(PatchObject.open(patch, name))
    chosen = _chosen(targets, only)
    manner = Manner(remote, timeout, immediate, mechanism, choices(which), replace)
    pace = Pace(canary, wave_size(wave, len(chosen)), limit, settle, check)
    with _engine(scheduler, jobs, chosen) as engine:
        if dry_run:
            answers, waves = rehearse(engine, chosen, manner, shipment), pace.waves(chosen)
            words = report.rehearsal_json if output is Format.JSON else report.rehearsal_text
            typer.echo(words(waves, answers, shipment.name))
            raise typer.Exit(any(answer.error for answer in answers.values()))

        def tell(row: Row) -> None:
            if output is Format.TEXT:
                typer.echo(report.row_text(row))

        rollout = Rollout(engine, chosen, shipment, manner, pace, tell)
        complete = rollout.run()
        if rollout.stop and rollback_on_failure:
            rollout.roll_back()
    if output is Format.JSON:
        typer.echo(report.rollout_json(rollout, shipment, complete=complete))
    else:
        typer.echo(report.rollout_text(rollout, shipment, str(targets)))
    raise typer.Exit(not complete)


@app.command(cls=Command)
def status(
    targets: Targets,
    only: Only = None,
    timeout: Timeout = 10.0,
    remote: Remote = False,
    scheduler: Scheduler = "",
    jobs: Jobs = _AT_ONCE,
    output: Output = Format.TEXT,
) -> None:
    """Show who has what, as the targets' live words tell it."""
    from oddtoc.fleet import Manner, survey
    from oddtoc.report import fleet as report

    chosen = _chosen(targets, only)
    with _engine(scheduler, jobs, chosen) as engine:
        answers = survey(engine, chosen, Manner(remote, timeout))
    typer.echo(report.survey_json(answers) if output is Format.JSON else report.survey_text(answers))
    raise typer.Exit(any(answer.error for answer in answers.values()))


@app.command(cls=Command)
def revert(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The patch, as oddtoc fleet status names it.")],
    targets: Targets,
    only: Only = None,
    immediate: Immediate = False,
    timeout: Timeout = 10.0,
    remote: Remote = False,
    scheduler: Scheduler = "",
    jobs: Jobs = _AT_ONCE,
    output: Output = Format.TEXT,
) -> None:
    """Take a patch back from all targets that have it."""
    from oddtoc.fleet import Manner, revert_everywhere
    from oddtoc.report import fleet as report

    def tell(target: FleetTarget, answer: Answer) -> None:
        if output is Format.TEXT:
            typer.echo(report.answer_text(target, answer, name))

    chosen = _chosen(targets, only)
    with _engine(scheduler, jobs, chosen) as engine:
        answers = revert_everywhere(engine, chosen, Manner(remote, timeout, immediate), name, tell=tell)
    if output is Format.JSON:
        typer.echo(report.reverted_json(answers, name))
    raise typer.Exit(any(answer.error for answer in answers.values()))


def _chosen(targets: Path, only: list[str] | None) -> list[FleetTarget]:
    from oddtoc.fleet import chosen, read_targets

    return chosen(read_targets(targets), only or [])


def _engine(scheduler: str, jobs: int, targets: list[FleetTarget]) -> Engine:
    from oddtoc.engine import open_engine

    return open_engine(scheduler, min(jobs, len(targets)))
