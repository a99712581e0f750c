"""ptrace(2): the threads of a process held by oddtoc itself, on a ppc64le machine.

Threads are seized (PTRACE_SEIZE) and not attached to: nothing is sent to the process that it could see, a process that
stands still by job control stays so, and when oddtoc dies the kernel lets all of them go on. A signal that comes while
a thread is being held is what the thread is found with; it is handed back when it is let go.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oddtoc.errors import TargetError
from oddtoc.target.thread import PTRACE_LAYOUT, Thread, begun_again, changed, thread_of

_GETSIGINFO, _SETSIGINFO = 0x4202, 0x4203
_GETREGSET, _SETREGSET = 0x4204, 0x4205
SEIZE, INTERRUPT = 0x4206, 0x4207
_GETSIGMASK, _SETSIGMASK = 0x420A, 0x420B
SINGLESTEP, DETACH = 9, 17
"""include/uapi/linux/ptrace.h"""
EVENT_STOP = 128
_PRSTATUS = 1
_REGISTERS_SIZE = 48 * 8
"""ELF_NGREG of arch/powerpc/include/uapi/asm/elf.h, 8 bytes each."""
_SIGINFO_SIZE = 128
ALL_CLONES = 0x40000000
_SIGSET_SIZE = 8
_ALL_BUT_TRAP = ~(1 << (signal.SIGTRAP - 1)) & (1 << 64) - 1
_PATIENCE = 5.0
"""Seconds that a thread may take to stop: one that waits for a disk can't be interrupted."""
_MOMENT = 0.0001
_MOST_STOPS = 64
_MOST_ROUNDS = 64
_GONE = (errno.ESRCH, errno.ECHILD)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class TracedThread:
    """A thread that this process traces. What is asked of it, it has to stand still for.

    Attributes:
        process, number: of the thread.
    """

    def __init__(self, process: int, number: int) -> None:
        self.process = process
        self.number = number

    @property
    def registers(self) -> bytes:
        """Its general registers: struct pt_regs of arch/powerpc/include/uapi/asm/ptrace.h."""
        buffer = ctypes.create_string_buffer(_REGISTERS_SIZE)
        vector = _Iovec(ctypes.addressof(buffer), _REGISTERS_SIZE)
        request(_GETREGSET, self.number, _PRSTATUS, ctypes.addressof(vector))
        return buffer.raw[: vector.length]

    @registers.setter
    def registers(self, raw: bytes) -> None:
        buffer = ctypes.create_string_buffer(raw, len(raw))
        vector = _Iovec(ctypes.addressof(buffer), len(raw))
        request(_SETREGSET, self.number, _PRSTATUS, ctypes.addressof(vector))

    @property
    def details(self) -> bytes:
        """What came with the signal that it has stopped with (siginfo_t)."""
        buffer = ctypes.create_string_buffer(_SIGINFO_SIZE)
        request(_GETSIGINFO, self.number, 0, ctypes.addressof(buffer))
        return buffer.raw

    @details.setter
    def details(self, details: bytes) -> None:
        buffer = ctypes.create_string_buffer(details, _SIGINFO_SIZE)
        # not where it stands for another reason than a signal by now
        with suppress(TargetError, ProcessLookupError):
            request(_SETSIGINFO, self.number, 0, ctypes.addressof(buffer))

    def decoded(self) -> Thread:
        """It, with its registers."""
        return thread_of(PTRACE_LAYOUT, f"p{self.process:x}.{self.number:x}", self.registers)

    def begin_again(self) -> None:
        """Have a system call begin again that the stop has ended."""
        thread = self.decoded()
        values = begun_again(thread)
        if values and not _has_signal(self.number):
            self.registers = changed(PTRACE_LAYOUT, thread, values)


class Tracee(TracedThread):
    """A thread that is seized, and made to stand still.

    Attributes:
        held: whether it stands still.
    """

    def __init__(self, process: int, number: int) -> None:
        super().__init__(process, number)
        self.held = False
        self._signal = 0
        self._signal_details: bytes | None = None
        request(SEIZE, number)
        request(INTERRUPT, number)

    def await_stop(self) -> bool:
        """Wait for it to stand still; False if it has ended.

        Raises:
            TargetError: it does not.
        """
        status = self._awaited()
        if status is None:
            return False
        self.held = True
        if status >> 16 != EVENT_STOP:
            self._signal = os.WSTOPSIG(status)
            self._signal_details = self.details
        return True

    def let_go(self) -> None:
        """Let it run on, with the signal that it was found with."""
        if not self.held:
            # what is detached from has to stand still
            with suppress(TargetError):
                self.await_stop()
        if self.held:
            if self._signal_details is not None:
                self.details = self._signal_details
            else:
                with suppress(ProcessLookupError):
                    self.begin_again()
            with suppress(ProcessLookupError):
                request(DETACH, self.number, 0, self._signal)
            self.held = False

    def step(self) -> None:
        """Let it execute one instruction, its signals held back; two if the first one is a system call.

        Raises:
            TargetError: it ended, or does not.
        """
        mask = ctypes.create_string_buffer(_SIGSET_SIZE)
        request(_GETSIGMASK, self.number, _SIGSET_SIZE, ctypes.addressof(mask))
        self._set_mask(_ALL_BUT_TRAP.to_bytes(_SIGSET_SIZE, "little"))
        try:
            for _ in range(_MOST_STOPS):
                request(SINGLESTEP, self.number)
                status = self._awaited()
                if status is None:
                    self.held = False
                    raise TargetError(f"thread {self.number} has ended")
                if status >> 16 == 0 and os.WSTOPSIG(status) == signal.SIGTRAP:
                    return
            raise TargetError(f"thread {self.number} does not execute an instruction")
        finally:
            if self.held:
                self._set_mask(mask.raw)

    def _set_mask(self, mask: bytes) -> None:
        buffer = ctypes.create_string_buffer(mask, _SIGSET_SIZE)
        request(_SETSIGMASK, self.number, _SIGSET_SIZE, ctypes.addressof(buffer))

    def _awaited(self) -> int | None:
        """The status that it stops with; None if it has ended."""
        limit = time.monotonic() + _PATIENCE
        while True:
            try:
                found, status = os.waitpid(self.number, ALL_CLONES | os.WNOHANG)
            except OSError as error:
                if error.errno in _GONE:
                    return None
                raise
            if found:
                return status if os.WIFSTOPPED(status) else None
            if time.monotonic() > limit:
                raise TargetError(
                    f"thread {self.number} does not stop", advice="it waits for something that can't be interrupted"
                )
            time.sleep(_MOMENT)


@contextmanager
def held_one(pid: int) -> Iterator[Tracee]:
    """One thread of a process, the first that there is, standing still for the length of a block.

    Raises:
        TargetError: it can't be traced, has ended, or does not stop.
    """
    tracee = _first_held(pid)
    try:
        yield tracee
    finally:
        tracee.let_go()


def _first_held(pid: int) -> Tracee:
    # the first thread of a process stays until all have ended
    for number in (number for number in threads_of(pid) if not is_dead(pid, number)):
        with suppress(ProcessLookupError):
            tracee = Tracee(pid, number)
            try:
                if tracee.await_stop():
                    return tracee
            except BaseException:
                tracee.let_go()
                raise
    raise TargetError(f"process {pid} has ended")


def hold_all(pid: int, held: dict[int, Tracee]) -> None:
    """Make all threads of a process stand still.

    Args:
        pid: of the process.
        held: takes each that was seized, by its number, at once: they have to be let go of however this ends.

    Raises:
        TargetError: it can't be traced, has ended, or a thread does not stop.
    """
    for _ in range(_MOST_ROUNDS):
        fresh = [number for number in threads_of(pid) if number not in held and not is_dead(pid, number)]
        if not fresh:
            return
        for number in fresh:
            with suppress(ProcessLookupError):
                held[number] = Tracee(pid, number)
        for number in fresh:
            if number in held and not held[number].await_stop():
                del held[number]
    raise TargetError(f"process {pid} makes new threads faster than they can be stopped")


def threads_of(pid: int) -> list[int]:
    """The numbers of a process's threads, one that has ended among them until all have.

    Raises:
        TargetError: there is no such process.
    """
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        raise TargetError(f"there is no process {pid} any more") from None


def is_dead(pid: int, number: int) -> bool:
    """Whether a thread has ended: the first one of a process stays until all have."""
    try:
        state = Path(f"/proc/{pid}/task/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def _has_signal(number: int) -> bool:
    """Whether a signal waits for a thread that it does not block (proc(5), /proc/PID/status)."""
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    fields = dict(line.partition(":")[::2] for line in lines)
    waiting, blocked = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16), int(fields["SigBlk"], 16)
    return bool(waiting & ~blocked)


def request(what: int, number: int, address: int = 0, data: int = 0) -> None:
    """What ptrace(2) is asked.

    Raises:
        ProcessLookupError: there is no such thread, or it does not stand still.
        TargetError: it can't be done.
    """
    if _libc.ptrace(what, number, address, data) == -1:
        code = ctypes.get_errno()
        if code == errno.ESRCH:
            raise ProcessLookupError(code, os.strerror(code))
        raise TargetError(
            f"thread {number} can't be traced: {os.strerror(code)}",
            advice="be its user or root; /proc/sys/kernel/yama/ptrace_scope may forbid it"
            if code == errno.EPERM
            else "",
        )
