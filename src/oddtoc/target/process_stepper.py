"""Breakpoints in a process behind a gdbserver, and single steps of one thread while all others run on.

The server is attached in non-stop mode ("Non-Stop", "Packets" in the gdb manual). A breakpoint is one for all threads:
the first that meets it stays, those that come with it go on. What waits for one thread is told from all others by a
condition on its stack pointer, which the server looks at itself ("General Bytecode Design" in the gdb manual).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

from oddtoc.errors import TargetError, TargetGoneError
from oddtoc.isa import begins_atomic_sequence
from oddtoc.target.memory import bytes_read
from oddtoc.target.packets import escaped
from oddtoc.target.parting import Parting
from oddtoc.target.server import ServerConnection
from oddtoc.target.thread import ProcessLayout, decode_thread

_SLICE = 0.1
"""Seconds between two questions whether to give up."""
_PATIENCE = 10.0
"""Seconds that one step may take."""
_MOST_SIGNALS = 64
_WORD = 4
_TRAP, _STOP = b"05", b"11"
_NO_SIGNAL = (b"00", _TRAP, _STOP)
_FAULTS = (b"04", b"08", b"0a", b"0b")
"""SIGTRAP and SIGSTOP; SIGILL, SIGFPE, SIGBUS, SIGSEGV, as the protocol numbers them. gdbserver stops threads with
SIGSTOP and forgets some of these: they are nobody's."""
_THREAD = re.compile(rb"thread:(p[0-9a-f]{1,8}\.[0-9a-f]{1,8});")
_PC = re.compile(rb"[;5]40:([0-9a-f]{16});")
"""It is register 64 there (rs6000/powerpc-vsx64l.xml and its like of gdb)."""
_PROCESSES = re.compile(rb"T05(?:[^#]*;)?(fork|vfork|vforkdone|exec):([^;]*);")
_CHILD = re.compile(rb"p([0-9a-f]{1,8})\.[0-9a-f]{1,8}\Z")
_REG, _CONST64, _EQUAL, _END = 0x26, 0x25, 0x13, 0x27
"""gdbsupport/ax.def of gdb."""


class ProcessStepper:
    """Follows a thread of a process; made by `GdbserverProcess.stepper`, valid inside its block.

    Args:
        connection: to the gdbserver, attached in non-stop mode.
        layout: of its registers.
        pid: of the process.
        parting: who looks after the breakpoints if this process dies.

    Attributes:
        words: every word that had a breakpoint: address -> what stands there.
    """

    def __init__(self, connection: ServerConnection, layout: ProcessLayout, pid: int, parting: Parting) -> None:
        self._connection = connection
        self._layout = layout
        self._pid = pid
        self._parting = parting
        self._wanted: dict[int, bytes] = {}
        self._there: set[int] = set()
        self._vforks: set[str] = set()
        self._standing: dict[str, bytes] = {}
        self._waiting: dict[str, list[tuple[bytes, bytes]]] = {}
        self._seen: dict[str, tuple[dict[str, int], bytes]] = {}
        self.words: dict[int, bytes] = {}
        self._tell_farewell()

    def stop_at(self, *addresses: int) -> None:
        """Breakpoints at these addresses, and nowhere else, until a thread has met one."""
        self._want(dict.fromkeys(addresses, b""))

    def clear(self) -> None:
        """Remove all breakpoints."""
        self._want({})

    def end(self) -> None:
        """Remove all breakpoints, and let all threads go on."""
        self.clear()
        for thread in [thread for thread in self._waiting if thread not in self._standing]:
            self._demand(b"vCont;t:" + thread.encode())
            self._await_and_put_off(thread, time.monotonic() + _PATIENCE)
        self._let_go(*self._standing)

    def run(
        self, seconds: float, give_up: Callable[[], bool], prefers: Callable[[str], bool] = lambda _: True
    ) -> str | None:
        """Let all threads run until one is at a breakpoint; it stands still then, and breakpoints are gone.

        Args:
            seconds: how long at most.
            give_up: asked a few times a second.
            prefers: asked for each thread where several arrive at once; the others go on.

        Returns:
            The thread; None when there was none.

        Raises:
            TargetGoneError: the process has ended.
        """
        self._let_go(*self._standing)
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and not give_up():
            arrived = [thread for thread, _ in self._stops(limit)]
            if arrived:
                self.clear()
                chosen = next((thread for thread in arrived if prefers(thread)), arrived[0])
                self._let_go(*(thread for thread in arrived if thread != chosen))
                return chosen
        return None

    def run_to(self, name: str, address: int, stack: int, seconds: float, give_up: Callable[[], bool]) -> str | None:
        """Let all threads run until one of them is at an address, with that stack pointer; as `run`."""
        self._want({address: _condition(stack)})
        self._let_go(*self._standing)
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and not give_up():
            arrived = [thread for thread, _ in self._stops(limit)]
            if name in arrived and self.registers(name)["r1"] == stack:
                self.clear()
                self._let_go(*(thread for thread in arrived if thread != name))
                return name
            # gdbserver 13 says so of others now and then; told to go on, it takes them over the breakpoint
            self._let_go(*arrived)
        return None

    def can_step(self, word: int) -> bool:
        """Whether an instruction can be stepped: to stop between lwarx and stwcx. makes the latter fail for ever."""
        return not begins_atomic_sequence(word)

    def step(self, thread: str) -> None:
        """Run one instruction of one thread; breakpoints are gone then. Signals that come wait until it is let go.

        Raises:
            TargetError: it does not step.
            TargetGoneError: the process has ended.
        """
        self.clear()
        limit = time.monotonic() + _PATIENCE
        for _ in range(_MOST_SIGNALS):
            self._go(thread, b"s")
            number = self._await_and_put_off(thread, limit)
            if number == _TRAP:
                return
            if number in _FAULTS:
                raise TargetError(f"{_named(thread)} can't carry out an instruction: signal {int(number, 16)}")
        raise self._stuck(thread)

    def registers(self, thread: str) -> Mapping[str, int]:
        """The general registers of a thread that stands still."""
        return self._look(thread)[0]

    def read(self, thread: str, address: int, size: int) -> bytes:
        """Memory.

        Raises:
            FaultError: nothing is mapped there.
        """
        registers, word = self._look(thread)
        if (address, size) == (registers["pc"], len(word)):
            return word
        return bytes_read(self._exchange(b"m%x,%x" % (address, size))[0], address, size)

    def _want(self, wanted: dict[int, bytes]) -> None:
        self._remove(*(address for address in self._there if wanted.get(address) != self._wanted.get(address)))
        self._wanted = wanted
        self._insert()

    def _insert(self) -> None:
        """What is wanted and not there, unless a child still runs in the same memory: it would end there."""
        missing = [address for address in self._wanted if address not in self._there and not self._vforks]
        if not missing:
            return
        # what stands there is read before, and told to who removes it if need be
        fresh = [address for address in missing if address not in self.words]
        for address, reply in zip(fresh, self._exchange(*(b"m%x,4" % address for address in fresh)), strict=True):
            self.words[address] = bytes_read(reply, address, _WORD)
        self._tell_farewell()
        self._there.update(missing)
        self._demand(*(b"Z0,%x,4%b" % (address, self._wanted[address]) for address in missing))

    def _tell_farewell(self) -> None:
        removing = [b"z0,%x,4" % address for address in self.words]
        self._parting.tell(self._connection.parts_with([self._process, *removing, b"D;%x" % self._pid]))

    def _remove(self, *addresses: int) -> None:
        self._demand(*(b"z0,%x,4" % address for address in addresses))
        self._there.difference_update(addresses)

    def _go(self, thread: str, how: bytes) -> None:
        if how == b"c" and thread in self._waiting:
            self._let_go_with_signals(thread)
        else:
            self._resume(thread, how)

    def _resume(self, thread: str, how: bytes) -> None:
        self._standing.pop(thread, None)
        self._seen.pop(thread, None)
        self._demand(b"vCont;%b:%b" % (how, thread.encode()))

    def _let_go(self, *threads: str) -> None:
        for thread in threads:
            self._go(thread, b"c")

    def _await(self, thread: str, limit: float) -> bytes:
        """Wait for one thread to stop, which others that do must not; the signal that it stops with."""
        while time.monotonic() < limit:
            found = dict(self._stops(limit, thread))
            self._let_go(*(other for other in found if other != thread))
            if thread in found:
                return found[thread]
        raise self._stuck(thread)

    def _await_and_put_off(self, thread: str, limit: float) -> bytes:
        number = self._await(thread, limit)
        if number not in _NO_SIGNAL:
            self._put_off(thread, number)
        return number

    def _put_off(self, thread: str, number: bytes) -> None:
        """Keep a signal for a thread, with all that came with it (siginfo_t), until it is let go."""
        (_, details) = self._connection.exchange([b"Hg" + thread.encode(), b"qXfer:siginfo:read::0,200"])
        self._waiting.setdefault(thread, []).append((number, details[1:] if details[:1] == b"l" else b""))

    def _let_go_with_signals(self, thread: str) -> None:
        """Deliver what was put off, in order: of all but the last only the first instruction of the handler runs before
        the next one comes. What is blocked by then is queued by the kernel (ptrace_signal in its kernel/signal.c).
        It takes no signal where it stops before that instruction (signal_setup_done there)."""
        limit = time.monotonic() + _PATIENCE
        while waiting := self._waiting.pop(thread, []):
            (number, details), rest = waiting[0], waiting[1:]
            # what the kernel finds there for that signal it takes for what came with it
            write = [b"qXfer:siginfo:write::0:" + escaped(details)] if details else []
            self._connection.exchange([b"Hg" + thread.encode(), *write])
            self._resume(thread, (b"S" if rest else b"C") + number)
            if rest:
                self._waiting[thread] = rest
                self._await_and_put_off(thread, limit)
                self._resume(thread, b"s")
                self._await_and_put_off(thread, limit)

    def _stops(self, limit: float, stepped: str = "") -> Iterator[tuple[str, bytes]]:
        """Threads that have stopped at a breakpoint, and the one that is stepped, with their signals; others go on."""
        for said in self._connection.stops(1, max(0.0, min(_SLICE, limit - time.monotonic()))):
            match = _THREAD.search(said)
            if said[:1] in (b"W", b"X") or match is None:
                self._forget()
                raise TargetGoneError(f"process {self._pid} has ended meanwhile")
            thread = match[1].decode("ascii")
            self._standing[thread] = said
            if other := _PROCESSES.match(said):
                self._let_process_be(thread, other[1], other[2])
            elif thread == stepped or (b"swbreak:" in said and self._place(thread) in self._there):
                yield thread, said[1:3]
            elif b"swbreak:" in said:
                # at one that is gone by now
                self._go(thread, b"c")
            else:
                self._go(thread, _passing_on(said[1:3]))

    def _let_process_be(self, thread: str, what: bytes, which: bytes) -> None:
        """A new process has all breakpoints, and nobody else who would take care of them."""
        if what == b"exec":
            self._go(thread, b"c")
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
        self._go(thread, b"c")

    def _forget(self) -> None:
        """The memory with the breakpoints is gone; gdbserver 13 falls over requests about it."""
        self._there.clear()
        self._wanted.clear()
        self._standing.clear()
        self.words.clear()

    def _look(self, thread: str) -> tuple[dict[str, int], bytes]:
        """Registers, and the word that is next, in one round trip."""
        if thread not in self._seen:
            pc = self._place(thread)
            chosen, core, word = self._connection.exchange([b"Hg" + thread.encode(), b"g", b"m%x,4" % pc])
            if chosen != b"OK" or thread not in self._standing:
                raise TargetError(f"thread {thread} does not stand still")
            registers = dict(decode_thread(self._layout, thread, core).registers)
            self._seen[thread] = registers, bytes_read(word, pc, _WORD) if pc == registers["pc"] else b""
        return self._seen[thread]

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

    def _stuck(self, thread: str) -> TargetError:
        return TargetError(f"{_named(thread)} does not step", advice="the machine may be too busy: try again")


def _named(thread: str) -> str:
    return f"thread {int(thread.rpartition('.')[2], 16)}"


def _passing_on(number: bytes) -> bytes:
    """How a thread goes on that has stopped with a signal of its own."""
    return b"c" if number == _STOP else b"C" + number


def _condition(stack: int) -> bytes:
    """Of a breakpoint: the stack pointer, register 1, is that one."""
    code = bytes([_REG, 0, 1, _CONST64]) + stack.to_bytes(8, "big") + bytes([_EQUAL, _END])
    return b";X%x,%b" % (len(code), code.hex().encode())
