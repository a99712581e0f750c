"""oddtoc trace: calls of functions, counted and watched while they go on as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oddtoc.cli.options import Format, Modules, Output, Remote, Target, Timeout, Vmlinux, write_text
from oddtoc.errors import UsageError


def trace(
    functions: Annotated[
        list[str],
        typer.Argument(metavar="FUNCTION...", help="Names or quoted patterns: 'vfs_*', 'fat.ko:*', 'libz.so.1:in*'."),
    ],
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    remote: Remote = False,
    arguments: Annotated[
        bool, typer.Option("--arguments", help="Record each call, with r3 to r10; for --format json.")
    ] = False,
    returns: Annotated[
        bool, typer.Option("--returns", help="Watch returns, too: how long calls take, and what they return.")
    ] = False,
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="SECONDS", min=0, help="End after that time [at Ctrl-C].")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a flame graph of the calls; with --returns.")
    ] = None,
    timeout: Timeout = 10.0,
    output: Output = Format.TEXT,
) -> None:
    """Count the calls of functions of a running kernel or process; the calls go on as ever."""
    from oddtoc.live.session import Session
    from oddtoc.report.trace import Lines, LiveTable, flame_page
    from oddtoc.target.interrupts import interrupts_held
    from oddtoc.trace.tracer import Tracer
    from oddtoc.trace.watch import watch

    as_lines = output is Format.JSON
    if arguments and not as_lines:
        raise UsageError("--arguments needs --format json: a table has no room for them")
    if html is not None:
        write_text(html, "")  # what can't be written is better known now
    returns = returns or html is not None
    events = html is not None or (as_lines and (arguments or returns))
    with (
        interrupts_held(ends_well=True) as interrupted,
        Session.open(target, vmlinux=vmlinux, remote=remote, modules=modules) as session,
    ):
        tracer = Tracer(session, functions, events=events, returns=returns, timeout=timeout)
        view = Lines(typer.echo) if as_lines else LiveTable()
        tree = watch(tracer, view, duration=duration, give_up=interrupted)
    if html is not None:
        write_text(html, flame_page(tree, tracer, f"{' '.join(functions)} on {target}"))
        typer.echo(f"{html}: {tree.calls} calls", err=True)
