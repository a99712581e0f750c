"""The registers of a process's thread, as gdbserver sends them, or ptrace gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oddtoc.errors import TargetError
from oddtoc.target.registers import CORE, descriptions

_TRAP_SC, _TRAP_SCV = 0xC00, 0x3000
_SUMMARY_OVERFLOW = 1 << 28
_RESTART = (512, 513, 514)
"""ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND (include/linux/errno.h)."""
_RESTART_BLOCK = 516
"""ERESTART_RESTARTBLOCK: system call 0, restart_syscall, goes on with what is left."""
_INTERRUPTED = 4
"""EINTR"""
_RECEIVING = frozenset({3, 145, *range(334, 338), *range(341, 345), 330})
"""read and readv, send to recvfrom, sendmsg to accept4, accept: of a socket with a time limit."""
_NEVER_RESTARTED = frozenset({117, 176, 229, 238, 303, 388, 392, 400, 401, 441}) | _RECEIVING
"""ipc, rt_sigtimedwait, io_getevents, epoll_wait, epoll_pwait, io_pgetevents, semtimedop, msgsnd, msgrcv, epoll_pwait2
(arch/powerpc/kernel/syscalls/syscall.tbl): a stop ends them with EINTR even where no signal comes (signal(7),
"Interruption of system calls and library functions by stop signals"). They have done nothing then, and can begin again.
"""
_SYSTEM = ("orig_r3", "trap")


@dataclass(frozen=True)
class ProcessLayout:
    """Where registers stand in the reply to `g`: name -> (offset, width) in bytes."""

    places: Mapping[str, tuple[int, int]]


_PTRACE_ORDER = (*(f"r{n}" for n in range(32)), "pc", "msr", "orig_r3", "ctr", "lr", "xer", "cr", "softe", "trap")
PTRACE_LAYOUT = ProcessLayout({name: (8 * index, 8) for index, name in enumerate(_PTRACE_ORDER)})
"""Of what ptrace gives: PT_R0 to PT_TRAP of arch/powerpc/include/uapi/asm/ptrace.h."""


@dataclass(frozen=True)
class Thread:
    """A stopped thread.

    Attributes:
        id: as the protocol names it, ``p73.75``.
        registers: by name.
        raw: all of them as they were sent, for `StoppedProcess.restore`.
    """

    id: str
    registers: Mapping[str, int]
    raw: bytes

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"thread {int(self.id.rpartition('.')[2], 16)}"

    @property
    def positions(self) -> tuple[int, ...]:
        """Where it stands."""
        return (self.registers["pc"],)

    @property
    def is_known(self) -> bool:
        """Whether `positions` is all there is; always."""
        return True


def read_process_layout(read: Callable[[str], str]) -> ProcessLayout:
    """Read a target description.

    gdbserver sends registers in the order of their numbers: `regnum` where it is given, else one more than that of the
    register before ("Register Format" in the gdb manual).

    Args:
        read: gives a document by name.

    Raises:
        TargetError: it is malformed, or not that of a 64-bit Power process.
    """
    numbered: dict[int, tuple[str, int]] = {}
    number = -1
    for document in descriptions(read):
        for register in document.iter("reg"):
            try:
                number = int(register.get("regnum", number + 1))
                numbered[number] = register.get("name", ""), int(register.get("bitsize", "0")) // 8
            except ValueError as error:
                raise TargetError("the target's description of its registers is malformed") from error
    places: dict[str, tuple[int, int]] = {}
    offset = 0
    for _, (name, width) in sorted(numbered.items()):
        places[name] = offset, width
        offset += width
    missing = [name for name in (*CORE, *_SYSTEM) if name not in places]
    if missing:
        raise TargetError(f"the target has no register {missing[0]}", advice="oddtoc needs a ppc64le process")
    return ProcessLayout(places)


def decode_thread(layout: ProcessLayout, thread: str, reply: bytes) -> Thread:
    """A thread from the reply to `g`, in which registers that are not available are `x`; those count as 0.

    Raises:
        TargetError: the reply is malformed, or too short.
    """
    try:
        raw = bytes.fromhex(reply.replace(b"x", b"0").decode("ascii"))
    except ValueError as error:
        raise TargetError(f"the registers of thread {thread} are malformed: {reply[:20]!r}") from error
    return thread_of(layout, thread, raw)


def thread_of(layout: ProcessLayout, thread: str, raw: bytes) -> Thread:
    """A thread by its id and all its registers.

    Raises:
        TargetError: they are too few.
    """
    if len(raw) < max(offset + width for offset, width in (layout.places[name] for name in (*CORE, *_SYSTEM))):
        raise TargetError(f"the target sends {len(raw)} bytes of registers, too few")
    values = {name: int.from_bytes(_part(raw, layout.places[name]), "little") for name in (*CORE, *_SYSTEM)}
    return Thread(thread, values, raw)


def changed(layout: ProcessLayout, thread: Thread, values: Mapping[str, int]) -> bytes:
    """All registers of a thread, some with new values."""
    raw = bytearray(thread.raw)
    for name, value in values.items():
        offset, width = layout.places[name]
        raw[offset : offset + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(raw)


def restarted(thread: Thread) -> dict[str, int]:
    """What the registers of a thread have to be, so that a system call in which it was stopped begins again.

    The kernel sees to that where it finds the trap number of the call (check_syscall_restart in
    arch/powerpc/kernel/signal.c), which is lost once the thread has run something else: gdbserver stores neither `trap`
    nor `orig_r3`.
    """
    registers = thread.registers
    if registers["trap"] & ~0xF == _TRAP_SCV:
        error = -(registers["r3"] - (1 << 64))
    elif registers["trap"] & ~0xF == _TRAP_SC and registers["cr"] & _SUMMARY_OVERFLOW:
        error = registers["r3"]
    else:
        return {}
    if error in _RESTART:
        return {"pc": registers["pc"] - 4, "r3": registers["orig_r3"]}
    if error == _RESTART_BLOCK:
        return {"pc": registers["pc"] - 4, "r0": 0}
    return {}


def begun_again(thread: Thread) -> dict[str, int]:
    """What the registers of a thread have to be, so that a system call begins again that says it was interrupted.

    Only for a thread that no signal waits for: then it was the stop that has interrupted it.
    """
    registers = thread.registers
    # with a flag in it (set_trap_norestart), it comes from a signal handler
    if registers["trap"] == _TRAP_SCV:
        interrupted = registers["r3"] == (1 << 64) - _INTERRUPTED
    else:
        interrupted = registers["trap"] == _TRAP_SC and registers["r3"] == _INTERRUPTED
        interrupted &= bool(registers["cr"] & _SUMMARY_OVERFLOW)
    if not interrupted or registers["r0"] not in _NEVER_RESTARTED:
        return {}
    # without its trap the kernel does not take the old r3 for an error of its own
    return {"pc": registers["pc"] - 4, "r3": registers["orig_r3"], "trap": 0}


def _part(raw: bytes, place: tuple[int, int]) -> bytes:
    return raw[place[0] : place[0] + place[1]]
