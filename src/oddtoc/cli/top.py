"""oddtoc top: the patches of a target, watched while it runs."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from oddtoc.cli.options import Format, Modules, Output, Remote, Target, Vmlinux
from oddtoc.errors import LibraryError


def top(
    target: Target,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    remote: Remote = False,
    count: Annotated[
        bool, typer.Option("--count", help="Count calls, too: a trace that holds the target until you quit.")
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, metavar="SECONDS", help="From one look to the next.")
    ] = 2.0,
    output: Output = Format.TEXT,
) -> None:
    """Watch the patches of a target in the terminal: calls, tasks in the way, pauses. Elsewhere, look once."""
    from oddtoc.live.session import Session
    from oddtoc.report.top import snapshot_json, snapshot_text
    from oddtoc.top import Watcher

    connect = partial(Session.open, target, vmlinux=vmlinux, modules=modules, remote=remote)
    if output is Format.JSON or not sys.stdout.isatty():
        snapshot = Watcher(connect).look()
        typer.echo(snapshot_json(snapshot) if output is Format.JSON else snapshot_text(snapshot))
        return
    try:
        from oddtoc.top.app import TopApp
    except ImportError as error:
        raise LibraryError("the view needs Textual", advice="pip install 'oddtoc[top]'") from error
    watcher = Watcher(connect, counting=count)
    try:
        TopApp(watcher, target, interval).run()
    finally:
        watcher.close()
