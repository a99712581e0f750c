"""Variables that a patch gives another first value: words of data that change with its functions, in one stop.

Only words whose first value differs are written, and only where the first value stands there still: what the kernel has
changed since is its own. A revert puts them back, unless somebody else has changed them meanwhile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from oddtoc.errors import ChangedError
from oddtoc.image.elf import Image
from oddtoc.link.data import DataWrite, data_writes
from oddtoc.link.layout import Layout
from oddtoc.link.object import PatchObject
from oddtoc.link.payload import Payload
from oddtoc.live.journal import Journal
from oddtoc.live.record import DATA, Change, FunctionRecord
from oddtoc.live.running import Subject


def data_records(
    subject: Subject, journal: Journal, patch: PatchObject, layout: Layout, payload: Payload, mechanism: str
) -> Iterator[FunctionRecord]:
    """What a patch changes in place, as records beside those of its functions.

    Args:
        subject: the kernel, or a module.
        journal: what is applied there.
        patch: the patch object.
        layout, payload: where its parts go, linked: new words may be addresses of them.
        mechanism: that of its functions.

    Raises:
        PatchError: the patch object is malformed.
        ChangedError: a word is not its first value any more, and no patch has changed it.
    """
    for write in map(partial(_placed, subject), data_writes(patch)):
        area, start = layout.sections[write.section]
        linked = payload.segments[area][1]
        new = linked[start + write.offset : start + write.offset + write.size]
        old = _first_value(subject.image, write.address, write.size)
        words = zip(_words(old), _words(new), strict=True)
        changes = tuple(Change(write.address + 4 * n, a, b, DATA) for n, (a, b) in enumerate(words) if a != b)
        if changes:
            _check_live(subject, journal, write, changes)
            yield FunctionRecord(write.name, mechanism, write.address, write.address, write.address, changes)


def _placed(subject: Subject, write: DataWrite) -> DataWrite:
    """A write with the address that it has there."""
    return replace(write, address=subject.resolve(write.spot).address) if write.spot else write


def _check_live(subject: Subject, journal: Journal, write: DataWrite, changes: tuple[Change, ...]) -> None:
    live = subject.read_many([(change.address, 4) for change in changes])
    for change, memory in zip(changes, live, strict=True):
        word = int.from_bytes(memory, "little")
        if word not in (change.old, journal.current(change.address)):
            raise ChangedError(
                f"{write.name} holds {word:#010x} at {change.address:#x}, and not {change.old:#010x} as at first",
                address=change.address,
                function=write.name,
                advice="the kernel has changed it since it started, so another first value means nothing there",
            )


def _first_value(image: Image, address: int, size: int) -> bytes:
    """What stood there when the kernel started, addresses among it."""
    content = bytearray(image.read(address, size))
    found = image.pointers.within(address - 7, address + size)
    for place, value in zip(found.places.tolist(), found.values.tolist(), strict=True):
        for index, byte in enumerate(int(value).to_bytes(8, "little")):
            if 0 <= place + index - address < size:
                content[place + index - address] = byte
    return bytes(content)


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)
