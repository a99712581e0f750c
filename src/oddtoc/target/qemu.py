"""A QEMU guest, stopped through its gdb server.

Memory is read and written by physical address (`Qqemu.PhyMemMode`): that works whatever mode the stopped vCPU is in,
ignores page permissions, and drops translated code. Kernel text, data and everything else in the linear map is at the
physical address that its virtual address names without the top nibble (arch/powerpc/include/asm/page.h, __pa).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from oddtoc.errors import ChangedError, FaultError, TargetError, TargetGoneError, TargetInUseError, WriteFaultError
from oddtoc.target.lock import TargetLock, lock_key
from oddtoc.target.registers import Layout, byte_order, decode_core, read_layout
from oddtoc.target.rsp import INTERRUPT, Connection

LINEAR_MAP = 0xC000000000000000
_PHYSICAL = 0x0FFFFFFFFFFFFFFF
_FIRST_ANSWER = 1.5
"""Seconds for the handshake. QEMU lets a second client connect and never answers it."""
_PIECE = 32 << 10
"""Bytes read or written in one stop, about a millisecond's worth."""
_MSR_RI = 1 << 1
_SAVED_PC = ("srr0", "hsrr0")
_MOST_THREADS = 4096


@dataclass(frozen=True)
class Pause:
    """One stop: how long the guest stood still (seconds), and how many round trips were made meanwhile."""

    seconds: float
    round_trips: int


@dataclass(frozen=True)
class Cpu:
    """A stopped vCPU: its thread id in the protocol, and registers by name."""

    id: str
    registers: Mapping[str, int]

    @property
    def positions(self) -> tuple[int, ...]:
        """Where it stands: its pc, and in entry or exit code of the kernel (MSR[RI] clear) the interrupted pc too."""
        saved = (self.registers[name] & ~3 for name in _SAVED_PC if name in self.registers)
        return (self.registers["pc"], *saved) if self.in_entry_code else (self.registers["pc"],)

    @property
    def in_entry_code(self) -> bool:
        """Whether it stands in entry or exit code (MSR[RI] clear): the interrupted pc is in SRR0 or HSRR0 alone."""
        return not self.registers["msr"] & _MSR_RI

    @property
    def is_known(self) -> bool:
        """Whether `positions` is all there is: QEMU 7.2 shows SRR0 of its first vCPU only."""
        return not self.in_entry_code or _SAVED_PC[0] in self.registers


class QemuTarget:
    """A connection to the gdb server of a QEMU guest. The guest runs whenever no `stopped` block is active.

    Use `connect`. A context manager: leaving it lets the guest run on.
    """

    def __init__(self, connection: Connection, lock: TargetLock | None) -> None:
        self._connection = connection
        self._lock = lock
        self._inside = False
        self._threads: list[str] = []
        self.pauses: list[Pause] = []
        """Every stop that has ended, in order."""
        started = time.monotonic()
        self._packet_size = self._greet()
        self._layout = self._prepare()
        self._go_on()
        self.pauses.append(Pause(time.monotonic() - started, 0))

    @classmethod
    def connect(cls, endpoint: Path | tuple[str, int], *, lock: bool = True, timeout: float = 5.0) -> QemuTarget:
        """Connect to a gdb server.

        QEMU stops the guest when a client connects; it runs again when this returns.

        Args:
            endpoint: the path of a Unix socket, or (host, port).
            lock: whether to keep other oddtocs out; False only for tests.
            timeout: seconds to wait for any later reply.

        Raises:
            TargetError: nobody listens there, or it is no QEMU with a 64-bit Power guest.
            TargetInUseError: another debugger or another oddtoc is connected.
        """
        held = TargetLock(lock_key(endpoint)) if lock else None
        connection = None
        try:
            connection = Connection(endpoint, timeout)
            return cls(connection, held)
        except BaseException:
            if connection:
                connection.close()
            if held:
                held.release()
            raise

    def __enter__(self) -> QemuTarget:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go. The guest is running already; QEMU does not stop it when a client leaves."""
        self._connection.close()
        if self._lock:
            self._lock.release()

    @contextmanager
    def stopped(self) -> Iterator[Stopped]:
        """Stop the guest for the length of a block; it runs on afterwards, also when the block fails.

        Raises:
            TargetGoneError: the connection broke.
        """
        if self._inside:
            raise TargetError("the target is stopped already: a stop inside a stop")
        self._inside = True
        started = time.monotonic()
        try:
            self._connection.send_raw(INTERRUPT)
            self._await_stop()
            session = Stopped(self._connection, self._layout, self._packet_size, self._threads)
            try:
                yield session
            finally:
                self._go_on()
            self.pauses.append(Pause(time.monotonic() - started, session.round_trips))
        finally:
            self._inside = False

    def read(self, address: int, size: int) -> bytes:
        """Memory of the running guest, in pieces, the guest running in between."""
        return self.read_many([(address, size)])[0]

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes) of the running guest, in as few short stops as they need.

        Raises:
            FaultError: an address is outside of the linear map, or has no memory.
        """
        pieces = [piece for address, size in requests for piece in _pieces(address, size)]
        answers: list[bytes] = []
        for batch in _batches(pieces):
            with self.stopped() as stopped:
                answers += stopped.read_many(batch)
        joined = []
        remaining = iter(answers)
        for address, size in requests:
            joined.append(b"".join(next(remaining) for _ in _pieces(address, size)))
        return joined

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write to the running guest, in pieces, the guest running in between; each piece is read back.

        Raises:
            WriteFaultError: there is no memory, or it did not take the bytes.
        """
        pieces = [
            (start, data[start - address : start - address + size])
            for address, data in writes
            for start, size in _pieces(address, len(data))
        ]
        for batch in _batches([(start, len(data)) for start, data in pieces]):
            taken, pieces = pieces[: len(batch)], pieces[len(batch) :]
            with self.stopped() as stopped:
                stopped.write_many(taken)

    def _greet(self) -> int:
        """Say hello; the server may have a stop packet waiting. Gives the largest packet it takes, in bytes."""
        self._connection.send(b"qSupported")
        try:
            reply = self._connection.receive(_FIRST_ANSWER)
            while reply[:1] in (b"T", b"S"):
                reply = self._connection.receive(_FIRST_ANSWER)
        except TargetGoneError as error:
            if "answer" not in error.message:
                raise
            raise TargetInUseError(
                f"the debug server at {self._connection.name} does not answer: another debugger is connected",
                advice="close the other debugger; a gdb leaves with detach",
            ) from None
        fields = dict(part.partition(b"=")[::2] for part in reply.split(b";"))
        try:
            return max(64, min(int(fields[b"PacketSize"], 16), 1 << 16))
        except (KeyError, ValueError):
            raise TargetError(f"{self._connection.name} is no debug server of QEMU") from None

    def _prepare(self) -> Layout:
        # QEMU 7.2 aborts on the first `g` of a connection that has not asked for the description before
        layout = read_layout(self._document)
        mode, *_ = self._connection.exchange([b"Qqemu.PhyMemMode:1"])
        if mode != b"OK":
            raise TargetError(f"{self._connection.name} has no physical memory mode", advice="QEMU 4.1 or newer has it")
        self._threads = self._list_threads()
        return layout

    def _document(self, name: str) -> str:
        text = b""
        step = self._packet_size // 2 - 8
        while len(text) < 1 << 20:
            request = b"qXfer:features:read:%b:%x,%x" % (name.encode("ascii", "replace"), len(text), step)
            (reply,) = self._connection.exchange([request])
            text += reply[1:]
            if reply[:1] == b"l":
                return text.decode("ascii", "replace")
            if reply[:1] != b"m" or len(reply) < 2:
                break
        raise TargetError(f"{self._connection.name} does not describe its registers", advice="is it a QEMU guest?")

    def _list_threads(self) -> list[str]:
        threads: list[str] = []
        (reply,) = self._connection.exchange([b"qfThreadInfo"])
        while reply[:1] == b"m" and len(threads) < _MOST_THREADS:
            threads += reply[1:].decode("ascii", "replace").split(",")
            (reply,) = self._connection.exchange([b"qsThreadInfo"])
        if reply != b"l" or not threads:
            raise TargetError(f"{self._connection.name} does not list its vCPUs")
        return threads

    def _await_stop(self) -> None:
        reply = self._connection.receive()
        if reply[:1] not in (b"T", b"S"):
            raise TargetError(f"the target did not stop but says {reply[:40]!r}")

    def _go_on(self) -> None:
        self._connection.send(b"c")


class Stopped:
    """The target while it stands still; valid only inside its `stopped` block."""

    def __init__(self, connection: Connection, layout: Layout, packet_size: int, threads: Sequence[str]) -> None:
        self._connection = connection
        self._layout = layout
        self._most = (packet_size - 32) // 2
        self._threads = threads
        self.round_trips = 0

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes), in one round trip.

        Raises:
            FaultError: an address is outside of the linear map, or has no memory.
        """
        parts = [part for address, size in requests for part in _pieces(address, size, self._most)]
        replies = iter(self._exchange([b"m%x,%x" % (_physical(a, s), s) for a, s in parts]))
        return [
            b"".join(_memory(next(replies), a, s) for a, s in _pieces(address, size, self._most))
            for address, size in requests
        ]

    def write_many(self, writes: Sequence[tuple[int, bytes]], *, verify: bool = True) -> None:
        """Write several (address, bytes) in order, in one round trip, and read them back in the same one.

        Raises:
            WriteFaultError: there is no memory; what came before is written.
            ChangedError: what is read back differs.
        """
        parts = [
            (start, data[start - address : start - address + size])
            for address, data in writes
            for start, size in _pieces(address, len(data), self._most)
        ]
        requests = [b"M%x,%x:%b" % (_physical(a, len(d)), len(d), d.hex().encode()) for a, d in parts]
        if verify:
            requests += [b"m%x,%x" % (_physical(a, len(d)), len(d)) for a, d in parts]
        replies = self._exchange(requests)
        for (address, data), reply in zip(parts, replies, strict=False):
            if reply != b"OK":
                raise WriteFaultError(f"{address:#x} can't be written", address=address, size=len(data))
        for (address, data), reply in zip(parts, replies[len(parts) :], strict=False):
            if _memory(reply, address, len(data)) != data:
                raise ChangedError(f"{address:#x} did not take what was written to it", address=address)

    def cpus(self) -> list[Cpu]:
        """All vCPUs with their registers, in one round trip."""
        saved = [name for name in _SAVED_PC if name in self._layout.numbers]
        requests = []
        for thread in self._threads:
            requests += [b"Hg" + thread.encode(), b"g", *(b"p%x" % self._layout.numbers[name] for name in saved)]
        replies = self._exchange(requests)
        step = 2 + len(saved)
        found = []
        for index, thread in enumerate(self._threads):
            selected, core, *rest = replies[index * step : (index + 1) * step]
            if selected != b"OK":
                raise TargetError(f"vCPU {thread} can't be selected: {selected[:20]!r}")
            registers = decode_core(self._layout, core)
            shown = [(name, reply) for name, reply in zip(saved, rest, strict=True) if reply[:1] != b"E"]
            registers.update((name, _register(reply, registers["msr"])) for name, reply in shown)
            found.append(Cpu(thread, registers))
        return found

    def _exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        self.round_trips += 1
        return self._connection.exchange(requests)


def _physical(address: int, size: int) -> int:
    if not LINEAR_MAP <= address <= address + size <= LINEAR_MAP + _PHYSICAL:
        raise FaultError(
            f"{address:#x} is not in the kernel's linear map",
            address=address,
            size=size,
            advice="memory of vmalloc and of processes can't be reached by physical address",
        )
    return address & _PHYSICAL


def _memory(reply: bytes, address: int, size: int) -> bytes:
    try:
        data = bytes.fromhex(reply.decode("ascii"))
    except ValueError:
        data = b""
    if len(data) != size:
        raise FaultError(f"{size} bytes at {address:#x} can't be read", address=address, size=size)
    return data


def _register(reply: bytes, msr: int) -> int:
    order = byte_order(msr.to_bytes(8, "little"))
    try:
        return int.from_bytes(bytes.fromhex(reply.decode("ascii")), order)
    except ValueError:
        raise TargetError(f"a register reads as {reply[:20]!r}") from None


def _pieces(address: int, size: int, most: int = _PIECE) -> list[tuple[int, int]]:
    return [(address + start, min(most, size - start)) for start in range(0, size, most)]


def _batches(pieces: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Group pieces so that one stop moves at most _PIECE bytes."""
    batch: list[tuple[int, int]] = []
    for piece in pieces:
        if batch and sum(size for _, size in batch) + piece[1] > _PIECE:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
