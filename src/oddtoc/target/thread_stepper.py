"""What follows a thread of a process by breakpoints and single steps while all others run on, whoever traces it.

A breakpoint is one for all threads: the first that meets it stays, those that come with it go on. What waits for one
thread is told from all others by its stack pointer.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar

from oddtoc.errors import TargetError
from oddtoc.target.awaiting import Awaiting
from oddtoc.target.thread import Thread

_PATIENCE = 10.0
"""Seconds that one step may take."""
_MOST_SIGNALS = 64
TRAP = 5
"""SIGTRAP, as the kernel and the debug protocol number it."""


class ThreadStepper(Awaiting):
    """Follows a thread of a process; each kind says how threads are stopped and let go.

    Args:
        pid: of the process.

    Attributes:
        words: every word that had a breakpoint: address -> what stands there.
    """

    _NOBODYS: ClassVar[Collection[int]]
    """Signals that nobody has sent: threads are stopped with them."""
    _FAULTS: ClassVar[Collection[int]]
    """SIGILL, SIGFPE, SIGBUS, SIGSEGV."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._wanted: dict[int, int | None] = {}
        self._there: set[int] = set()
        self._vforks: set[str] = set()
        self._standing: dict[str, bytes] = {}
        self._waiting: dict[str, list[tuple[int, bytes]]] = {}
        self._seen: dict[str, tuple[Thread, bytes]] = {}
        self.words: dict[int, bytes] = {}

    def stop_at(self, *addresses: int) -> None:
        """Breakpoints at these addresses, and nowhere else, until a thread has met one."""
        self._want(dict.fromkeys(addresses))

    def clear(self) -> None:
        """Remove all breakpoints."""
        self._want({})

    def end(self) -> None:
        """Remove all breakpoints, and let all threads go on."""
        self.clear()
        for thread in [thread for thread in self._waiting if thread not in self._standing]:
            self._interrupt(thread)
            self._await_and_put_off(thread, time.monotonic() + _PATIENCE)
        self.release()

    def release(self) -> None:
        """As `Awaiting.release`."""
        self._let_go(*self._standing)

    def arrived(self, seconds: float) -> list[str]:
        """As `Awaiting.arrived`."""
        arrived = self._arrivals(time.monotonic() + seconds)
        if arrived:
            self.clear()
        return arrived

    def keep(self, thread: str) -> None:
        """As `Awaiting.keep`."""
        self._let_go(*(other for other in list(self._standing) if other != thread))

    def await_at(self, address: int, stack: int) -> None:
        """As `Awaiting.await_at`."""
        self._want({address: stack})
        self.release()

    def has_arrived(self, thread: str, stack: int, seconds: float) -> bool:
        """As `Awaiting.has_arrived`."""
        arrived = self._arrivals(time.monotonic() + seconds)
        if thread in arrived and self.registers(thread)["r1"] == stack:
            self.clear()
            self.keep(thread)
            return True
        if arrived:
            self._pass(arrived, thread)
        return False

    def step(self, thread: str) -> None:
        """Run one instruction of one thread; breakpoints are gone then. Signals that come wait until it is let go.

        Raises:
            TargetError: it does not step.
            TargetGoneError: the process has ended.
        """
        self.clear()
        limit = time.monotonic() + _PATIENCE
        for _ in range(_MOST_SIGNALS):
            self._resume(thread, stepping=True)
            number = self._await_and_put_off(thread, limit)
            if number == TRAP:
                return
            if number in self._FAULTS:
                raise TargetError(f"{_named(thread)} can't carry out an instruction: signal {number}")
        raise _stuck(thread)

    def registers(self, thread: str) -> Mapping[str, int]:
        """The general registers of a thread that stands still."""
        return self._look(thread)[0].registers

    def read(self, thread: str, address: int, size: int) -> bytes:
        """Memory.

        Raises:
            FaultError: nothing is mapped there.
        """
        seen, word = self._look(thread)
        if (address, size) == (seen.registers["pc"], len(word)):
            return word
        return self._read(address, size)

    def _want(self, wanted: dict[int, int | None]) -> None:
        changed = [address for address in self._there if self._differs(address, wanted)]
        self._remove(*changed)
        self._wanted = wanted
        self._insert()

    def _differs(self, address: int, wanted: Mapping[int, int | None]) -> bool:
        return address not in wanted or wanted[address] != self._wanted.get(address)

    def _insert(self) -> None:
        """What is wanted and not there, unless a child still runs in the same memory: it would end there."""
        missing = [address for address in self._wanted if address not in self._there and not self._vforks]
        if not missing:
            return
        # what stands there is read before, and told to who removes it if need be
        self.words.update(self._find_words([address for address in missing if address not in self.words]))
        self._there.update(missing)
        self._set_breakpoints({address: self._wanted[address] for address in missing})

    def _remove(self, *addresses: int) -> None:
        self._take_breakpoints(addresses)
        self._there.difference_update(addresses)

    def _go(self, thread: str) -> None:
        if thread in self._waiting:
            self._let_go_with_signals(thread)
        else:
            self._resume(thread)

    def _resume(self, thread: str, signal: int = 0, *, stepping: bool = False) -> None:
        self._standing.pop(thread, None)
        self._seen.pop(thread, None)
        self._send_on(thread, signal, stepping)

    def _let_go(self, *threads: str) -> None:
        for thread in threads:
            self._go(thread)

    def _pass(self, arrived: Collection[str], awaited: str) -> None:
        """Let threads go on that stand at the breakpoint of another one."""
        del awaited
        self._let_go(*arrived)

    def _await(self, thread: str, limit: float) -> int:
        """Wait for one thread to stop, which others that do must not; the signal that it stops with."""
        while time.monotonic() < limit:
            found = dict(self._stops(limit, thread))
            self._let_go(*(other for other in found if other != thread))
            if thread in found:
                return found[thread]
        raise _stuck(thread)

    def _await_and_put_off(self, thread: str, limit: float) -> int:
        number = self._await(thread, limit)
        if number not in self._NOBODYS:
            self._put_off(thread, number)
        return number

    def _put_off(self, thread: str, number: int) -> None:
        """Keep a signal for a thread, with all that came with it (siginfo_t), until it is let go."""
        self._waiting.setdefault(thread, []).append((number, self._details(thread)))

    def _let_go_with_signals(self, thread: str) -> None:
        """Deliver what was put off, in order: of all but the last only the first instruction of the handler runs before
        the next one comes. What is blocked by then is queued by the kernel (ptrace_signal in its kernel/signal.c).
        It takes no signal where it stops before that instruction (signal_setup_done there)."""
        limit = time.monotonic() + _PATIENCE
        while waiting := self._waiting.pop(thread, []):
            (number, details), rest = waiting[0], waiting[1:]
            # what the kernel finds there for that signal it takes for what came with it
            self._set_details(thread, details)
            self._resume(thread, number, stepping=bool(rest))
            if rest:
                self._waiting[thread] = rest
                self._await_and_put_off(thread, limit)
                self._resume(thread, stepping=True)
                self._await_and_put_off(thread, limit)

    def _arrivals(self, limit: float) -> list[str]:
        return [thread for thread, _ in self._stops(limit)]

    @abstractmethod
    def _stops(self, limit: float, stepped: str = "") -> Iterator[tuple[str, int]]:
        """Threads that have stopped at a breakpoint, and the one that is stepped, with their signals; others go on."""

    @abstractmethod
    def _find_words(self, addresses: Collection[int]) -> dict[int, bytes]:
        """What stands where breakpoints come, and who else has to know it is told."""

    @abstractmethod
    def _set_breakpoints(self, stacks: Mapping[int, int | None]) -> None:
        """Breakpoints: address -> the stack pointer that they are for; None for all."""

    @abstractmethod
    def _take_breakpoints(self, addresses: Collection[int]) -> None:
        """Take breakpoints away."""

    @abstractmethod
    def _send_on(self, thread: str, signal: int, stepping: bool) -> None:
        """Let a thread go on with a signal, or 0; for one instruction if it is stepped."""

    @abstractmethod
    def _interrupt(self, thread: str) -> None:
        """Have a thread stop."""

    @abstractmethod
    def _details(self, thread: str) -> bytes:
        """What came with the signal that a thread has stopped with (siginfo_t); nothing where that is not known."""

    @abstractmethod
    def _set_details(self, thread: str, details: bytes) -> None:
        """What comes with the signal that it goes on with."""

    @abstractmethod
    def _look(self, thread: str) -> tuple[Thread, bytes]:
        """A thread that stands still with its registers, and the word that is next; nothing where that is not known."""

    @abstractmethod
    def _read(self, address: int, size: int) -> bytes:
        """Memory."""


def _named(thread: str) -> str:
    return f"thread {int(thread.rpartition('.')[2], 16)}"


def _stuck(thread: str) -> TargetError:
    return TargetError(f"{_named(thread)} does not step", advice="the machine may be too busy: try again")
