"""A process that a gdbserver holds: its threads and its memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

from oddtoc.errors import FaultError, TargetError
from oddtoc.target.census import Census
from oddtoc.target.memory import bytes_read, check_written, pieces, pieces_of_data
from oddtoc.target.parting import Parting
from oddtoc.target.process import StoppedProcess
from oddtoc.target.process_stepper import ProcessStepper
from oddtoc.target.server import STOP, ServerConnection
from oddtoc.target.thread import ProcessLayout, Thread, changed, decode_thread, restarted
from oddtoc.target.thread_stepper import TRAP

_PIECE = 8 << 10
"""Bytes in one request. gdbserver 13 answers to more than 0x2300 and crashes later."""
_LONGEST_LIST = 1 << 20
_MOST_THREADS = 1 << 15
_LISTED = re.compile(rb'<thread id="(p[0-9a-f]{1,8}\.[0-9a-f]{1,8})"')
_THREAD = re.compile(rb"p[0-9a-f]{1,8}\.[0-9a-f]{1,8}\Z")
_NEXT_THREADS = b"qsThreadInfo"
_MOST_SIGNALS = 64
_PATIENCE = 0.1
"""Seconds that threads have to stop while the last runs on. One that ends instead is not told of."""
_NO_ERROR = {"r3": 0}
"""Otherwise the kernel may take what a thread is lent for for the system call that it was stopped in, and go back to
that: gdbserver does not store `trap`, by which it tells (check_syscall_restart in arch/powerpc/kernel/signal.c)."""
_LONG_PATIENCE = 5.0
"""Seconds that one has to stop without which nothing can be done."""
_TOP_OF_STACK = 2 << 10
"""Bytes."""
_MOVES = 512
"""Bytes, up or down, between two looks at a thread that runs; if there are more its stack is read once more."""


class HeldByGdbserver(StoppedProcess):
    """As `StoppedProcess`.

    Args:
        connection: to the gdbserver, attached.
        layout: of its registers.
        stop: the requests that make it stand still, sent together with what is asked first; the last is replied to
            with a stop packet. None are needed for what is asked while it runs.
        census: of its threads, to see that there are no others than those that were met.

    Attributes:
        round_trips: how many were made so far, without those that stop it and let it go.
        began: when the stop was asked for.
    """

    def __init__(
        self,
        connection: ServerConnection,
        layout: ProcessLayout,
        stop: Sequence[bytes] = (),
        census: Census | None = None,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._stop = stop
        self._census = census
        self._threads: list[str] = []
        self._early: dict[str, Thread] = {}
        self._stacks: list[tuple[int, bytes]] = []
        self._probably: list[tuple[int, int]] = []
        self.round_trips = 0
        self.began = None

    def meet_threads(self) -> list[str]:
        """Find out which threads there are, to be asked in the same round trip that stops them."""
        # all at once: gdbserver loses its place among threads that come and go
        document = b"m"
        while document[:1] == b"m" and len(document) < _LONGEST_LIST:
            request = b"qXfer:threads:read::%x,%x" % (len(document) - 1, _PIECE)
            (part,) = self._connection.exchange([request])
            document = part[:1] + document[1:] + part[1:]
        self._threads = [match.decode("ascii") for match in _LISTED.findall(document)]
        return self._threads

    def peek(self, name: str) -> None:
        """Have one thread stop for a moment, to know where its stack will be, about, when all have stopped.

        One that does not do so at once, or for another reason, does not go on either.
        """
        self._connection.exchange([b"vCont;t:" + name.encode()])
        if (self._connection.stop_of(name, _PATIENCE) or b"").startswith(b"T00"):
            stack = self._one(name).registers["r1"]
            self._probably = [(stack - _MOVES, _TOP_OF_STACK + 2 * _MOVES)]
            self._connection.go_on(name)

    def stop_early(self, last: str) -> list[str]:
        """Stop all threads but one, which runs on; those that did. The others do so with the last."""
        told = [thread.encode() for thread in self._threads if thread != last]
        if not told:
            return []
        self._connection.exchange([b"vCont;" + b";".join(b"t:" + thread for thread in told)])
        said = b"".join(self._connection.stops(len(told), _PATIENCE))
        return [thread.decode() for thread in told if b"thread:%b;" % thread in said]

    def look_early(self, stopped: Sequence[str]) -> None:
        """Look at the threads that have stopped early: they stay as they are until all go on."""
        self._early = self._answered(stopped, self._connection.exchange(_asking(stopped)))
        tops = [(thread.registers["r1"], _TOP_OF_STACK) for thread in self._early.values()]
        self._keep_stacks(tops, self._connection.exchange([_read_request(*top) for top in tops]))

    def unshare(self, words: Sequence[tuple[int, bytes]]) -> None:
        """As `StoppedProcess.unshare`, while one thread runs on."""
        found = self._connection.exchange([_read_request(address, len(word)) for address, word in words])
        same = [one for one, reply in zip(words, found, strict=True) if reply == one[1].hex().encode()]
        self._connection.exchange([_write_request(*one) for one in same])

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes), in one round trip (64 requests; more of them take more).

        Raises:
            FaultError: nothing is mapped there.
        """
        known = [self._kept(*request) for request in requests]
        missing = [request for request, content in zip(requests, known, strict=True) if content is None]
        cut = [pieces(address, size, _PIECE) for address, size in missing]
        replies = iter(self._exchange([_read_request(*piece) for parts in cut for piece in parts]) if cut else ())
        read = (b"".join(bytes_read(next(replies), *piece) for piece in parts) for parts in cut)
        return [next(read) if content is None else content for content in known]

    def look(self, requests: Sequence[tuple[int, int]]) -> tuple[list[Thread], list[bytes]]:
        """All threads, and `read_many`, in one round trip, or two when there are others than the last time.

        Raises:
            FaultError: as `read_many`.
        """
        cut = [pieces(address, size, _PIECE) for address, size in requests]
        reading = [_read_request(*piece) for parts in cut for piece in parts]
        counting = [self._census.request] if self._census else []
        asked = [thread for thread in self._threads if thread not in self._early]
        stacks = [_read_request(*stack) for stack in self._probably]
        replies = iter(self._exchange([*counting, *stacks, *reading, *_asking(asked)]))
        count = self._census.count(next(replies)) if self._census else 0
        self._keep_stacks(self._probably, list(islice(replies, len(stacks))))
        memory = iter(list(islice(replies, len(reading))))
        found = self._early | self._answered(asked, list(replies))
        if count != len(found):
            found |= self._others(found)
        threads = [found[thread] for thread in self._threads if thread in found]
        return threads, [b"".join(bytes_read(next(memory), *piece) for piece in parts) for parts in cut]

    def _others(self, known: Mapping[str, Thread]) -> dict[str, Thread]:
        """Find out again which threads there are, and look at those that are new."""
        self._threads = self._listed()
        fresh = [thread for thread in self._threads if thread not in known]
        found = self._answered(fresh, self._exchange(_asking(fresh)) if fresh else [])
        if len(found) != len(fresh):
            raise TargetError("a thread that the target lists can't be looked at", advice="try again")
        return found

    def cpus(self) -> list[Thread]:
        """All threads with their registers."""
        return self.look([])[0]

    def write_many(self, writes: Sequence[tuple[int, bytes]], *, verify: bool = True) -> None:
        """Write several (address, bytes) in order, and read them back, in one round trip like `read_many`.

        Raises:
            WriteFaultError: nothing is mapped there, or what is read back differs (all that could be written was).
        """
        parts = [part for address, data in writes for part in pieces_of_data(address, data, _PIECE)]
        requests = [_write_request(*part) for part in parts]
        if verify:
            requests += [_read_request(address, len(data)) for address, data in parts]
        check_written(parts, self._exchange(requests))

    def lend(self, values: Mapping[str, int]) -> Thread:
        """As `ProcessTarget.lend`, of a process that runs. A signal that comes for the thread is delivered."""
        thread = self.meet_threads()[0]
        for _ in range(_MOST_SIGNALS):
            after = self._lend(thread, values)
            if after is not None and after.registers["pc"] != values["pc"]:
                return after
        raise TargetError(f"a thread ({thread}) gets signals all the time", address=values["pc"])

    def _lend(self, name: str, values: Mapping[str, int]) -> Thread | None:
        """As it is behind the instruction, or before it; None if a signal came before it could be lent."""
        waiting = self._stopped_alone(name, b"t", done=0)
        thread = self._one(name)
        after = None
        if not waiting:
            try:
                self._set(thread, changed(self._layout, thread, {**_NO_ERROR, **values}))
                waiting = self._stopped_alone(name, b"s", done=TRAP)
                after = self._one(name)
            finally:
                self.restore(thread)
        self._connection.go_on(name, waiting)
        return after

    def _stopped_alone(self, thread: str, action: bytes, done: int) -> int:
        """Have one thread stop, or step, while the others run; the signal that stopped it instead, or 0."""
        self._connection.exchange([b"vCont;%b:%b" % (action, thread.encode())])
        said = self._connection.stop_of(thread, _LONG_PATIENCE)
        if said is None:
            advice = "it waits for something, or gdbserver does not tell: try again, then start gdbserver anew"
            raise TargetError(f"a thread ({thread}) does not stop", advice=advice)
        # of one that was cut on a serial line the signal is not known: it was hardly another
        number = int(said[1:3] or b"0", 16)
        return number if number not in (done, STOP) else 0

    def _one(self, name: str) -> Thread:
        found = self._answered([name], self._connection.exchange(_asking([name])))
        if not found:
            raise TargetError(f"a thread ({name}) can't be looked at", advice="it may have ended; try again")
        return found[name]

    def restore(self, thread: Thread) -> None:
        """Give a thread its registers back. A system call in which it was stopped begins again.

        Raises:
            TargetError: it does not take them.
        """
        self._set(thread, changed(self._layout, thread, restarted(thread)))

    @contextmanager
    def stepper(self, pid: int) -> Iterator[ProcessStepper]:
        """While the process runs: what follows one of its threads; breakpoints are gone when the block ends.

        Args:
            pid: of the process.
        """
        parting = Parting(self._connection.number)
        try:
            stepper = ProcessStepper(self._connection, self._layout, pid, parting)
            try:
                yield stepper
            finally:
                stepper.end()
        finally:
            parting.end()

    def _set(self, thread: Thread, raw: bytes, *more: bytes) -> None:
        replies = self._exchange([b"Hg" + thread.id.encode(), b"G" + raw.hex().encode(), *more])
        if replies != [b"OK"] * len(replies):
            raise TargetError(f"{thread.label} does not take other registers: {b', '.join(replies)[:60]!r}")

    def _answered(self, threads: Sequence[str], replies: Sequence[bytes]) -> dict[str, Thread]:
        """From the replies to `_asking`; without a thread that has gone, or can't be asked."""
        pairs = zip(threads, replies[::2], replies[1::2], strict=True)
        return {name: decode_thread(self._layout, name, core) for name, chosen, core in pairs if chosen == b"OK"}

    def _keep_stacks(self, stacks: Sequence[tuple[int, int]], replies: Sequence[bytes]) -> None:
        for (address, size), reply in zip(stacks, replies, strict=True):
            with suppress(FaultError):
                self._stacks.append((address, bytes_read(reply, address, size)))

    def _kept(self, address: int, size: int) -> bytes | None:
        for start, content in self._stacks if not self._stop else ():
            if start <= address and address + size <= start + len(content):
                return content[address - start : address - start + size]
        return None

    def _listed(self) -> list[str]:
        self.round_trips += 1
        # one by one: for qXfer:threads:read the server reads two files in /proc for each
        replies = self._connection.exchange([b"qfThreadInfo", *[_NEXT_THREADS] * len(self._threads)])
        while replies[-1][:1] == b"m" and len(replies) < _MOST_THREADS:
            replies += self._connection.exchange([_NEXT_THREADS] * len(replies))
        listed = [thread for reply in replies if reply[:1] == b"m" for thread in reply[1:].split(b",")]
        sound = replies[-1] == b"l" and 0 < len(listed) == len(set(listed))
        if not sound or not all(_THREAD.match(thread) for thread in listed):
            raise TargetError("the target does not list its threads")
        return [thread.decode("ascii") for thread in listed]

    def _exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        self.round_trips += 1
        if not self._stop:
            return self._connection.exchange(requests)
        stop, self._stop = self._stop, ()
        self.began = time.monotonic()
        replies = self._connection.exchange([*stop, *requests])
        said = replies[len(stop) - 1]
        if said[:1] not in (b"T", b"S"):
            raise TargetError(f"the process does not stand still: {said[:40]!r}")
        return replies[len(stop) :]


def _read_request(address: int, size: int) -> bytes:
    return b"m%x,%x" % (address, size)


def _write_request(address: int, data: bytes) -> bytes:
    return b"M%x,%x:%b" % (address, len(data), data.hex().encode())


def _asking(threads: Sequence[str]) -> list[bytes]:
    return [request for thread in threads for request in (b"Hg" + thread.encode(), b"g")]
