"""oddtoc check."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oddtoc.cli.complete import targets
from oddtoc.cli.options import Modules, Remote, Vmlinux
from oddtoc.errors import Status, UsageError

_IMAGE = "The kernel's ELF image, or the file of a module that the patch changes; repeatable."


class Form(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def check(
    patch: Annotated[Path, typer.Argument(metavar="PATCH.o", help="A patch object from oddtoc build.")],
    image: Annotated[list[Path] | None, typer.Option("--image", metavar="IMAGE", help=_IMAGE)] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="TARGET", help="Where it runs.", autocompletion=targets)
    ] = None,
    vmlinux: Vmlinux = None,
    modules: Modules = None,
    remote: Remote = False,
    output: Annotated[Form, typer.Option("--format", help="How to print the findings.")] = Form.TEXT,
) -> None:
    """Say what can be told about a patch before it is applied. Status 4 if there are errors."""
    from oddtoc.check.files import check_files
    from oddtoc.check.finding import Severity
    from oddtoc.link.object import PatchObject
    from oddtoc.live.session import Session
    from oddtoc.report import findings

    if bool(image) == (target is not None):
        raise UsageError("held against what?", advice="give the image with --image, or where it runs with --target")
    parsed = PatchObject.open(patch)
    if target is not None:
        with Session.open(target, vmlinux=vmlinux, modules=modules, remote=remote) as session:
            found = session.check(parsed)
    else:
        found = check_files(parsed, image or [])
    shown = {
        Form.TEXT: findings.findings_text,
        Form.JSON: findings.findings_json,
        Form.SARIF: findings.findings_sarif,
    }
    typer.echo(shown[output](found, patch))
    if any(finding.severity is Severity.ERROR for finding in found):
        raise typer.Exit(Status.REFUSED)
