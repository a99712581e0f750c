"""Guests, for people and programs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oddtoc.report.rows import aligned

if TYPE_CHECKING:
    from oddtoc.target.console import Completed
    from oddtoc.target.guest import Guest


def guests_text(guests: Sequence[Guest]) -> str:
    """A row for each guest; below, the last that those said that ended by themselves."""
    if not guests:
        return "no guest runs: oddtoc boot 6.1"
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


def guests_json(guests: Sequence[Guest]) -> str:
    """A list with an object for each guest."""
    return json.dumps([guest_record(guest) for guest in guests], indent=2)


def booted_text(guest: Guest, seconds: float) -> str:
    """That it is up, and what can be done next."""
    return (
        f"{guest.name}: {guest.label} is up after {seconds:.1f} s\n"
        f"  oddtoc guest run {guest.name} -- uname -a\n"
        f"  oddtoc guest stop {guest.name}"
    )


def booted_json(guest: Guest, seconds: float) -> str:
    """The guest, and how long it took to come up."""
    return json.dumps({**guest_record(guest), "seconds": round(seconds, 3)}, indent=2)


def command_text(command: Sequence[str]) -> str:
    """QEMU's command, for a shell."""
    return shlex.join(command)


def command_json(command: Sequence[str]) -> str:
    """QEMU's command, word by word."""
    return json.dumps({"command": list(command)}, indent=2)


def stopped_text(guests: Sequence[Guest]) -> str:
    """A line for each guest that was stopped."""
    return "\n".join(f"{guest.name} is stopped" for guest in guests) or "no guest runs"


def stopped_json(guests: Sequence[Guest]) -> str:
    """The names of guests that were stopped."""
    return json.dumps({"stopped": [guest.name for guest in guests]}, indent=2)


def completed_json(guest: Guest, command: str, completed: Completed) -> str:
    """A command that has run in a guest; bytes that are no UTF-8 are escaped."""
    return json.dumps(
        {
            "guest": guest.name,
            "command": command,
            "status": completed.status,
            "stdout": completed.stdout.decode(errors="backslashreplace"),
            "stderr": completed.stderr.decode(errors="backslashreplace"),
        },
        indent=2,
    )


def guest_record(guest: Guest) -> dict[str, object]:
    """A guest as plain values."""
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
