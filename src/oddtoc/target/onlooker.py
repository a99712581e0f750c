"""Reads the memory of a guest while it runs on: QEMU saves it for whoever asks through QMP.

Only what is written by plain stores and read as a whole makes sense that way: nothing stands still meanwhile.
"""

from __future__ import annotations

from pathlib import Path

from oddtoc.errors import TargetGoneError, TargetInUseError
from oddtoc.target.guest_qemu import QMP_SOCKET
from oddtoc.target.memory import Memory
from oddtoc.target.monitor import Monitor

_TIMEOUT = 5.0
"""Seconds. QEMU lets a second client connect and does not answer it."""
_FILE = "memory"


class Onlooker:
    """Looks at one guest. Close it when done.

    Args:
        folder: the guest's, with its QMP socket; only the user can enter it.

    Raises:
        TargetInUseError: another client is connected there, or nobody answers.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._memory = Memory()
        try:
            self._monitor = Monitor(folder / QMP_SOCKET, _TIMEOUT)
        except OSError as error:
            raise TargetInUseError(
                f"QEMU does not answer at {folder / QMP_SOCKET}: {error}", advice="is another QMP client connected?"
            ) from error

    @classmethod
    def beside(cls, name: str) -> Onlooker | None:
        """For the guest whose debug server has that name; None where there is no QMP socket beside it.

        Args:
            name: `QemuTarget.name`.
        """
        folder = Path(name).parent
        return cls(folder) if (folder / QMP_SOCKET).is_socket() else None

    def read(self, address: int, size: int) -> bytes:
        """Memory of the running guest, in the kernel's linear map.

        Args:
            address: virtual.
            size: bytes.

        Raises:
            FaultError: that is not memory of the linear map.
            TargetGoneError: QEMU has ended, or refuses.
        """
        physical = self._memory.to_read(address, size)
        try:
            self._monitor.ask("pmemsave", val=physical, size=size, filename=str(self._file))
            return self._file.read_bytes()
        except OSError as error:
            raise TargetGoneError(f"the guest's memory can't be read: {error}") from error

    def close(self) -> None:
        """Let go of the guest."""
        self._monitor.close()
        self._file.unlink(missing_ok=True)
