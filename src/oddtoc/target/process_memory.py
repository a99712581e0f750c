"""The memory of a process of this machine, by /proc/PID/mem, while it runs.

The kernel sees to the instruction caches (copy_to_user_page of arch/powerpc/mm/cacheflush.c). It may leave read-only
memory to those who trace the process (PROC_MEM_FORCE_PTRACE of fs/proc/base.c).
"""

from __future__ import annotations

import os

from oddtoc.errors import FaultError


class ProcessMemory:
    """The memory that a process has now; once it executes another program there is none.

    Args:
        pid: of the process.

    Raises:
        OSError: it may not be opened, or there is no such process.
    """

    def __init__(self, pid: int) -> None:
        self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Close it; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read(self, address: int, size: int) -> bytes:
        """Some bytes.

        Raises:
            FaultError: not all of them can be read.
        """
        found = bytearray()
        while len(found) < size:
            try:
                part = os.pread(self._file, size - len(found), address + len(found))
            except (OSError, OverflowError):
                part = b""
            if not part:
                raise FaultError(f"{size} bytes at {address:#x} can't be read", address=address, size=size)
            found += part
        return bytes(found)

    def takes(self, address: int, data: bytes) -> bool:
        """Write; whether it was written."""
        try:
            return os.pwrite(self._file, data, address) == len(data)
        except (OSError, OverflowError):
            return False
