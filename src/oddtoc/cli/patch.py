"""oddtoc apply, watch, status, revert, gc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oddtoc.cli.complete import applied
from oddtoc.cli.options import (
    DryRun,
    Format,
    Immediate,
    Mechanism,
    Modules,
    Output,
    PatchName,
    Remote,
    Target,
    Timeout,
    Vmlinux,
    Which,
    choices,
)

if TYPE_CHECKING:
    from oddtoc.live.session import Session


def apply(
    patch: Annotated[Path, typer.Argument(metavar="PATCH.o", help="A patch object from oddtoc build.")],
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    mechanism: Mechanism = "auto",
    name: PatchName = None,
    which: Which = None,
    remote: Remote = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of all that is applied, in one stop.")
    ] = False,
    dry_run: DryRun = False,
    immediate: Immediate = False,
    timeout: Timeout = 10.0,
    output: Output = Format.TEXT,
) -> None:
    """Apply a patch to a running kernel."""
    from oddtoc.link.object import PatchObject
    from oddtoc.live.parts import apply_parts, rehearse
    from oddtoc.report import patches

    parsed = PatchObject.open(patch, name)
    options: dict[str, Any] = {"mechanism": mechanism, "which": choices(which), "replace": replace}
    with _session(target, vmlinux, modules, remote) as session:
        if dry_run:
            shown = patches.plan_json if output is Format.JSON else patches.plan_text
            typer.echo(shown(rehearse(session, parsed, **options)))
            return
        applied = apply_parts(session, parsed, timeout=timeout, immediate=immediate, **options)
    typer.echo(patches.applied_json(applied) if output is Format.JSON else patches.applied_text(applied, target))


def watch(
    patch: Annotated[Path, typer.Argument(metavar="PATCH.o", help="A patch object from oddtoc build, for a module.")],
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    mechanism: Mechanism = "auto",
    name: PatchName = None,
    which: Which = None,
    remote: Remote = False,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the module.")] = 60.0,
    timeout: Timeout = 10.0,
    output: Output = Format.TEXT,
) -> None:
    """Apply a patch of a module when that is loaded, before any of its code runs; now if it is there."""
    from oddtoc.link.object import PatchObject
    from oddtoc.live.loading import watch as watch_for
    from oddtoc.report import patches
    from oddtoc.target.interrupts import interrupts_held

    parsed = PatchObject.open(patch, name)
    with interrupts_held() as give_up, _session(target, vmlinux, modules, remote) as session:
        applied = watch_for(
            session,
            parsed,
            mechanism=mechanism,
            which=choices(which),
            wait=wait,
            timeout=timeout,
            note=lambda line: typer.echo(line, err=True),
            give_up=give_up,
        )
        typer.echo(patches.applied_json(applied) if output is Format.JSON else patches.applied_text(applied, target))


def status(
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    remote: Remote = False,
    output: Output = Format.TEXT,
) -> None:
    """List what is applied to a running kernel, as its live words tell it."""
    from oddtoc.report import patches

    with _session(target, vmlinux, modules, remote) as session:
        found = session.status()
    typer.echo(patches.status_json(found) if output is Format.JSON else patches.status_text(found, target))


def revert(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The patch, as oddtoc status names it.", autocompletion=applied)
    ],
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    remote: Remote = False,
    dry_run: DryRun = False,
    immediate: Immediate = False,
    timeout: Timeout = 10.0,
    output: Output = Format.TEXT,
) -> None:
    """Take a patch back: the old words return."""
    from oddtoc.report import patches

    with _session(target, vmlinux, modules, remote) as session:
        if dry_run:
            commit, turns = session.plan_revert(name), session.turns_of_revert(name)
            shown = patches.revert_json(name, commit) if output is Format.JSON else None
            typer.echo(shown or patches.revert_text(name, commit, turns))
            return
        outcome = session.revert(name, timeout=timeout, immediate=immediate)
    typer.echo(patches.reverted_json(outcome) if output is Format.JSON else patches.reverted_text(outcome, target))


def gc(
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    remote: Remote = False,
    dry_run: DryRun = False,
    output: Output = Format.TEXT,
) -> None:
    """Give back the memory of reverted patches that nobody can be in or come back to."""
    from oddtoc.report import memory

    with _session(target, vmlinux, modules, remote) as session:
        found = session.plan_gc() if dry_run else session.gc()
    typer.echo(
        memory.collection_json(found, dry_run) if output is Format.JSON else memory.collection_text(found, dry_run)
    )


def _session(target: str, vmlinux: Path | None, modules: Path | None, remote: bool) -> Session:
    from oddtoc.live.session import Session

    return Session.open(target, vmlinux=vmlinux, modules=modules, remote=remote)
