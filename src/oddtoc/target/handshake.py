"""The first words with a debug server: who is there, and what it can do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from oddtoc.errors import TargetError, TargetInUseError
from oddtoc.target.memory import LIST_MEMORY, Memory, read_memory
from oddtoc.target.registers import Layout, read_layout
from oddtoc.target.rsp import Connection
from oddtoc.target.wire import NoAnswerError

_SMALLEST_PACKET, _LARGEST_PACKET = 256, 1 << 16
_PACKET_SIZE = b"PacketSize"
_LONGEST_DOCUMENT = 1 << 18
_FIRST_ANSWER = 1.5
"""Seconds for the first answer. QEMU lets a second client connect and does not answer it."""
_MOST_THREADS = 4096
_THREAD = re.compile(rb"[0-9a-f]{1,8}\Z")


@dataclass(frozen=True)
class Server:
    """What a debug server said about itself and its target.

    Attributes:
        packet_size: largest packet that it takes (bytes).
        layout: how it sends registers.
        threads: the vCPUs' ids.
        memory: the target's memory.
        has_monitor: whether it takes commands to QEMU's monitor.
    """

    packet_size: int
    layout: Layout
    threads: tuple[str, ...]
    memory: Memory
    has_monitor: bool

    @property
    def most_bytes(self) -> int:
        """Bytes of memory that fit into one packet, in hexadecimal."""
        return (self.packet_size - 64) // 2


@dataclass(frozen=True)
class Greeting:
    """What a server says first.

    Attributes:
        packet_size: of the largest packet that it takes, in bytes.
        runs_processes: whether it is a gdbserver, which looks after processes and not after a machine.
        began: when it was asked, by `time.monotonic`.
    """

    packet_size: int
    runs_processes: bool
    began: float = 0.0


def greeting_of(connection: Connection, timeout: float) -> Greeting:
    """Say hello, and wait for the answer no longer than that takes: QEMU does not answer a second client.

    Args:
        connection: a new one.
        timeout: seconds that any round trip may take.

    Raises:
        TargetInUseError, TargetError: as `greet`.
    """
    began = time.monotonic()
    with connection.within(min(_FIRST_ANSWER, timeout)):
        return replace(greet(connection), began=began)


def greet(connection: Connection) -> Greeting:
    """Say hello.

    Raises:
        TargetInUseError: no answer. QEMU lets a second client connect, and hears it when the first has gone.
        TargetError: it is no debug server of QEMU, and no gdbserver.
    """
    try:
        reply = connection.hello(b"qSupported", _PACKET_SIZE + b"=")
    except NoAnswerError:
        raise TargetInUseError(
            f"the debug server at {connection.name} does not answer: another debugger is connected",
            advice="close the other debugger; a gdb leaves with detach",
        ) from None
    fields = dict(part.partition(b"=")[::2] for part in reply.split(b";"))
    try:
        size = int(fields[_PACKET_SIZE], 16)
    except (KeyError, ValueError):
        size = 0
    if size < _SMALLEST_PACKET or b"qXfer:features:read+" not in fields:
        raise TargetError(f"{connection.name} is no debug server of QEMU: it says {reply[:40]!r}")
    # environment, signals and start of a program: what only a server of processes has a use for
    return Greeting(min(size, _LARGEST_PACKET), b"QProgramSignals+" in fields)


def get_to_know(connection: Connection, packet_size: int) -> Server:
    """Ask what has to be known before the first stop, and turn to physical addresses.

    Raises:
        TargetError: the server is no QEMU, or its target is no 64-bit Power processor.
    """
    layout = describe(connection, packet_size)
    mode, first_threads, monitor = connection.exchange([b"Qqemu.PhyMemMode:1", b"qfThreadInfo", b"qRcmd,"])
    if mode != b"OK":
        raise TargetError(f"{connection.name} has no physical memory mode", advice="QEMU 4.1 or newer has it")
    threads = _threads(connection, first_threads)
    has_monitor = monitor != b""
    memory = read_memory(connection.monitor([LIST_MEMORY])[0]) if has_monitor else Memory()
    return Server(packet_size, layout, threads, memory, has_monitor)


def describe(connection: Connection, packet_size: int) -> Layout:
    """Ask how registers are sent. Before all else: QEMU 7.2 aborts on a `g` of a connection that has not asked this.

    Raises:
        TargetError: the target is no 64-bit Power processor.
    """
    return read_layout(documents(connection, packet_size))


def documents(connection: Connection, packet_size: int) -> Callable[[str], str]:
    """What reads documents of the target's description by name."""
    return lambda name: _document(connection, name, packet_size // 2 - 64)


def _document(connection: Connection, name: str, step: int) -> str:
    text = b""
    while len(text) < _LONGEST_DOCUMENT:
        request = b"qXfer:features:read:%b:%x,%x" % (name.encode("ascii"), len(text), step)
        (reply,) = connection.exchange([request])
        text += reply[1:]
        if reply[:1] == b"l":
            return text.decode("ascii", "replace")
        if reply[:1] != b"m" or len(reply) < 2:
            break
    raise TargetError(f"{connection.name} does not describe its registers", advice="is it a QEMU guest?")


def _threads(connection: Connection, reply: bytes) -> tuple[str, ...]:
    threads: list[bytes] = []
    while reply[:1] == b"m" and len(threads) <= _MOST_THREADS:
        threads += reply[1:].split(b",")
        (reply,) = connection.exchange([b"qsThreadInfo"])
    sound = reply == b"l" and 0 < len(threads) == len(set(threads)) <= _MOST_THREADS
    if not sound or not all(_THREAD.match(thread) for thread in threads):
        raise TargetError(f"{connection.name} does not list its vCPUs")
    return tuple(thread.decode("ascii") for thread in threads)
