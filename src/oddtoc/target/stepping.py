"""What follows one vCPU of a guest or one thread of a process, instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class Stepping(Protocol):
    """Breakpoints and single steps. vCPUs and threads are known by their names in the debug protocol."""

    def stop_at(self, *addresses: int) -> None:
        """Breakpoints at these addresses, and nowhere else; they may be gone when one was met."""

    def clear(self) -> None:
        """Remove all breakpoints."""

    def run(
        self, seconds: float, give_up: Callable[[], bool], prefers: Callable[[str], bool] = lambda _: True
    ) -> str | None:
        """Let the target run until one is at a breakpoint.

        Args:
            seconds: how long at most.
            give_up: asked a few times a second.
            prefers: asked for each where several arrive at once.

        Returns:
            Which one, standing still; None when there was none.
        """

    def run_to(self, name: str, address: int, stack: int, seconds: float, give_up: Callable[[], bool]) -> str | None:
        """Let the target run until one with that stack pointer is at an address; as `run`."""

    def can_step(self, word: int) -> bool:
        """Whether an instruction can be stepped."""

    def step(self, name: str) -> None:
        """Run one instruction of one of them; breakpoints are gone then."""

    def registers(self, name: str) -> Mapping[str, int]:
        """The general registers of one that stands still."""

    def read(self, name: str, address: int, size: int) -> bytes:
        """Memory, as that one sees it.

        Raises:
            FaultError: it sees none there.
        """
