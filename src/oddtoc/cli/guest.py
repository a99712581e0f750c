"""oddtoc boot and oddtoc guest: Linux kernels that run in QEMU on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oddtoc.cli.options import Format, Output
from oddtoc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oddtoc.debian import DebianKernel
    from oddtoc.target.guest import Guest

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Guests that run on this machine.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The guest's name, as `oddtoc guest list` shows it.")]


def boot(
    series: Annotated[
        str, typer.Argument(metavar="[SERIES]", help="6.1, 6.12 or 7.2; fetched if need be. Not with --vmlinux.")
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
) -> None:
    """Start a guest in the background; return when it is up."""
    from time import monotonic

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
        from shlex import join

        typer.echo(join(guests.planned_command(Machine(image.resolve(), smp, memory, append), name)))
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
    typer.echo(f"{guest.name}: {guest.label} is up after {monotonic() - started:.1f} s")
    typer.echo(f"  oddtoc guest run {guest.name} -- uname -a")
    typer.echo(f"  oddtoc guest stop {guest.name}")


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


@app.command("list")
def list_guests(output: Output = Format.TEXT) -> None:
    """List the guests, those that ended by themselves too."""
    from oddtoc.target.guest import Guest

    guests = Guest.all()
    if output is Format.JSON:
        typer.echo(json.dumps([_plain(guest) for guest in guests], indent=2))
    elif guests:
        typer.echo(_table(guests))
    else:
        typer.echo("no guest runs: oddtoc boot 6.1")


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    name: Name,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="Given to the guest's shell.")],
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Kill it after that time.")] = 60,
) -> None:
    """Run a command in a guest; print what it prints and exit with its status."""
    from oddtoc.target.guest import Guest

    def pass_on(stream: Any) -> Any:
        def write(data: bytes) -> None:
            stream.buffer.write(data)
            stream.flush()

        return write

    completed = Guest.find(name).run(
        " ".join(command), timeout=timeout, stdout=pass_on(sys.stdout), stderr=pass_on(sys.stderr)
    )
    raise typer.Exit(completed.status)


@app.command()
def stop(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which one.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Stop a guest and remove what it left."""
    from oddtoc.target.guest import Guest

    if bool(name) == everything:
        raise UsageError("say which guest: a name or --all", advice="`oddtoc guest list` shows them")
    for guest in Guest.all() if everything else [Guest.find(name, ended=True)]:
        guest.stop()
        typer.echo(f"{guest.name} is stopped")


def _plain(guest: Guest) -> dict[str, object]:
    return {
        "name": guest.name,
        "kernel": guest.label,
        "state": _state(guest),
        "pid": guest.pid,
        "smp": guest.smp,
        "memory": guest.memory,
        "vmlinux": str(guest.vmlinux),
        "debug_socket": str(guest.debug_socket),
        "qmp_socket": str(guest.qmp_socket),
        "console_log": str(guest.console_log),
    }


def _state(guest: Guest) -> str:
    return "running" if guest.alive else "ended"


def _table(guests: Sequence[Guest]) -> str:
    from oddtoc.report.rows import aligned

    rows = [("NAME", "KERNEL", "STATE", "VCPUS", "MEMORY", "DEBUG SOCKET")]
    rows += [(g.name, g.label, _state(g), str(g.smp), g.memory, str(g.debug_socket)) for g in guests]
    lines = aligned(rows)
    for guest in guests:
        if not guest.alive:
            lines += [
                f"\n{guest.name} ended by itself; its console ends:",
                *(f"  {line}" for line in guest.console_end()),
            ]
    return "\n".join(lines)
