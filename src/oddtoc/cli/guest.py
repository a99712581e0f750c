"""oddtoc boot and oddtoc guest: Linux kernels that run in QEMU on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oddtoc.cli import complete
from oddtoc.cli.command import Command
from oddtoc.cli.options import Format, Output
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from oddtoc.debian import DebianKernel

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Guests that run on this machine.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The guest's name, as `oddtoc guest list` shows it.", autocompletion=complete.guests
    ),
]


def boot(
    series: Annotated[
        str,
        typer.Argument(
            metavar="[SERIES]",
            help="6.1, 6.12 or 7.2; fetched if need be. Not with --vmlinux.",
            autocompletion=complete.series,
        ),
    ] = "",
    vmlinux: Annotated[Path | None, typer.Option("--vmlinux", metavar="PATH", help="Any other kernel's image.")] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it [the series].")] = "",
    smp: Annotated[int, typer.Option("--smp", metavar="N", min=1, help="How many vCPUs.")] = 2,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="As QEMU takes it.")] = "1G",
    module: Annotated[
        list[str] | None,
        typer.Option("--module", metavar="MODULE", help="Load it, with what it needs; repeatable."),
    ] = None,
    append: Annotated[str, typer.Option("--append", metavar="WORDS", help="More for the kernel's command line.")] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long it may take to come up.")
    ] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print QEMU's command; start nothing.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Start a guest in the background; return when it is up."""
    from time import monotonic

    from oddtoc.report import guests as report
    from oddtoc.target import guest as guests
    from oddtoc.target.guest_qemu import Machine
    from oddtoc.target.modules import load_order

    if bool(series) == bool(vmlinux):
        raise UsageError("say which kernel: a series or --vmlinux", advice="for example: oddtoc boot 6.1")
    if vmlinux and module:
        raise UsageError("--module needs one of Debian's kernels: a series instead of --vmlinux")
    kernel = _kernel(series)
    image = vmlinux or kernel.vmlinux
    name = name or series or image.name[:40]
    if dry_run:
        command = guests.planned_command(Machine(image.resolve(), smp, memory, append), name)
        typer.echo(report.command_json(command) if output is Format.JSON else report.command_text(command))
        return
    started = monotonic()
    guest = guests.boot(
        image,
        kernel.busybox,
        name=name,
        smp=smp,
        memory=memory,
        modules=load_order(kernel.modules, module) if module else (),
        append=append,
        timeout=timeout,
        kernel_label=image.name if vmlinux else kernel.release,
    )
    seconds = monotonic() - started
    typer.echo(report.booted_json(guest, seconds) if output is Format.JSON else report.booted_text(guest, seconds))


def _kernel(series: str) -> DebianKernel:
    """The kernel of a series; without one, any: it lends its busybox."""
    from oddtoc.cli.kernel import progress
    from oddtoc.debian import SERIES, fetch_kernel, fetched_kernels, find_kernel

    known = find_kernel(series) if series else next(iter(fetched_kernels()), None)
    if known:
        return known
    series = series or next(iter(SERIES))
    with progress(series) as report:
        return fetch_kernel(series, report=report)


@app.command("list", cls=Command)
def list_guests(output: Output = Format.TEXT) -> None:
    """List the guests, those that ended by themselves too."""
    from oddtoc.report.guests import guests_json, guests_text
    from oddtoc.target.guest import Guest

    guests = Guest.all()
    typer.echo(guests_json(guests) if output is Format.JSON else guests_text(guests))


@app.command(cls=Command, context_settings={"ignore_unknown_options": True})
def run(
    name: Name,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="Given to the guest's shell.")],
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Kill it after that time.")] = 60,
    output: Output = Format.TEXT,
) -> None:
    """Run a command in a guest; print what it prints and exit with its status."""
    from oddtoc.report.guests import completed_json
    from oddtoc.target.guest import Guest

    def pass_on(stream: Any) -> Any:
        def write(data: bytes) -> None:
            stream.buffer.write(data)
            stream.flush()

        return write

    guest, line = Guest.find(name), " ".join(command)
    if output is Format.JSON:
        completed = guest.run(line, timeout=timeout)
        typer.echo(completed_json(guest, line, completed))
    else:
        completed = guest.run(line, timeout=timeout, stdout=pass_on(sys.stdout), stderr=pass_on(sys.stderr))
    raise typer.Exit(completed.status)


@app.command(cls=Command)
def stop(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which one.", autocompletion=complete.guests)] = "",
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Stop a guest and remove what it left."""
    from oddtoc.report.guests import stopped_json, stopped_text
    from oddtoc.target.guest import Guest

    if bool(name) == everything:
        raise UsageError("say which guest: a name or --all", advice="`oddtoc guest list` shows them")
    guests = Guest.all() if everything else [Guest.find(name, ended=True)]
    for guest in guests:
        guest.stop()
    typer.echo(stopped_json(guests) if output is Format.JSON else stopped_text(guests))
