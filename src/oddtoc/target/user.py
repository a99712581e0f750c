"""The debug server of user-mode QEMU: unlike a guest's, it wants every reply acknowledged before the next request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oddtoc.target.rsp import Connection


class UserConnection(Connection):
    """A connection to a program under user-mode QEMU (gdbstub.c of QEMU, put_packet_binary)."""

    def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests one by one, and give a reply for each. Raises what `Connection.exchange` raises."""
        return [reply for request in requests for reply in super(UserConnection, self).exchange([request])]

    def _receive(self, deadline: float, noise: bytes = b"+", when_stuck: Callable[[], None] | None = None) -> bytes:
        reply = super()._receive(deadline, noise, when_stuck)
        self._wire.send(b"+", deadline)
        return reply
