"""Memory of a target as it is going to be, so that everything is decided before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from oddtoc.image.live import ReadMany
from oddtoc.live.store import Write


def overlaid(read_many: ReadMany, writes: Sequence[Write]) -> ReadMany:
    """Reads memory as if something were written to it already.

    Args:
        read_many: reads what is there.
        writes: in their order.
    """

    def read(requests: Sequence[tuple[int, int]]) -> list[bytes]:
        return [
            _with(memory, address, writes) for (address, _), memory in zip(requests, read_many(requests), strict=True)
        ]

    return read


def _with(memory: bytes, start: int, writes: Sequence[Write]) -> bytes:
    found = bytearray(memory)
    for address, data in writes:
        first, last = max(address, start), min(address + len(data), start + len(memory))
        if first < last:
            found[first - start : last - start] = data[first - address : last - address]
    return bytes(found)
