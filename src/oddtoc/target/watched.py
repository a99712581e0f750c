"""Threads that are traced while they run, by ptrace(2): told of what they stop with, and let go on."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from oddtoc.errors import TargetError
from oddtoc.target.ptrace import (
    ALL_CLONES,
    DETACH,
    EVENT_STOP,
    INTERRUPT,
    SEIZE,
    SINGLESTEP,
    TracedThread,
    is_dead,
    request,
    threads_of,
)

FORK, VFORK, CLONE, EXEC, VFORK_DONE = 1, 2, 3, 4, 5
_CONT, _GETEVENTMSG, _LISTEN = 7, 0x4201, 0x4208
"""include/uapi/linux/ptrace.h"""
_OPTIONS = sum(1 << event for event in (FORK, VFORK, CLONE, EXEC, VFORK_DONE))
_GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_BREAKPOINT, _TRACE = 1, 2
"""TRAP_BRKPT, TRAP_TRACE (include/uapi/asm-generic/siginfo.h)."""
_MOMENT = 0.0005
_MOST_ROUNDS = 64


class Watched(TracedThread):
    """A thread that is traced and runs: one that the kernel has had us trace from its birth, unless it is `seized`.

    Attributes:
        stopped_by_job_control: whether it stands with all others of its process until a SIGCONT comes.
    """

    stopped_by_job_control = False

    @classmethod
    def seized(cls, process: int, number: int) -> Watched:
        """Trace a thread that nobody traces; its children and the threads that it starts are traced, too.

        Raises:
            ProcessLookupError: it has ended.
            TargetError: it can't be traced.
        """
        request(SEIZE, number, 0, _OPTIONS)
        return cls(process, number)

    def interrupt(self) -> None:
        """Have it stop, if it has not ended."""
        with suppress(ProcessLookupError):
            request(INTERRUPT, self.number)

    def go_on(self, number: int, *, stepping: bool) -> None:
        """Let it run, with a signal or 0; for one instruction if it is stepped; not if it is stopped by job control."""
        how = _LISTEN if self.stopped_by_job_control else SINGLESTEP if stepping else _CONT
        with suppress(ProcessLookupError):
            request(how, self.number, 0, 0 if how == _LISTEN else number)

    def detach(self, number: int = 0) -> None:
        """Trace it no longer; it runs with a signal or 0."""
        with suppress(ProcessLookupError):
            request(DETACH, self.number, 0, number)

    def subject(self) -> int:
        """Whom the event is about that it stands with: the number of a new thread or process."""
        found = ctypes.c_ulong()
        request(_GETEVENTMSG, self.number, 0, ctypes.addressof(found))
        return found.value

    def trap(self) -> Trap:
        """What has made it stop with SIGTRAP.

        Raises:
            ProcessLookupError: it has ended.
        """
        return Trap(self.details)


class Trap:
    """A SIGTRAP.

    Attributes:
        is_breakpoint: a trap instruction was met; the thread stands at it.
        is_step: the processor, or the kernel at a signal handler (signal_setup_done), ended a single step.
    """

    def __init__(self, details: bytes) -> None:
        code = int.from_bytes(details[8:12], "little", signed=True)
        self.is_breakpoint = code == _BREAKPOINT
        self.is_step = code in (_TRACE, signal.SIGTRAP)


class Stop:
    """How a thread has stopped, from the status that waitpid(2) gives.

    Attributes:
        number: of the thread.
        has_ended: it has, instead.
        event: FORK to VFORK_DONE, or 0.
        is_pause: because it was interrupted, was born, or by job control.
        signal: that it has stopped with.
    """

    def __init__(self, number: int, status: int) -> None:
        self.number = number
        self.has_ended = not os.WIFSTOPPED(status)
        self.signal = 0 if self.has_ended else os.WSTOPSIG(status)
        what = 0 if self.has_ended else status >> 16
        self.is_pause = what == EVENT_STOP
        self.event = 0 if self.is_pause else what

    @property
    def is_by_job_control(self) -> bool:
        """Whether it stands until a SIGCONT comes."""
        return self.is_pause and self.signal in _GROUP_STOPS


def watch_all(pid: int, watched: dict[int, Watched]) -> None:
    """Trace all threads of a process; none is stopped.

    Args:
        pid: of the process.
        watched: takes each, by its number.

    Raises:
        TargetError: it can't be traced, has ended, or makes threads too fast.
    """
    for _ in range(_MOST_ROUNDS):
        fresh = [number for number in threads_of(pid) if number not in watched and not is_dead(pid, number)]
        if not fresh:
            return
        for number in fresh:
            with suppress(ProcessLookupError):
                # one that a traced thread has started is traced already
                watched[number] = Watched(pid, number) if _is_ours(number) else Watched.seized(pid, number)
    raise TargetError(f"process {pid} makes new threads faster than they can be traced")


def next_stops(limit: float) -> list[Stop]:
    """Wait for traced threads to stop; all that have by then, each once. Everything that this process waits for counts.

    Args:
        limit: by `time.monotonic`.

    Raises:
        ChildProcessError: nothing is traced any more.
    """
    found: list[Stop] = []
    while True:
        try:
            number, status = os.waitpid(-1, ALL_CLONES | os.WNOHANG)
        except ChildProcessError:
            if found:
                return found
            raise
        if number:
            found.append(Stop(number, status))
        elif found or time.monotonic() > limit:
            return found
        else:
            time.sleep(_MOMENT)


def _is_ours(number: int) -> bool:
    try:
        return f"\nTracerPid:\t{os.getpid()}\n" in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False
