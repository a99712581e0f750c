"""oddtoc demo: a running kernel changes its behaviour and changes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.complete import series

if TYPE_CHECKING:
    from oddtoc.target.guest import Guest

_LOOP = """
want=$(cat /proc/mounts)
reads=0; wrong=0
while [ ! -e /tmp/demo-stop ]; do
    got=$(tr '|' ' ' < /proc/mounts)
    reads=$((reads + 1)); [ "$got" = "$want" ] || wrong=$((wrong + 1))
    echo "$reads $wrong" > /tmp/demo-{loop}.new && mv /tmp/demo-{loop}.new /tmp/demo-{loop}
done
"""
_LOOPS = (1, 2)


def demo(
    kernel: Annotated[
        str,
        typer.Option("--kernel", help="Which of Debian's kernels to boot: 6.1, 6.12 or 7.2.", autocompletion=series),
    ] = "6.1",
) -> None:
    """Boot a kernel, patch it while it runs, and take the patch back."""
    from oddtoc.debian import fetch_kernel
    from oddtoc.target.guest import boot

    say(f"Getting Debian's ppc64el kernel {kernel} ...")
    image = fetch_kernel(kernel)
    say(f"Booting Linux {image.release} in QEMU ...")
    guest = boot(image.vmlinux, image.busybox, name=f"demo-{kernel}-{os.getpid()}", kernel_label=image.release)
    try:
        say(f"It is up: {_output(guest, 'uname -rvm')}")
        guest.run("dmesg -c")
        _command_line(guest)
        _under_load(guest)
        say(_output(guest, "dmesg") or "The kernel's log: nothing was printed since it came up.")
    finally:
        guest.stop()


def _command_line(guest: Guest) -> None:
    title("1. /proc/cmdline, with the mechanism of the RFC of 2016 (odd-toc/cr4)")
    _show(guest, "cat /proc/cmdline")
    patch = build_sample("cmdline")
    _apply(guest, patch, "odd-toc/cr4")
    _show(guest, "cat /proc/cmdline")
    _revert(guest, "cmdline")
    _show(guest, "cat /proc/cmdline")


def _under_load(guest: Guest) -> None:
    title("2. seq_putc, called locally, while two loops read /proc/mounts all the time")
    for loop in _LOOPS:
        guest.run(f"cat > /tmp/loop-{loop} <<'END'\n{_LOOP.replace('{loop}', str(loop))}\nEND")
        guest.run(f"sh /tmp/loop-{loop} < /dev/null > /dev/null 2>&1 &")
    patch = build_sample("putc")
    for mechanism in ("odd-toc/cr4", "guarded/slot", "shared-toc"):
        _apply(guest, patch, mechanism)
        _show(guest, "grep -v rootfs /proc/mounts | head -n 2")
        _revert(guest, "putc")
        _show(guest, "grep -v rootfs /proc/mounts | head -n 2")
    guest.run("touch /tmp/demo-stop; sleep 1")
    for loop in _LOOPS:
        reads, wrong = _output(guest, f"cat /tmp/demo-{loop}").split()
        say(f"loop {loop}: {reads} reads of /proc/mounts, {wrong} wrong")


def build_sample(sample: str) -> Path:
    """Build a patch of the package's samples; the object."""
    import tempfile

    import oddtoc
    from oddtoc.build.compile import compile_patch

    source = Path(oddtoc.__file__).parent / "samples" / f"{sample}.c"
    output = Path(tempfile.mkdtemp(prefix="oddtoc-demo-")) / f"{sample}.o"
    compile_patch(source, output)
    return output


def _apply(guest: Guest, patch: Path, mechanism: str) -> None:
    from oddtoc.link.object import PatchObject
    from oddtoc.live.parts import Applied
    from oddtoc.live.session import Session
    from oddtoc.report.patches import applied_text

    target = f"guest:{guest.name}"
    say(f"\n$ oddtoc apply {patch.name} --target {target} --mechanism {mechanism}")
    with Session.open(target) as session:
        plan = session.plan(PatchObject.open(patch), mechanism=mechanism)
        say(applied_text(Applied([(plan, session.apply(plan))]), target))


def _revert(guest: Guest, name: str) -> None:
    from oddtoc.live.session import Session
    from oddtoc.report.patches import reverted_text

    target = f"guest:{guest.name}"
    say(f"\n$ oddtoc revert {name} --target {target}")
    with Session.open(target) as session:
        say(reverted_text(session.revert(name), target))


def _show(guest: Guest, command: str) -> None:
    say(f"\nguest# {command}\n{_output(guest, command)}")


def _output(guest: Guest, command: str) -> str:
    return guest.run(command).stdout.decode(errors="replace").rstrip("\n")


def title(text: str) -> None:
    """Print a heading."""
    say(f"\n{text}\n{'-' * len(text)}")


def say(text: str) -> None:
    """Print something."""
    typer.echo(text)
