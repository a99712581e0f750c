"""Addresses of a guest's memory: which there are, and how requests are cut into pieces.

Kernel text, data and everything else in the linear map is at the physical address that its virtual address names
without the top nibble (arch/powerpc/include/asm/page.h, __pa). QEMU answers physical reads of nothing with zeros and
physical writes to nothing with OK, and a device may act on being read: so requests are held against QEMU's own list of
what is RAM before they are sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from oddtoc.errors import FaultError, WriteFaultError

LINEAR_MAP = 0xC000000000000000
PIECE = 32 << 10
"""Bytes read or written in one stop of a running guest, about a millisecond's worth."""
LIST_MEMORY = "info mtree -f"
"""The command to QEMU's monitor that prints what `read_memory` reads."""
_PHYSICAL = 0x0FFFFFFFFFFFFFFF
_LINEAR_SIZE = 1 << 51
"""Bytes: what is above is mapped by page tables (arch/powerpc/include/asm/page.h, book3s/64/radix.h)."""
_OUTSIDE = "nothing is known of it: it is neither in the kernel's linear map nor of a module"
_VIEW = re.compile(r'^FlatView #\d+\s*\n(?:^ .*\n)*?^ AS "memory",.*\n(?P<lines>(?:^ .*\n?)*)', re.MULTILINE)
_RANGE = re.compile(r"^  (?P<first>[0-9a-f]{16})-(?P<last>[0-9a-f]{16}) \(prio -?\d+, (?P<kind>[^)]*)\)", re.MULTILINE)
_READABLE = ("ram", "nv-ram", "rom", "nv-rom")
_WRITABLE = ("ram", "nv-ram")


class MemoryMapping(Protocol):
    """Where memory is that a kernel maps elsewhere than in its linear map. Asked inside of a stop."""

    def pieces(
        self, spans: Sequence[tuple[int, int]], read_many: Callable[[Sequence[tuple[int, int]]], list[bytes]]
    ) -> list[list[tuple[int, int]]]:
        """The pieces of the linear map, (address, size in bytes), that make up each of some spans of other memory.

        Raises:
            FaultError: nothing is mapped there.
        """

    def admit(
        self, spans: Sequence[tuple[int, int]], read_many: Callable[[Sequence[tuple[int, int]]], list[bytes]]
    ) -> None:
        """Let some memory be written to.

        Raises:
            ChangedError: it may not be what it was.
        """


@dataclass(frozen=True)
class Memory:
    """What there is at which physical address: (first, end) of each range, in order, none touching the next.

    Empty when the target doesn't say; then every request is sent.
    """

    readable: tuple[tuple[int, int], ...] = ()
    writable: tuple[tuple[int, int], ...] = ()

    def to_read(self, address: int, size: int) -> int:
        """The physical address of something to read.

        Raises:
            FaultError: not all of it is memory in the linear map.
        """
        if not is_linear(address, size) or not _holds(self.readable, address & _PHYSICAL, size):
            raise FaultError(f"{size} bytes at {address:#x} can't be read", address=address, size=size, advice=_OUTSIDE)
        return address & _PHYSICAL

    def to_write(self, address: int, size: int) -> int:
        """The physical address of something to write.

        Raises:
            WriteFaultError: not all of it is writable memory in the linear map.
        """
        if not is_linear(address, size) or not _holds(self.writable, address & _PHYSICAL, size):
            raise WriteFaultError(
                f"{size} bytes at {address:#x} can't be written", address=address, size=size, advice=_OUTSIDE
            )
        return address & _PHYSICAL


def read_memory(text: str) -> Memory:
    """The memory that the vCPUs see, from what QEMU's monitor prints for `info mtree -f`."""
    view = _VIEW.search(text.replace("\r\n", "\n"))
    found = (
        [(m["kind"], int(m["first"], 16), int(m["last"], 16) + 1) for m in _RANGE.finditer(view["lines"])]
        if view
        else []
    )
    return Memory(
        _joined([(first, end) for kind, first, end in found if kind in _READABLE]),
        _joined([(first, end) for kind, first, end in found if kind in _WRITABLE]),
    )


def _joined(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return tuple(joined)


def is_linear(address: int, size: int) -> bool:
    """Whether some memory is in the linear map."""
    return LINEAR_MAP <= address <= address + size <= LINEAR_MAP + _LINEAR_SIZE


def _holds(ranges: Sequence[tuple[int, int]], start: int, size: int) -> bool:
    return not ranges or any(first <= start and start + size <= end for first, end in ranges)


def pieces(address: int, size: int, most: int = PIECE) -> list[tuple[int, int]]:
    """Cut (address, size in bytes) into parts of at most `most` bytes."""
    return [(address + start, min(most, size - start)) for start in range(0, size, most)]


def pieces_of_data(address: int, data: bytes, most: int = PIECE) -> list[tuple[int, bytes]]:
    """Cut (address, bytes) into parts of at most `most` bytes."""
    return [(address + start, data[start : start + most]) for start in range(0, len(data), most)]


def batches(sizes: Sequence[int], most: int = PIECE) -> Iterator[slice]:
    """Group neighbours so that a group has at most `most` bytes in all, or one member."""
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and total + size > most:
            yield slice(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def bytes_read(reply: bytes, address: int, size: int) -> bytes:
    """The memory in the reply to `m`.

    Raises:
        FaultError: not all of it is there.
    """
    try:
        data = bytes.fromhex(reply.decode("ascii"))
    except ValueError:
        data = b""
    if len(data) != size:
        raise FaultError(f"{size} bytes at {address:#x} can't be read", address=address, size=size)
    return data


def check_written(parts: Sequence[tuple[int, bytes]], replies: Sequence[bytes]) -> None:
    """Hold the replies to `M` of each (address, bytes), then those to `m` of each, against what was written.

    Args:
        parts: what was written.
        replies: as many, or twice as many if all of it was read back.

    Raises:
        WriteFaultError: it could not be written, or something else is there.
    """
    for (address, data), reply in zip(parts, replies, strict=False):
        if reply != b"OK":
            raise WriteFaultError(f"{address:#x} can't be written", address=address, size=len(data))
    for (address, data), reply in zip(parts, replies[len(parts) :], strict=False):
        check_read_back(address, data, bytes_read(reply, address, len(data)))


def check_read_back(address: int, written: bytes, found: bytes) -> None:
    """Whether memory took what was written to it.

    Raises:
        WriteFaultError: something else is there.
    """
    if found != written:
        message = f"{address:#x} did not take what was written to it"
        raise WriteFaultError(message, address=address, size=len(written))
