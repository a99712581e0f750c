"""oddtoc inspect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.complete import series, targets
from oddtoc.cli.options import Format, Output, Which, choices
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oddtoc.image.elf import Image
    from oddtoc.image.entry import Entry
    from oddtoc.image.symbols import Symbol

_TARGET = "Show the live words of the kernel that runs there; IMAGE is its image."


def inspect(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="A vmlinux, module, program or library, or a kernel series such as 6.1.",
            autocompletion=series,
        ),
    ],
    functions: Annotated[list[str], typer.Argument(metavar="FUNCTION...", help="Names of functions.")],
    which: Which = None,
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help=_TARGET, autocompletion=targets)] = "",
    output: Output = Format.TEXT,
) -> None:
    """Show how functions are entered, marked and traced: entries, TOC set-up, mark, ftrace site."""
    from oddtoc.report.entries import entries_as_json, entries_as_text

    opened = open_image(image)
    symbols = chosen_functions(opened, functions, choices(which))
    entries = _live_entries(target, opened, symbols) if target else [opened.entry(symbol) for symbol in symbols]
    typer.echo(entries_as_json(entries) if output is Format.JSON else entries_as_text(entries))
    if opened.is_relocatable and output is Format.TEXT:
        typer.echo("\nnot linked yet: addresses are offsets in the file, and words are those before relocation")


def open_image(image: str) -> Image:
    """The image at a path, or that of a kernel series, which is fetched if it is not there yet."""
    from oddtoc.image.elf import Image

    return Image.open(image_path(image))


def image_path(image: str) -> Path:
    """A path as it is, or that of a kernel series' image, which is fetched if it is not there yet."""
    if re.fullmatch(r"\d+\.\d+(-\w+)?", image) and not Path(image).exists():
        from oddtoc.debian import fetch_kernel, find_kernel

        return (find_kernel(image) or fetch_kernel(image)).vmlinux
    return Path(image)


def chosen_functions(image: Image, names: Sequence[str], which: Mapping[str, str]) -> list[Symbol]:
    """The symbols of functions, with the user's choices made.

    Raises:
        UsageError: a choice is about a function that was not asked for.
        SymbolError: a name is unknown, or stands several times.
    """
    strangers = [name for name in which if name not in names]
    if strangers:
        raise UsageError(f"--which is about {strangers[0]}, but that function is not among those asked for")
    return [image.symbols.one(name, which.get(name), functions_only=True) for name in names]


def _live_entries(target: str, image: Image, symbols: list[Symbol]) -> list[Entry]:
    from oddtoc.live.session import Session

    with Session.open(target, vmlinux=image.path) as session:
        return session.kernel.entries(symbols)
