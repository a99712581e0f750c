"""oddtoc types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oddtoc.cli.complete import series


def types(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE", help="A kernel's vmlinux, or a kernel series such as 7.2.", autocompletion=series
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="vmlinux.h", help="The file to write [standard output].")
    ] = None,
) -> None:
    """Declare all types of a kernel in C, from its type information (BTF)."""
    from oddtoc.cli.inspect import open_image
    from oddtoc.cli.options import write_text
    from oddtoc.image.declarations import header_text

    text = header_text(open_image(image))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
