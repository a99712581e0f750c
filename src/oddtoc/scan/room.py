"""Room for payloads in and around an image's text: gaps between functions, and what kernels leave unused."""

from __future__ import annotations

from typing import Final

import numpy as np

from oddtoc.errors import RoomError
from oddtoc.image.elf import Image
from oddtoc.image.symbols import SymbolTable
from oddtoc.isa import NOP, TRAP, Addresses
from oddtoc.kernel.room import rooms
from oddtoc.scan.code import Code
from oddtoc.scan.table import Table, labels

SMALLEST: Final = 64
"""Bytes of the smallest gap that counts: any trampoline fits."""
USES: Final = ("hole", "text", "data", "ftrace stubs")
_FILLERS: Final = (0, NOP, TRAP)
_STUBS: Final = ("ftrace_ool_stub_text_end", "ftrace_ool_stub_text", "ftrace_ool_stub_inittext")
"""Where kernels with out-of-line sites keep their stubs (arch/powerpc/tools/ftrace-gen-ool-stubs.sh)."""

_Row = tuple[str, str, int, int]


def room_table(image: Image, code: Code, *, is_kernel: bool) -> Table:
    """All room of an image, but for the column that names the image.

    Args:
        image: the image.
        code: its instructions.
        is_kernel: look for what kernels have outside of their sections too.
    """
    rows = _holes(image.symbols, code)
    if is_kernel:
        rows += [*_kernel_rooms(image), *_ftrace_stubs(image.symbols)]
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    start, end = (np.array(column, np.uint64) for column in columns[2:])
    return Table(
        "room",
        {
            "use": labels([str(use) for use in columns[0]]),
            "section": labels([str(name) for name in columns[1]]),
            "start": start,
            "end": end,
            "size": (end - start).astype(np.int64),
        },
    )


def _holes(symbols: SymbolTable, code: Code) -> list[_Row]:
    """Gaps between functions that hold zeros, nops or traps alone."""
    edges, owners = symbols.extents
    rows: list[_Row] = []
    for name, base, first, last in zip(code.sections, code.bases, code.edges, code.edges[1:], strict=False):
        starts, ends = _unowned(edges, owners >= 0, base, base + np.uint64(4) * np.uint64(last - first))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            place = int(first) + (start - int(base)) // 4
            if np.all(np.isin(code.words[place : place + (end - start) // 4], _FILLERS)):
                rows.append(("hole", name, start, end))
    return rows


def _unowned(edges: Addresses, owned: np.ndarray, low: np.uint64, high: np.uint64) -> tuple[Addresses, Addresses]:
    """The gaps of at least SMALLEST bytes from `low` to `high`, whole words."""
    three = np.uint64(3)
    starts = (np.maximum(edges, low) + three) & ~three
    ends = np.minimum(np.append(edges[1:], high), high) & ~three
    wide = ~owned & (starts + np.uint64(SMALLEST) <= ends)
    return starts[wide], ends[wide]


def _kernel_rooms(image: Image) -> list[_Row]:
    try:
        found = rooms(image)
    except RoomError:
        return []
    return [
        ("text", "below __init_begin", found.journal.start, found.text.end),
        ("data", "before .bss", found.common.start, found.data.end),
    ]


def _ftrace_stubs(symbols: SymbolTable) -> list[_Row]:
    found = [symbol for name in _STUBS for symbol in symbols.find(name)]
    return [("ftrace stubs", one.section, one.address, one.address + one.size) for one in found if one.size]
