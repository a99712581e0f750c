"""oddtoc demo-process: a redis-server and a library are patched while they are used, start to end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddtoc.cli.demo import build_sample, say, title

if TYPE_CHECKING:
    from oddtoc.process.guest import ProcessGuest

_LOAD = "while :; do redis-benchmark -q -n 1000 -c 4 -t ping,set,get || exit; done"
_CHECKSUMS = """
import time, zlib
right = wrong = 0
while True:
    for _ in range(100):
        outside = zlib.adler32(b"twelve bytes")
        inside = int.from_bytes(zlib.compress(b"twelve bytes")[-4:], "big")
        for value in (outside, inside):
            if value in (0x1FF104DF, 0x0DDC0DE):
                right += 1
            else:
                wrong += 1
    with open("/tmp/checksums.new", "w") as file:
        file.write(f"adler32 is {outside:08x} for python3, {inside:08x} inside of zlib; {right} calls, {wrong} wrong")
    __import__("os").rename("/tmp/checksums.new", "/tmp/checksums")
    time.sleep(0.01)
"""


def demo_process(
    kernel: Annotated[str, typer.Option("--kernel", metavar="SERIES", help="6.1, 6.12 or 7.2.")] = "6.1",
) -> None:
    """Patch a redis-server and zlib in a running program, in a guest, under load, and take the patches back."""
    from oddtoc.debian import fetch_kernel
    from oddtoc.debian.programs import program_files
    from oddtoc.process.guest import PACKAGES, PROGRAMS, boot_with_gdbserver

    say(f"Getting Debian's ppc64el kernel {kernel}, redis-server, python3 and gdbserver ...")
    image = fetch_kernel(kernel)
    program_files(PACKAGES, PROGRAMS)
    say(f"Booting Linux {image.release} in QEMU ...")
    made = boot_with_gdbserver(kernel, f"demo-process-{os.getpid()}")
    try:
        _redis(made)
        _zlib(made)
    finally:
        made.guest.stop()


def _redis(made: ProcessGuest) -> None:
    title("1. A command of redis-server, while redis-benchmark uses four connections")
    made.run("redis-server --save '' --daemonize yes; until redis-cli ping; do sleep 0.1; done")
    load = made.start(_LOAD, "/tmp/load")
    target = f"{made.server}#{made.run('pidof redis-server').strip()}"
    _show(made, "redis-cli ping")
    _apply(made, "ping", target)
    _show(made, "redis-cli ping")
    _revert(made, "ping", target)
    _show(made, "redis-cli ping")
    _show(made, "redis-cli info stats | grep -E 'total_commands|total_error'")
    if made.run(f"kill -0 {load} && echo yes"):
        say("redis-benchmark, which ends when a request fails, goes on.")
    else:
        say(f"redis-benchmark has ended: {made.run('tail -n 1 /tmp/load').strip()}")


def _zlib(made: ProcessGuest) -> None:
    title("2. A function of zlib, in a python3 that calls it all the time, from outside and from inside of zlib")
    made.run(f"cat > /tmp/checksums.py <<'END'\n{_CHECKSUMS}\nEND")
    pid = made.start("exec python3.11 /tmp/checksums.py", "/tmp/python.log")
    made.run("until [ -e /tmp/checksums ]; do sleep 0.1; done")
    target = f"{made.server}#{pid}"
    _show(made, "cat /tmp/checksums")
    _apply(made, "adler", target)
    _show(made, "sleep 1; cat /tmp/checksums")
    _revert(made, "adler", target)
    _show(made, "sleep 1; cat /tmp/checksums")


def _apply(made: ProcessGuest, sample: str, target: str) -> None:
    from oddtoc.link.object import PatchObject
    from oddtoc.live.parts import Applied
    from oddtoc.live.session import Session
    from oddtoc.report.patches import applied_text

    patch: Path = build_sample(sample)
    shown = target.replace(made.server, "gdb://127.0.0.1:3333")
    say(f"\n$ oddtoc apply {patch.name} --target {shown}")
    with Session.open(target) as session:
        plan = session.plan(PatchObject.open(patch))
        say(applied_text(Applied([(plan, session.apply(plan))]), shown))


def _revert(made: ProcessGuest, name: str, target: str) -> None:
    from oddtoc.live.session import Session
    from oddtoc.report.patches import reverted_text

    shown = target.replace(made.server, "gdb://127.0.0.1:3333")
    say(f"\n$ oddtoc revert {name} --target {shown}")
    with Session.open(target) as session:
        say(reverted_text(session.revert(name), shown))


def _show(made: ProcessGuest, command: str) -> None:
    output = made.run(command).rstrip("\n")
    say(f"\nguest# {command}\n{output}")
