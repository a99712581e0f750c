"""Parts of a function that the compiler has put elsewhere (`.cold`), found without their names.

Stripped objects do not name them, but the search table of .eh_frame_hdr (Linux Standard Base, "Exception Frames") says
where each piece of code begins that has unwind information, parts included: one that the function jumps to, and that is
no function of its own by name, belongs to it. A local function that is jumped to counts as well, which can only make
somebody wait longer.
"""

from __future__ import annotations

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.image.flow import flow_of
from oddtoc.isa import Addresses
from oddtoc.places import Span

_DATA_RELATIVE_SDATA4 = 0x3B
_UDATA4 = 0x03
_TABLE = 12
_MOST_PARTS = 64


def parts_of(image: Image, body: Span) -> list[Span]:
    """Code elsewhere that a function jumps to and that is no function by name.

    Args:
        image: where it is loaded.
        body: the function.
    """
    starts = _starts(image)
    found: list[Span] = []
    fresh = [body]
    while fresh and len(found) < _MOST_PARTS:
        piece = fresh.pop()
        for target in _jumps_from(image, piece):
            index = int(np.searchsorted(starts, target, side="right")) - 1
            known = target in body or any(target in span for span in found)
            if known or index < 0 or index + 1 >= len(starts) or _is_function(image, int(starts[index])):
                continue
            part = Span(int(starts[index]), int(starts[index + 1]))
            found.append(part)
            fresh.append(part)
    return found


def _jumps_from(image: Image, piece: Span) -> list[int]:
    """Where direct jumps, conditional ones too, lead out of a piece of code."""
    sources, targets, links = flow_of(image).branches
    leaving = (sources >= piece.start) & (sources < piece.end) & ~links
    leaving &= (targets < piece.start) | (targets >= piece.end)
    places: list[int] = np.unique(targets[leaving]).tolist()
    return places


def _is_function(image: Image, address: int) -> bool:
    functions = image.symbols.functions()
    index = int(np.searchsorted(functions.starts, address))
    return index < len(functions.starts) and int(functions.starts[index]) == address


def _starts(image: Image) -> Addresses:
    """Where all pieces of code with unwind information begin, sorted."""
    section = image.section(".eh_frame_hdr")
    if section is None or not section.has_contents or section.size < _TABLE:
        return np.empty(0, np.uint64)
    content = image.contents(section)
    if content[0] != 1 or content[2] != _UDATA4 or content[3] != _DATA_RELATIVE_SDATA4:
        return np.empty(0, np.uint64)
    count = min(int.from_bytes(content[8:12], "little"), (len(content) - _TABLE) // 8)
    distances = np.frombuffer(content, "<i4", count=2 * count, offset=_TABLE)[::2].astype(np.int64)
    starts: Addresses = np.sort(distances + section.address).astype(np.uint64)
    return starts
