"""oddtoc build."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oddtoc.cli.complete import series
from oddtoc.cli.options import Format, Output
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from oddtoc.link.object import PatchObject

_KERNEL = "The kernel that a diff [6.1], or the headers or the vmlinux.h that a C source includes, is of."


def build(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE.c", help="C file with ODDTOC_REPLACE; with --old and --new, the files to take."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.o", help="The patch object to write [SOURCE.o].")
    ] = None,
    code_model: Annotated[str, typer.Option("--code-model", help="medium, or large for data beyond 2 GiB.")] = "medium",
    long_calls: Annotated[bool, typer.Option("--long-calls", help="Let every call go through a pointer.")] = False,
    unwind: Annotated[
        bool, typer.Option("--unwind/--no-unwind", help="Whether exceptions may pass through, in a process.")
    ] = True,
    flags: Annotated[
        str, typer.Option("--flags", metavar="TEXT", help="More flags for the compiler, as in --flags '-O3 -DFAST'.")
    ] = "",
    flags_of: Annotated[
        Path | None,
        typer.Option(
            "--flags-of",
            metavar="FILE",
            help="Compile with the flags of this program or library, as its debug information has them.",
        ),
    ] = None,
    diff: Annotated[
        Path | None, typer.Option("--diff", metavar="FIX.patch", help="Build from a diff of the kernel's source.")
    ] = None,
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="SERIES", help=_KERNEL, autocompletion=series)
    ] = None,
    old: Annotated[
        Path | None, typer.Option("--old", metavar="TREE", help="The kernel's source [Debian's of that version].")
    ] = None,
    new: Annotated[Path | None, typer.Option("--new", metavar="TREE", help="The source to take files from.")] = None,
    accept_difference: Annotated[
        bool, typer.Option("--accept-difference", help="Build although a function runs that is not the source's.")
    ] = False,
    most_units: Annotated[int, typer.Option("--most-units", help="How many files a changed header may reach.")] = 60,
    write_data: Annotated[
        list[str] | None,
        typer.Option(
            "--write-data",
            metavar="NAME",
            help="Write this variable's new first value in place: nothing has copied it. May be given several times.",
        ),
    ] = None,
    confined: Annotated[
        list[str] | None,
        typer.Option(
            "--confined",
            metavar="STRUCTURE=FUNCTION",
            help="Objects of this structure exist only while that function runs, or others given so: it may change.",
        ),
    ] = None,
    in_padding: Annotated[
        list[str] | None,
        typer.Option(
            "--in-padding",
            metavar="STRUCTURE.MEMBER",
            help="Put this new member into padding: objects were made zeroed, and 0 is right for them. Several times.",
        ),
    ] = None,
    in_part: Annotated[
        bool,
        typer.Option(
            "--in-part",
            help="Leave out what is refused of a fix, and all that may belong to it; what that was is listed.",
        ),
    ] = False,
    form: Output = Format.TEXT,
) -> None:
    """Make a patch object: of a C source, of a diff of the kernel's source, or of files of two trees."""
    from oddtoc.report import built

    if (flags or flags_of) and (kernel or diff or new):
        raise UsageError("--flags and --flags-of are for a C source without --kernel, whose flags are the kernel's")
    if diff or new:
        options = {
            "accept_difference": accept_difference,
            "most_units": most_units,
            "write_data": write_data or [],
            "confined": _grouped(_pairs(confined or [], "=", "STRUCTURE=FUNCTION", "request=handle_request")),
            "in_padding": _grouped(_pairs(in_padding or [], ".", "STRUCTURE.MEMBER", "request.is_retried")),
            "in_part": in_part,
        }
        _build_fix(diff, kernel or "6.1", old, new, sources or [], output, options, form)
        return
    if not sources or len(sources) != 1:
        raise UsageError("one C source is wanted, or --diff, or --old and --new with files")
    source = Path(sources[0])
    target = output or Path(source.stem + ".o")
    model: dict[str, Any] = {"code_model": code_model, "long_calls": long_calls}
    if kernel is None:
        from oddtoc.build.compile import compile_patch

        patch = compile_patch(source, target, unwind=unwind, flags=_words(flags), flags_of=flags_of, **model)
    else:
        patch = _build_source(kernel, source, target, old, accept_difference, model, form)
    typer.echo(built.built_json(patch, target) if form is Format.JSON else built.built_text(patch, target))


def _words(text: str) -> list[str]:
    """As a shell reads them."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} can't be split into flags: {error}") from error


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """First name -> second ones."""
    found: dict[str, list[str]] = {}
    for first, second in pairs:
        found.setdefault(first, []).append(second)
    return found


def _pairs(told: list[str], between: str, form: str, example: str) -> Iterator[tuple[str, str]]:
    """Two names each."""
    for one in told:
        first, _, second = one.partition(between)
        if not (first.isidentifier() and second.isidentifier()):
            raise UsageError(f"{one} is not {form}", advice=f"such as: {example}")
        yield first, second


def _build_source(
    series: str,
    source: Path,
    target: Path,
    tree: Path | None,
    accept_difference: bool,
    model: dict[str, Any],
    form: Format,
) -> PatchObject:
    from oddtoc.build.request import patch_from_source
    from oddtoc.cli.kernel import progress

    with _refusals_shown(form), progress(series) as report:
        options: dict[str, Any] = {"tree": tree, "accept_difference": accept_difference, **model}
        return patch_from_source(series, source, target, report=report, note=_note, **options)


def _build_fix(
    diff: Path | None,
    series: str,
    old: Path | None,
    new: Path | None,
    files: list[str],
    output: Path | None,
    options: dict[str, Any],
    form: Format,
) -> None:
    from oddtoc.build.request import fix_from_diff, fix_from_trees
    from oddtoc.cli.kernel import progress
    from oddtoc.report import fixes

    target = output or Path((diff or Path(files[0] if files else "fix")).stem + ".o")
    with _refusals_shown(form):
        if diff:
            with progress(series) as report:
                fix = fix_from_diff(series, diff, target, source=old, report=report, note=_note, **options)
        else:
            if old is None or new is None:
                raise UsageError("--new needs --old", advice="give the source of the kernel that runs with --old TREE")
            fix = fix_from_trees(series, old, new, files, target, note=_note, **options)
    typer.echo(fixes.fix_json(fix, target) if form is Format.JSON else fixes.fix_text(fix, target))


@contextmanager
def _refusals_shown(form: Format) -> Iterator[None]:
    from oddtoc.build.refusal import RefusedError
    from oddtoc.report import fixes

    try:
        yield
    except RefusedError as error:
        if form is Format.TEXT:
            typer.echo(fixes.refused_text(error))
        raise


def _note(line: str) -> None:
    typer.echo(line, err=True)
