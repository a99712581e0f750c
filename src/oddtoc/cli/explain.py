"""oddtoc explain: one patched call, step by step."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.complete import mechanisms, targets
from oddtoc.cli.options import Format, Output, Remote, Vmlinux, write_text

if TYPE_CHECKING:
    from oddtoc.explain.story import Story
    from oddtoc.link.object import PatchObject

_IN_THE_LABORATORY = "guarded/slot"


class CallKind(StrEnum):
    """How the function is called."""

    LOCAL = "local"
    GLOBAL = "global"
    SIBLING = "sibling"


def explain(
    patch: Annotated[Path, typer.Argument(metavar="OBJECT", help="A patch object from oddtoc build.")],
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="A function that it replaces.")],
    call: Annotated[
        CallKind | None, typer.Option("--call", help="Who calls [local; on a target whoever comes first].")
    ] = None,
    mechanism: Annotated[
        str | None,
        typer.Option(
            "--mechanism",
            "-m",
            metavar="NAME",
            help="How calls are redirected [guarded/slot; on a target auto].",
            autocompletion=mechanisms,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="TARGET",
            help="Watch a call there: guest:NAME, gdb://HOST:PORT#PID, ...",
            autocompletion=targets,
        ),
    ] = None,
    vmlinux: Vmlinux = None,
    remote: Remote = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait on a target for a call.")
    ] = 30.0,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page to step through, instead of text.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write a picture, instead of text.")] = None,
    output: Output = Format.TEXT,
) -> None:
    """Show one patched call instruction by instruction: in the laboratory, or in a running kernel or process."""
    from oddtoc.link.object import PatchObject

    parsed = PatchObject.open(patch)
    if target is None:
        story = _in_the_laboratory(parsed, function, call or CallKind.LOCAL, mechanism or _IN_THE_LABORATORY)
    else:
        story = _on_a_target(parsed, function, call, mechanism, target, vmlinux, remote, wait)
    _write(story, html, svg)
    if output is Format.JSON or not (html or svg):
        _print(story, output)
    else:
        for path in filter(None, (html, svg)):
            use = ", to step through with the arrow keys" if path is html else ""
            typer.echo(f"{path}: {len(story.steps)} instructions{use}")


def _in_the_laboratory(patch: PatchObject, function: str, call: CallKind, mechanism: str) -> Story:
    from oddtoc.explain.choice import replacement_of
    from oddtoc.explain.emulator import run_stage
    from oddtoc.explain.stage import build_stage
    from oddtoc.explain.story import tell
    from oddtoc.explain.trace import Call
    from oddtoc.mechanism.catalog import AUTO, AUTOMATIC, by_name

    chosen = AUTOMATIC[0] if mechanism == AUTO else by_name(mechanism)
    stage = build_stage(patch, replacement_of(patch, function), chosen, Call(call))
    return tell(run_stage(stage, chosen.name, Call(call)))


def _on_a_target(
    patch: PatchObject,
    function: str,
    call: CallKind | None,
    mechanism: str | None,
    target: str,
    vmlinux: Path | None,
    remote: bool,
    wait: float,
) -> Story:
    from oddtoc.explain.choice import map_of, replacement_of
    from oddtoc.explain.follow import follow
    from oddtoc.explain.story import tell
    from oddtoc.explain.trace import Call
    from oddtoc.live.session import Session
    from oddtoc.live.temporary import applied
    from oddtoc.target.interrupts import interrupts_held

    kind = Call(call) if call else None
    replacement = replacement_of(patch, function)
    with (
        interrupts_held() as interrupted,
        Session.open(target, vmlinux=vmlinux, remote=remote) as session,
    ):
        stepping = session.target.stepper()  # not everything can be followed
        with applied(session, patch, mechanism=mechanism) as record:
            subject = session.running.subject([replacement.image])
            entry = subject.entries([subject.function(function, replacement.which or None)])[0]
            done = next(one for one in record.functions if one.name == entry.function)
            found = map_of(patch, replacement, entry, done, subject)
            with stepping as stepper:
                typer.echo(f"waiting for a call of {function} on {target}", err=True)
                trace = follow(stepper, found, done.mechanism, kind, where=target, wait=wait, give_up=interrupted)
        return tell(trace, session.running.name_of)


def _print(story: Story, output: Format) -> None:
    from oddtoc.report.explain import story_as_json, story_as_text

    if output is Format.JSON:
        typer.echo(story_as_json(story))
    else:
        from rich.console import Console

        Console(width=100, highlight=False).print(story_as_text(story), soft_wrap=True)


def _write(story: Story, html: Path | None, svg: Path | None) -> None:
    from oddtoc.report.explain import story_as_page
    from oddtoc.report.picture import story_as_picture

    for path, made in ((html, story_as_page), (svg, story_as_picture)):
        if path is not None:
            write_text(path, made(story))
