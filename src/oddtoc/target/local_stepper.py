"""Trap words in a process of this machine, and single steps of one thread while all others run on: by ptrace(2).

A thread at a trap word stands at the word itself, so it only has to go on once the word is taken out. Where the word
waits for one thread alone, another that comes by is stepped over the place; the one that is waited for stands still
meanwhile, or it might pass unseen.

Only in a process of its own (`tracer.py`): it waits for everything that there is to wait for.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from oddtoc import isa
from oddtoc.errors import FaultError, TargetError, TargetGoneError, WriteFaultError
from oddtoc.target.process_memory import ProcessMemory
from oddtoc.target.thread import Thread
from oddtoc.target.thread_stepper import TRAP, ThreadStepper
from oddtoc.target.watched import CLONE, EXEC, FORK, VFORK, VFORK_DONE, Stop, Watched, next_stops, watch_all

_WORD = 4
_TRAP_WORD = isa.TRAP.to_bytes(_WORD, "little")
_PATIENCE = 5.0
"""Seconds that threads may take to stop: one that waits for a disk can't be interrupted."""


class LocalStepper(ThreadStepper):
    """Follows a thread of a process of this machine, whose threads are traced from now until the `end`.

    Args:
        pid: of the process.

    Raises:
        TargetError: it can't be traced.
    """

    _NOBODYS = (0, TRAP)
    _FAULTS = (4, 7, 8, 11)

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        try:
            self._memory = ProcessMemory(pid)
        except OSError as error:
            raise TargetError(f"process {pid} can't be reached: {error.strerror}") from error
        self._watched: dict[int, Watched] = {}
        self._early: set[int] = set()
        self._unborn: set[int] = set()
        self._late: list[str] = []
        self._held = ""
        self._leaving = False
        self._over: TargetGoneError | None = None
        watch_all(pid, self._watched)

    def end(self) -> None:
        """As `ThreadStepper.end`; nothing is traced any more."""
        try:
            super().end()
        finally:
            self._leave()

    def clear(self) -> None:
        """As `ThreadStepper.clear`."""
        super().clear()
        late, self._late = self._late, []
        self._let_go(*late)

    def release(self) -> None:
        """As `ThreadStepper.release`."""
        self._late.clear()
        super().release()

    def attend(self) -> None:
        """See to threads that have stopped meanwhile; those that are at a trap word stay.

        Raises:
            TargetGoneError: the process has ended, or executes another program.
        """
        self._late += [thread for thread, _ in self._stops(0.0)]

    def _leave(self) -> None:
        self._leaving = True
        limit = time.monotonic() + _PATIENCE
        for thread in list(self._standing):
            self._resume(thread)
        for watched in self._watched.values():
            watched.interrupt()
        # the kernel lets go of those that do not stop when this process ends
        with suppress(TargetGoneError):
            while (self._watched or self._unborn) and time.monotonic() < limit:
                for thread, _ in self._stops(limit):
                    self._resume(thread)

    def _stops(self, limit: float, stepped: str = "") -> Iterator[tuple[str, int]]:
        if self._over:
            raise self._over
        try:
            stops = next_stops(limit)
        except ChildProcessError:
            raise self._gone("ended") from None
        for stop in stops:
            thread = self._name(stop.number)
            if stop.has_ended:
                self._bury(stop.number)
            elif stop.number in self._unborn:
                self._free(stop.number)
            elif stop.number not in self._watched:
                # it is heard of before who has made it
                self._early.add(stop.number)
            else:
                self._standing[thread] = b""
                with suppress(ProcessLookupError):
                    yield from self._told(stop, thread, stepped)

    def _told(self, stop: Stop, thread: str, stepped: str) -> Iterator[tuple[str, int]]:
        """What has stopped: it goes on, unless it is somebody's turn."""
        watched = self._watched[stop.number]
        watched.stopped_by_job_control = stop.is_by_job_control
        is_stepped = thread == stepped
        if stop.event:
            self._let_process_be(watched, thread, stop.event, is_stepped)
        elif stop.is_pause and thread == self._held:
            pass
        elif stop.is_pause:
            if not stop.is_by_job_control:
                watched.begin_again()
            self._resume(thread, stepping=is_stepped)
        elif stop.signal == TRAP and watched.trap().is_breakpoint and self._place(watched) in self.words:
            if self._place(watched) in self._there:
                yield thread, TRAP
            else:
                # it is gone by now
                self._go(thread)
        elif is_stepped:
            yield thread, stop.signal
        else:
            # the end of a step that nobody waits for is no signal of the process
            is_step = stop.signal == TRAP and watched.trap().is_step
            self._resume(thread, 0 if is_step else stop.signal)

    def _let_process_be(self, watched: Watched, thread: str, event: int, is_stepped: bool) -> None:
        """A new process has all trap words, and nobody else who would take care of them."""
        if event == EXEC:
            self._leaving = True
            self._resume(thread)
            raise self._gone("executed another program")
        if event == CLONE:
            self._adopt(watched.subject())
        if event in (FORK, VFORK):
            self._expect(watched.subject())
        if event == VFORK:
            # it runs in the same memory, until it has executed a program
            self._remove(*self._there)
            self._vforks.add(thread)
        elif event == VFORK_DONE:
            self._vforks.discard(thread)
            self._insert()
        self._resume(thread, stepping=is_stepped)

    def _adopt(self, number: int) -> None:
        self._watched[number] = Watched(self._pid, number)
        if self._leaving:
            self._watched[number].interrupt()
        if number in self._early:
            self._early.discard(number)
            self._resume(self._name(number))

    def _expect(self, child: int) -> None:
        self._unborn.add(child)
        if child in self._early:
            self._early.discard(child)
            self._free(child)

    def _free(self, child: int) -> None:
        """Let go of a new process, without trap words."""
        self._unborn.discard(child)
        with suppress(OSError):
            memory = ProcessMemory(child)
            for address, word in self.words.items():
                memory.takes(address, word)
            memory.close()
        Watched(child, child).detach()

    def _bury(self, number: int) -> None:
        self._watched.pop(number, None)
        self._unborn.discard(number)
        self._standing.pop(self._name(number), None)
        self._waiting.pop(self._name(number), None)
        if number == self._pid:
            raise self._gone("ended")

    def _gone(self, what: str) -> TargetGoneError:
        """The memory with the trap words is gone."""
        self._over = TargetGoneError(f"process {self._pid} has {what} meanwhile")
        for known in (self._there, self._wanted, self._standing, self._waiting, self._watched, self.words):
            known.clear()
        return self._over

    def _arrivals(self, limit: float) -> list[str]:
        late, self._late = self._late, []
        return [*late, *super()._arrivals(0.0 if late else limit)]

    def _pass(self, arrived: Collection[str], awaited: str) -> None:
        limit = time.monotonic() + _PATIENCE
        if awaited not in self._standing:
            self._hold(awaited, limit)
        self._remove(*self._there)
        for thread in arrived:
            self._resume(thread, stepping=True)
            self._await_and_put_off(thread, limit)
        self._insert()
        self._let_go(*(thread for thread in list(self._standing) if thread not in self._late))

    def _hold(self, thread: str, limit: float) -> None:
        """Have a thread stand still; it may come to a trap word by that."""
        self._interrupt(thread)
        self._held = thread
        while thread not in self._standing and self._number(thread) in self._watched and time.monotonic() < limit:
            self._late += [arrived for arrived, _ in self._stops(limit)]
        self._held = ""

    def _find_words(self, addresses: Collection[int]) -> dict[int, bytes]:
        return {address: self._memory.read(address, _WORD) for address in addresses}

    def _set_breakpoints(self, stacks: Mapping[int, int | None]) -> None:
        for address in stacks:
            self._write(address, _TRAP_WORD)

    def _take_breakpoints(self, addresses: Collection[int]) -> None:
        for address in addresses:
            self._write(address, self.words[address])

    def _write(self, address: int, word: bytes) -> None:
        if self._memory.takes(address, word):
            return
        with suppress(FaultError):
            self._memory.read(address, len(word))
            raise WriteFaultError(f"{address:#x} can't be written", address=address, size=len(word))
        raise self._gone("ended")

    def _send_on(self, thread: str, signal: int, stepping: bool) -> None:
        number = self._number(thread)
        watched = self._watched.get(number)
        if watched and self._leaving:
            del self._watched[number]
            watched.detach(signal)
        elif watched:
            watched.go_on(signal, stepping=stepping)

    def _interrupt(self, thread: str) -> None:
        if watched := self._watched.get(self._number(thread)):
            watched.interrupt()

    def _details(self, thread: str) -> bytes:
        return self._one(thread).details

    def _set_details(self, thread: str, details: bytes) -> None:
        self._one(thread).details = details

    def _look(self, thread: str) -> tuple[Thread, bytes]:
        if thread not in self._seen:
            self._seen[thread] = self._one(thread).decoded(), b""
        return self._seen[thread]

    def _read(self, address: int, size: int) -> bytes:
        return self._memory.read(address, size)

    def _one(self, thread: str) -> Watched:
        if self._over:
            raise self._over
        if thread not in self._standing or self._number(thread) not in self._watched:
            raise TargetError(f"thread {self._number(thread)} does not stand still")
        return self._watched[self._number(thread)]

    def _place(self, watched: Watched) -> int:
        return watched.decoded().registers["pc"]

    def _name(self, number: int) -> str:
        return f"p{self._pid:x}.{number:x}"

    def _number(self, thread: str) -> int:
        return int(thread.rpartition(".")[2], 16)
