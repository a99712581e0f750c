"""The running kernel's own ftrace records: which words its tracer owns.

`ftrace_pages_start` heads a list of `struct ftrace_page` (kernel/trace/ftrace.c): next at 0, records at 8, the number
of records in use, a 32-bit word, at 16. Records are `struct dyn_ftrace` (include/linux/ftrace.h): ip at 0, flags at 8,
then what the architecture adds, so their size differs between kernels and is probed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddtoc.errors import NoSiteError, RecordError
from oddtoc.image.elf import Image

ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reads several (address, size) at once."""

_PAGE_HEADER = struct.Struct("<QQI")
_STRIDES = (16, 24, 32, 40)
_FAN = 16
_MOST_GROUPS = 4096
_MOST_RECORDS = 1 << 20


@dataclass(frozen=True)
class Group:
    """One array of records: its address, how many, and the first and last ip in it."""

    address: int
    count: int
    first: int
    last: int


@dataclass(frozen=True)
class TraceRecord:
    """One `struct dyn_ftrace`: its own address, the site, its flags."""

    address: int
    ip: int
    flags: int


class FtraceRecords:
    """Access to the records of a running kernel. Reads only what a question needs.

    Args:
        image: the kernel's image, for `ftrace_pages_start` and the sites.
        read_many: reads live memory.

    Raises:
        NoSiteError: the kernel was built without dynamic ftrace.
        RecordError: the list in memory makes no sense.
    """

    def __init__(self, image: Image, read_many: ReadMany) -> None:
        heads = image.symbols.find("ftrace_pages_start")
        if not heads:
            raise NoSiteError(
                f"{image.path.name} has no ftrace_pages_start: it was built without dynamic ftrace",
                advice="only kernels with CONFIG_DYNAMIC_FTRACE have sites",
            )
        self._read_many = read_many
        self.stride = 0
        self.groups = self._walk(image, heads[0].address)

    def _walk(self, image: Image, head: int) -> list[Group]:
        groups: list[Group] = []
        (page,) = struct.unpack("<Q", self._read_many([(head, 8)])[0])
        while page:
            following, records, count = _PAGE_HEADER.unpack(self._read_many([(page, _PAGE_HEADER.size)])[0])
            if count > _MOST_RECORDS or len(groups) >= _MOST_GROUPS:
                raise RecordError("the kernel's list of ftrace records makes no sense", address=page)
            if count:
                self.stride = self.stride or self._probe_stride(image, records, count)
                ends = self._read_many([(records, 8), (records + (count - 1) * self.stride, 8)])
                groups.append(Group(records, count, *(struct.unpack("<Q", end)[0] for end in ends)))
            page = following
        return groups

    def _probe_stride(self, image: Image, records: int, count: int) -> int:
        sample = min(count, 32)
        memory = self._read_many([(records, sample * _STRIDES[-1])])[0]
        for stride in _STRIDES:
            ips = np.frombuffer(memory[: sample * stride], "<u8").reshape(sample, -1)[:, 0]
            if np.isin(ips, image.sites).all():
                return stride
        raise RecordError("the kernel's ftrace records have an unknown layout", address=records)

    def find(self, site: int) -> TraceRecord | None:
        """The record of one site, None when the kernel has none for it."""
        for group in self.groups:
            if group.first <= site <= group.last:
                return self._search(group, site)
        return None

    def _search(self, group: Group, site: int) -> TraceRecord | None:
        low, high = 0, group.count
        while low < high:
            picks = sorted({low + (high - low) * step // _FAN for step in range(_FAN)})
            answers = self._read_many([(group.address + pick * self.stride, 16) for pick in picks])
            found = [struct.unpack("<QQ", answer) for answer in answers]
            below = [pick for pick, (ip, _) in zip(picks, found, strict=True) if ip <= site]
            if not below:
                return None
            ip, flags = found[picks.index(below[-1])]
            if ip == site:
                return TraceRecord(group.address + below[-1] * self.stride, ip, flags)
            low = below[-1] + 1
            high = min((pick for pick in picks if pick > below[-1]), default=high)
        return None

    def all(self) -> npt.NDArray[np.uint64]:
        """Every record's ip and flags, shape (n, 2), in the kernel's order."""
        parts = []
        for memory, group in zip(
            self._read_many([(group.address, group.count * self.stride) for group in self.groups]),
            self.groups,
            strict=True,
        ):
            parts.append(np.frombuffer(memory, "<u8").reshape(group.count, -1)[:, :2])
        return np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)
