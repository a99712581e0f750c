"""The counting plugin: compiled once, given addresses to watch, its log read as events."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oddtoc.errors import BuildError, TargetError
from oddtoc.places import Span

SOURCE = Path(__file__).with_name("count.c")


@dataclass(frozen=True)
class Event:
    """A vCPU is about to execute a watched instruction.

    Attributes:
        cpu: the vCPU's number.
        address: of the instruction.
        count: instructions that this vCPU had begun to execute before.
    """

    cpu: int
    address: int
    count: int


def compile_plugin(folder: Path) -> Path:
    """Compile the plugin into `folder` and give its path.

    Raises:
        BuildError: there is no C compiler for this machine, or it refuses the source.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BuildError("there is no C compiler for QEMU's plugin", advice="on Debian: apt-get install gcc libc6-dev")
    plugin = folder / "count.so"
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
    result = subprocess.run([*command, "-o", str(plugin), str(SOURCE)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"{SOURCE.name} does not compile", output=result.stderr, advice=result.stderr.split("\n")[0])
    return plugin


def plugin_argument(plugin: Path, log: Path, watches: Iterable[Span], *, limit: int | None = None) -> str:
    """What follows `-plugin` on QEMU's command line.

    Args:
        plugin: from `compile_plugin`.
        log: the file that the plugin writes.
        watches: the addresses to log.
        limit: most lines to write; the plugin's own limit if not given.
    """
    spans = [f"watch={span.start:x}-{span.end:x}" for span in watches]
    return ",".join([str(plugin), f"out={log}", *spans, *([f"limit={limit}"] if limit is not None else [])])


def read_events(log: Path) -> list[Event]:
    """What the plugin has logged so far, in order; a line that is being written is left out.

    Raises:
        TargetError: this is no log of the plugin.
    """
    complete, _, _ = log.read_text().rpartition("\n")
    try:
        fields = [line.split() for line in complete.splitlines()]
        return [Event(int(cpu), int(address, 16), int(count)) for cpu, address, count in fields]
    except ValueError:
        raise TargetError(f"{log} is no log of the counting plugin") from None
