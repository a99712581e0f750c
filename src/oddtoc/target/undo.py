"""What undoes a commit that is cut in the middle, kept for as long as the commit takes.

Only a guest of `oddtoc boot` has somebody who would do it: its guardian. So the file stands beside its debug socket, in
a folder that only the user can enter. Whoever connects first when the client has died, the guardian or the next oddtoc,
writes the old bytes back before the guest runs on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from oddtoc.errors import TargetError, TargetGoneError
from oddtoc.target.guest_qemu import GUARDIAN_SOCKET, UNDO_FILE
from oddtoc.target.registers import CORE
from oddtoc.target.stopped import Cpu, Stopped


class Undo:
    """The file of one guest.

    Args:
        folder: the guest's.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / UNDO_FILE

    @classmethod
    def beside(cls, endpoint: Path | tuple[str, int]) -> Undo | None:
        """For the guest whose debug server is there; None when it has no guardian."""
        guarded = isinstance(endpoint, Path) and endpoint.with_name(GUARDIAN_SOCKET).is_socket()
        return cls(endpoint.parent) if guarded and isinstance(endpoint, Path) else None

    @contextmanager
    def kept(self, cpus: Sequence[Cpu], writes: Sequence[tuple[int, bytes]]) -> Iterator[None]:
        """Keep what undoes the writes of a block, until the block ends; when it ends by losing the target, for longer.

        Args:
            cpus: of this stop. Once they have moved, nothing is undone any more: the guest has seen what was written.
            writes: (address, old bytes) each.
        """
        plain = {"cpus": _fingerprint(cpus), "writes": [[address, data.hex()] for address, data in writes]}
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(plain))
        new.rename(self._file)
        try:
            yield
        except TargetGoneError:
            raise
        except BaseException:
            self._file.unlink(missing_ok=True)
            raise
        self._file.unlink(missing_ok=True)

    def carry_out(self, stop: Callable[[], Stopped]) -> None:
        """Undo what a client that died has left, if one did.

        Args:
            stop: gives the target, which stands still; asked for only when there is something to undo.

        Raises:
            TargetError: the file makes no sense.
            FaultError: something can't be written.
        """
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return
        try:
            plain = json.loads(text)
            writes = [(int(address), bytes.fromhex(data)) for address, data in plain["writes"]]
            seen = plain["cpus"]
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(f"{self._file} makes no sense: {error}", advice="remove it") from error
        stopped = stop()
        if _fingerprint(stopped.cpus()) == seen:
            stopped.write_many(writes)
        self._file.unlink(missing_ok=True)


def _fingerprint(cpus: Sequence[Cpu]) -> str:
    values = [[cpu.id, *(cpu.registers[name] for name in CORE)] for cpu in cpus]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
