"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oddtoc.cli.complete import mechanisms, targets
from oddtoc.errors import OddtocError, UsageError


class Format(StrEnum):
    """How answers are printed."""

    TEXT = "text"
    JSON = "json"


_TARGET = "Where it runs: guest:NAME, gdb://HOST:PORT, qmp:PATH, a debug server's socket; #PID behind, or pid:N."
_VMLINUX = "The running kernel's ELF image; guests know theirs."
_MECHANISM = "auto, shared-toc, guarded/slot or odd-toc/cr4."
_MODULES = "A folder with the files of the running kernel's modules; Debian's guests know theirs."
_TIMEOUT = "How long to wait for threads to leave the functions that change."
_IMMEDIATE = "Do not look at stacks: threads may run old and new code side by side."

Output = Annotated[Format, typer.Option("--format", help="How to print the answer.")]
Target = Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help=_TARGET, autocompletion=targets)]
Vmlinux = Annotated[Path | None, typer.Option("--vmlinux", metavar="PATH", help=_VMLINUX)]
Mechanism = Annotated[str, typer.Option("--mechanism", "-m", help=_MECHANISM, autocompletion=mechanisms)]
PatchName = Annotated[str | None, typer.Option("--name", help="The patch's name [the file's stem].")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help=_TIMEOUT)]
Immediate = Annotated[bool, typer.Option("--immediate", help=_IMMEDIATE)]
Modules = Annotated[Path | None, typer.Option("--modules", metavar="FOLDER", help=_MODULES)]
_REMOTE = "Allow a debug server on another machine: nothing on the way is encrypted or proves who it is."
Remote = Annotated[bool, typer.Option("--remote", help=_REMOTE)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show every word that would be written; write none.")]
_SCHEDULER = "Let the workers of this Dask cluster do it, instead of processes here."
Scheduler = Annotated[str, typer.Option("--scheduler", metavar="tcp://HOST:PORT", help=_SCHEDULER)]
_WHICH = "For a name that stands more than once: which one is meant; repeatable."
Which = Annotated[list[str] | None, typer.Option("--which", metavar="NAME=FILE|ADDRESS|VERSION", help=_WHICH)]


def choices(which: list[str] | None) -> dict[str, str]:
    """The values of --which by name.

    Raises:
        UsageError: one is no NAME=FILE, NAME=ADDRESS or NAME=VERSION.
    """
    chosen = {}
    for one in which or []:
        name, separator, value = one.partition("=")
        if not (name and separator and value):
            raise UsageError(
                f"--which {one} names no file, address or version",
                advice="write NAME=FILE, NAME=0xADDRESS or NAME=VERSION",
            )
        chosen[name] = value
    return chosen


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        OddtocError: the file can't be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OddtocError(f"{path} can't be written: {error.strerror}") from error
