"""Breakpoints in a process behind a gdbserver, and single steps of one thread while all others run on.

The server is attached in non-stop mode ("Non-Stop", "Packets" in the gdb manual). The condition on the stack pointer of
one thread it looks at itself ("General Bytecode Design" in the gdb manual).
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping

from oddtoc.errors import TargetError, TargetGoneError
from oddtoc.target.awaiting import SLICE
from oddtoc.target.memory import bytes_read
from oddtoc.target.packets import escaped
from oddtoc.target.parting import Parting
from oddtoc.target.server import STOP, STOPPED_THREAD, ServerConnection
from oddtoc.target.thread import ProcessLayout, Thread, decode_thread
from oddtoc.target.thread_stepper import TRAP, ThreadStepper

_WORD = 4
_PC = re.compile(rb"[;5]40:([0-9a-f]{16});")
"""It is register 64 there (rs6000/powerpc-vsx64l.xml and its like of gdb)."""
_PROCESSES = re.compile(rb"T05(?:[^#]*;)?(fork|vfork|vforkdone|exec):([^;]*);")
_CHILD = re.compile(rb"p([0-9a-f]{1,8})\.[0-9a-f]{1,8}\Z")
_REG, _CONST64, _EQUAL, _END = 0x26, 0x25, 0x13, 0x27
"""gdbsupport/ax.def of gdb."""


class ProcessStepper(ThreadStepper):
    """Follows a thread of a process; made by `GdbserverProcess.stepper`, valid inside its block.

    Args:
        connection: to the gdbserver, attached in non-stop mode.
        layout: of its registers.
        pid: of the process.
        parting: who looks after the breakpoints if this process dies.
    """

    _NOBODYS = (0, TRAP, STOP)
    _FAULTS = (0x04, 0x08, 0x0A, 0x0B)

    def __init__(self, connection: ServerConnection, layout: ProcessLayout, pid: int, parting: Parting) -> None:
        super().__init__(pid)
        self._connection = connection
        self._layout = layout
        self._parting = parting
        self._tell_farewell()

    def _find_words(self, addresses: Collection[int]) -> dict[int, bytes]:
        replies = self._exchange(*(b"m%x,4" % address for address in addresses))
        words = {address: bytes_read(reply, address, _WORD) for address, reply in zip(addresses, replies, strict=True)}
        self._tell_farewell(*words)
        return words

    def _tell_farewell(self, *addresses: int) -> None:
        removing = [b"z0,%x,4" % address for address in (*self.words, *addresses)]
        self._parting.tell(self._connection.parts_with([self._process, *removing, b"D;%x" % self._pid]))

    def _set_breakpoints(self, stacks: Mapping[int, int | None]) -> None:
        self._demand(*(b"Z0,%x,4%b" % (address, _condition(stack)) for address, stack in stacks.items()))

    def _take_breakpoints(self, addresses: Collection[int]) -> None:
        self._demand(*(b"z0,%x,4" % address for address in addresses))

    def _send_on(self, thread: str, signal: int, stepping: bool) -> None:
        how = (b"s" if stepping else b"c") if not signal else (b"S%02x" if stepping else b"C%02x") % signal
        self._demand(b"vCont;%b:%b" % (how, thread.encode()))

    def _interrupt(self, thread: str) -> None:
        self._demand(b"vCont;t:" + thread.encode())

    def _details(self, thread: str) -> bytes:
        (_, details) = self._connection.exchange([b"Hg" + thread.encode(), b"qXfer:siginfo:read::0,200"])
        return details[1:] if details[:1] == b"l" else b""

    def _set_details(self, thread: str, details: bytes) -> None:
        write = [b"qXfer:siginfo:write::0:" + escaped(details)] if details else []
        self._connection.exchange([b"Hg" + thread.encode(), *write])

    def _stops(self, limit: float, stepped: str = "") -> Iterator[tuple[str, int]]:
        for said in self._connection.stops(1, max(0.0, min(SLICE, limit - time.monotonic()))):
            match = STOPPED_THREAD.search(said)
            if said[:1] in (b"W", b"X") or match is None:
                self._forget()
                raise TargetGoneError(f"process {self._pid} has ended meanwhile")
            thread = match[1].decode("ascii")
            self._standing[thread] = said
            number = int(said[1:3], 16)
            if other := _PROCESSES.match(said):
                self._let_process_be(thread, other[1], other[2])
            elif thread == stepped or (b"swbreak:" in said and self._place(thread) in self._there):
                yield thread, number
            elif b"swbreak:" in said or number == STOP:
                # at one that is gone by now
                self._go(thread)
            else:
                self._resume(thread, number)

    def _let_process_be(self, thread: str, what: bytes, which: bytes) -> None:
        """A new process has all breakpoints, and nobody else who would take care of them."""
        if what == b"exec":
            self._go(thread)
            self._forget()
            raise TargetGoneError(f"process {self._pid} has executed another program meanwhile")
        if child := _CHILD.match(which):
            removing = [b"z0,%x,4" % address for address in self._there]
            self._connection.exchange([b"Hg" + which, *removing, b"D;" + child[1]])
        if what == b"vfork":
            # it runs in the same memory, until it has executed a program
            self._remove(*self._there)
            self._vforks.add(thread)
        elif what == b"vforkdone":
            self._vforks.discard(thread)
            self._insert()
        self._go(thread)

    def _forget(self) -> None:
        """The memory with the breakpoints is gone; gdbserver 13 falls over requests about it."""
        self._there.clear()
        self._wanted.clear()
        self._standing.clear()
        self.words.clear()

    def _look(self, thread: str) -> tuple[Thread, bytes]:
        """In one round trip."""
        if thread not in self._seen:
            pc = self._place(thread)
            chosen, core, word = self._connection.exchange([b"Hg" + thread.encode(), b"g", b"m%x,4" % pc])
            if chosen != b"OK" or thread not in self._standing:
                raise TargetError(f"thread {thread} does not stand still")
            found = decode_thread(self._layout, thread, core)
            self._seen[thread] = found, bytes_read(word, pc, _WORD) if pc == found.registers["pc"] else b""
        return self._seen[thread]

    def _read(self, address: int, size: int) -> bytes:
        return bytes_read(self._exchange(b"m%x,%x" % (address, size))[0], address, size)

    def _place(self, thread: str) -> int:
        match = _PC.search(self._standing.get(thread, b""))
        return int.from_bytes(bytes.fromhex(match[1].decode("ascii")), "little") if match else 0

    @property
    def _process(self) -> bytes:
        """The request after which the others are about this process."""
        return b"Hgp%x.0" % self._pid

    def _exchange(self, *requests: bytes) -> list[bytes]:
        return self._connection.exchange([self._process, *requests])[1:] if requests else []

    def _demand(self, *requests: bytes) -> None:
        for request, reply in zip(requests, self._exchange(*requests), strict=True):
            if reply != b"OK":
                raise TargetError(f"the gdbserver of process {self._pid} refuses {request!r}: {reply[:20]!r}")


def _condition(stack: int | None) -> bytes:
    """Of a breakpoint: the stack pointer, register 1, is that one."""
    if stack is None:
        return b""
    code = bytes([_REG, 0, 1, _CONST64]) + stack.to_bytes(8, "big") + bytes([_EQUAL, _END])
    return b";X%x,%b" % (len(code), code.hex().encode())
