"""QEMU's machine protocol, spoken plainly: for what has to start fast, and must not need an event loop."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

_LONGEST_LINE = 1 << 20


class Monitor:
    """QEMU's machine protocol (docs/interop/qmp-spec of QEMU), as much as is needed: one question at a time.

    Args:
        path: of the socket of a monitor in control mode.
        timeout: seconds to wait for each answer; None for as long as it takes.

    Raises:
        OSError: nobody answers there, or no longer.
    """

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self._next()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """What a command returns; events that come before are passed over."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while "return" not in (answer := self._next()):
            if "error" in answer:
                raise OSError(f"QEMU refuses {command}")
        return answer["return"]

    def close(self) -> None:
        """Let go of it."""
        self._lines.close()
        self._socket.close()

    def wait(self) -> None:
        """Return when QEMU tells of an event."""
        self._next()

    def _next(self) -> dict[str, Any]:
        line = self._lines.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("QEMU has ended")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {}
