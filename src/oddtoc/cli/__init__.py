"""The commands: arguments in, words out, no logic."""

from __future__ import annotations

import os
import sys

import typer

from oddtoc.cli import (
    build,
    check,
    complete,
    demo,
    demo_process,
    explain,
    fleet,
    guest,
    inspect,
    kernel,
    lab,
    patch,
    prove,
    report,
    scan,
    schema,
    top,
    trace,
    trust,
    types,
)
from oddtoc.cli.command import Command
from oddtoc.errors import BuildError, OddtocError, Status

app = typer.Typer(
    name="oddtoc",
    help="Live patching for ppc64le: every call of a function goes to a new one, while the kernel runs.",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(kernel.app, name="kernel")
app.add_typer(guest.app, name="guest")
app.add_typer(fleet.app, name="fleet")
for _command in (
    guest.boot,
    inspect.inspect,
    scan.scan,
    report.report,
    types.types,
    build.build,
    check.check,
    patch.apply,
    patch.watch,
    patch.status,
    patch.revert,
    patch.gc,
    trust.sign,
    trust.verify,
    lab.lab,
    prove.prove,
    explain.explain,
    trace.trace,
    top.top,
    schema.schema,
    demo.demo,
    demo_process.demo_process,
):
    app.command(cls=Command)(_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"oddtoc {version('oddtoc')}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """The command `oddtoc`. Errors of ours become a few lines on standard error, and an exit status of `Status`."""
    try:
        if os.environ.get("_ODDTOC_COMPLETE") == "complete_bash":
            complete.join_words()
        app(prog_name="oddtoc")
    except OddtocError as error:
        if isinstance(error, BuildError) and error.output:
            sys.stderr.write(error.output)
        first, *rest = str(error).splitlines()
        sys.stderr.write("\n".join([f"oddtoc: {first}", *(f"  {line}" for line in rest)]) + "\n")
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(Status.INTERRUPTED)
    except BrokenPipeError:
        # the reader has gone; keep the interpreter from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Status.FAILED)
