"""oddtoc schema."""

from __future__ import annotations

from typing import Annotated

import typer

from oddtoc.cli.complete import schemas

_COMMAND = "A command, such as apply or guest list; error for what all print when they fail."


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help=_COMMAND, autocompletion=schemas)
    ] = None,
) -> None:
    """Print the JSON Schema of what a command prints with --format json; without one, list the commands."""
    from oddtoc.report.schemas import SCHEMAS, schema_json

    typer.echo(schema_json(" ".join(command)) if command else "\n".join(SCHEMAS))
