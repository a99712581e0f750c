"""Reads the memory of a guest while it runs on.

Straight from QEMU's own memory, where this user may look at it (ptrace(2), "Ptrace access mode checking"); else QEMU is
asked, which takes a millisecond or more. Nothing stands still meanwhile: only what is written and read with care makes
sense.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from oddtoc.errors import TargetGoneError, TargetInUseError
from oddtoc.target.guest_qemu import PID_FILE, QMP_SOCKET
from oddtoc.target.memory import LIST_MEMORY, read_memory
from oddtoc.target.monitor import Monitor

_TIMEOUT = 5.0
"""Seconds. QEMU lets a second client connect and does not answer it."""
_FILE = "memory"
_HOST_ADDRESS = re.compile(r"is (0x[0-9a-f]+)\s*\Z")


class Onlooker:
    """Looks at one guest. Close it when done.

    Args:
        folder: the guest's, with its QMP socket; only the user can enter it.

    Raises:
        TargetInUseError: another client is connected there, or nobody answers.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._own: int | None = None
        self._base = 0
        try:
            self._monitor = Monitor(folder / QMP_SOCKET, _TIMEOUT)
            self._memory = read_memory(self._say(LIST_MEMORY))
            self._open(folder)
        except OSError as error:
            raise TargetInUseError(
                f"QEMU does not answer at {folder / QMP_SOCKET}: {error}", advice="is another QMP client connected?"
            ) from error

    @classmethod
    def beside(cls, name: str) -> Onlooker | None:
        """For the guest whose debug server has that name (`QemuTarget.name`); None where there is no QMP beside it."""
        folder = Path(name).parent
        return cls(folder) if (folder / QMP_SOCKET).is_socket() else None

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes) of the kernel's linear map, one after the other.

        Raises:
            FaultError: that is not memory of the linear map.
            TargetGoneError: QEMU has ended, or refuses.
        """
        try:
            return [self._read(self._memory.to_read(address, size), size) for address, size in requests]
        except OSError as error:
            raise TargetGoneError(f"the guest's memory can't be read: {error}") from error

    def close(self) -> None:
        """Let go of the guest."""
        self._monitor.close()
        self._file.unlink(missing_ok=True)
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _open(self, folder: Path) -> None:
        """Open QEMU's memory, if that is allowed and all of the guest's is in one piece there."""
        (first, end), *more = self._memory.readable or ((0, 0),)
        found = [_HOST_ADDRESS.search(self._say(f"gpa2hva {address:#x}")) for address in (first, max(end - 1, 0))]
        if more or not all(found):
            return
        low, high = (int(match[1], 16) for match in found if match)
        if high - low != end - 1 - first:
            return
        self._base = low - first
        with suppress(PermissionError):
            self._own = os.open(f"/proc/{int((folder / PID_FILE).read_text())}/mem", os.O_RDONLY)

    def _say(self, command: str) -> str:
        return str(self._monitor.ask("human-monitor-command", **{"command-line": command}))

    def _read(self, physical: int, size: int) -> bytes:
        if self._own is None:
            self._monitor.ask("pmemsave", val=physical, size=size, filename=str(self._file))
            return self._file.read_bytes()
        data = os.pread(self._own, size, self._base + physical)
        if len(data) != size:
            raise ConnectionResetError("QEMU has ended")
        return data
