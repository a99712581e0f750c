"""oddtoc inspect."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oddtoc.image.elf import Image
    from oddtoc.image.symbols import Symbol


class Format(StrEnum):
    """How entries are printed."""

    TEXT = "text"
    JSON = "json"


def inspect(
    image: Annotated[
        str,
        typer.Argument(metavar="IMAGE", help="A vmlinux, module, program or library, or a kernel series such as 6.1."),
    ],
    functions: Annotated[list[str], typer.Argument(metavar="FUNCTION...", help="Names of functions.")],
    which: Annotated[
        list[str] | None,
        typer.Option(
            "--which", metavar="NAME=FILE|ADDRESS", help="Picks one of several functions of a name; repeatable."
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TEXT,
) -> None:
    """Show how functions are entered, marked and traced: entries, TOC set-up, mark, ftrace site."""
    from oddtoc.report.entries import entries_as_json, entries_as_text

    opened = open_image(image)
    entries = [opened.entry(symbol) for symbol in chosen_functions(opened, functions, which or ())]
    typer.echo(entries_as_json(entries) if output is Format.JSON else entries_as_text(entries))
    if opened.is_relocatable and output is Format.TEXT:
        typer.echo("\nnot linked yet: addresses are offsets in the file, and words are those before relocation")


def open_image(image: str) -> Image:
    """The image at a path, or that of a kernel series, which is fetched if it is not there yet."""
    from oddtoc.image.elf import Image

    if re.fullmatch(r"\d+\.\d+(-\w+)?", image) and not Path(image).exists():
        from oddtoc.debian import fetch_kernel, find_kernel

        return Image.open((find_kernel(image) or fetch_kernel(image)).vmlinux)
    return Image.open(image)


def chosen_functions(image: Image, names: Sequence[str], which: Sequence[str]) -> list[Symbol]:
    """The symbols of functions, with the choices of `--which NAME=FILE|ADDRESS` made.

    Raises:
        UsageError: a choice is malformed, or is about a function that was not asked for.
        SymbolError: a name is unknown, or stands several times.
    """
    choices = dict(_choice(text) for text in which)
    strangers = [name for name in choices if name not in names]
    if strangers:
        raise UsageError(f"--which is about {strangers[0]}, but that function is not among those asked for")
    return [image.symbols.one(name, choices.get(name), functions_only=True) for name in names]


def _choice(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not (name and equals and place):
        raise UsageError(f"--which {text} is not NAME=FILE or NAME=ADDRESS", advice="for example --which show=cpu.c")
    return name, place
