"""The commands: arguments in, words out, no logic."""

from __future__ import annotations

import os
import sys

import typer

from oddtoc.cli import (
    check,
    demo,
    demo_process,
    explain,
    guest,
    inspect,
    kernel,
    lab,
    patch,
    prove,
    report,
    scan,
    trace,
    trust,
)
from oddtoc.errors import BuildError, OddtocError, UsageError

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
app.command()(guest.boot)
app.command()(inspect.inspect)
app.command()(scan.scan)
app.command()(report.report)
app.command()(patch.build)
app.command()(check.check)
app.command()(patch.apply)
app.command()(patch.status)
app.command()(patch.revert)
app.command()(patch.gc)
app.command()(trust.sign)
app.command()(trust.verify)
app.command()(lab.lab)
app.command()(prove.prove)
app.command()(explain.explain)
app.command()(trace.trace)
app.command()(demo.demo)
app.command()(demo_process.demo_process)


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
    """The command `oddtoc`. Errors of ours become one or two lines on standard error and status 1 (2 for misuse)."""
    try:
        app()
    except OddtocError as error:
        if isinstance(error, BuildError) and error.output:
            sys.stderr.write(error.output)
        first, *rest = str(error).splitlines()
        sys.stderr.write("\n".join([f"oddtoc: {first}", *(f"  {line}" for line in rest)]) + "\n")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # the reader has gone; keep the interpreter from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
