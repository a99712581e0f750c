"""What the code of a function is, apart from where everything was put: to compare images that were linked apart.

Left out are the distances of data from the TOC pointer, and of branches out of the function; the names of the
functions that those go to count instead. Two functions that differ only in which data they use look the same.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.functions import Functions
from oddtoc.isa import OPCODE_AND_REGISTERS, Addresses, Words
from oddtoc.scan.code import Branches, Code, Mask, Places
from oddtoc.scan.owners import NOBODY, Owners

_Hashes = npt.NDArray[np.uint64]

_REACH: Final = 48
"""Words behind an addis from the TOC pointer in which its low half is looked for."""
_ADDIS: Final = 15
_TOC_REGISTERS: Final = (2, 12)
_MIX: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def code_digests(code: Code, functions: Functions, owners: Owners, branches: Branches) -> Addresses:
    """64 bits for each function, shape (n,): equal if the code is, whatever its addresses."""
    values = _without_toc_distances(code.words).astype(np.uint64)
    _name_callees(values, code, owners, branches)
    starts = code.places(functions.starts)
    lengths = np.minimum((functions.ends - functions.starts) // np.uint64(4), np.uint64(len(values)))
    ends = np.minimum(starts + lengths.astype(np.intp), len(values))
    return _sums(values, starts, ends)


def _without_toc_distances(words: Words) -> Words:
    """All words, with the halves of distances from r2 and r12 cleared."""
    result = words.copy()
    opcodes, bases = words >> np.uint32(26), (words >> np.uint32(16)) & np.uint32(31)
    places = np.flatnonzero((opcodes == _ADDIS) & np.isin(bases, _TOC_REGISTERS))
    result[places] &= np.uint32(OPCODE_AND_REGISTERS)
    registers = (words[places] >> np.uint32(21)) & np.uint32(31)
    for distance in range(1, _REACH + 1):
        inside = places + distance < len(words)
        places, registers = places[inside], registers[inside]
        following = places + distance
        has_immediate = _has_immediate(opcodes[following])
        low = following[has_immediate & (bases[following] == registers)]
        # DS-form: the two low bits choose the instruction
        result[low] &= np.uint32(OPCODE_AND_REGISTERS | 3)
        kept = ~_overwrites(words[following], opcodes[following], registers)
        places, registers = places[kept], registers[kept]
    return result


def _has_immediate(opcodes: Words) -> Mask:
    """addi, and loads and stores with a displacement (Power ISA, book I, 3.3.2 and 4.6.2)."""
    found: Mask = (opcodes == 14) | ((opcodes >= 32) & (opcodes <= 55)) | np.isin(opcodes, (57, 58, 61, 62))
    return found


def _overwrites(words: Words, opcodes: Words, registers: Words) -> Mask:
    """Whether instructions write a register: its field is a result in loads, additions and all of opcode 31."""
    is_target = (words >> np.uint32(21)) & np.uint32(31) == registers
    is_second = (words >> np.uint32(16)) & np.uint32(31) == registers
    loads = np.isin(opcodes, (7, 8, 12, 13, 14, 15, 32, 33, 34, 35, 40, 41, 42, 43, 58))
    logical = (opcodes >= 20) & (opcodes <= 30)
    returns = np.isin(words, (0x4E800020, 0x4E800420))
    found: Mask = (loads & is_target) | (logical & is_second) | ((opcodes == 31) & (is_target | is_second)) | returns
    return found


def _name_callees(values: _Hashes, code: Code, owners: Owners, branches: Branches) -> None:
    """Put the callee's name, and how far inside it the branch goes, in the place of each distance."""
    sources, targets = owners.at(branches.places), owners.at(branches.targets)
    leaves = (sources != targets) | (targets == NOBODY)
    places, targets = branches.places[leaves], targets[leaves]
    known = targets != NOBODY
    names = np.zeros(len(owners.starts) + 1, np.uint64)
    used = np.unique(targets[known])
    names[used] = [zlib.crc32(name.encode()) for name in owners.names(used)]
    inside = np.zeros(len(places), np.uint64)
    inside[known] = code.addresses(branches.targets[leaves][known]) - owners.starts[targets[known]]
    kept = np.where(branches.conditional[leaves], np.uint32(0xFFFF0003), np.uint32(0xFC000003))
    what = (code.words[places] & kept).astype(np.uint64)
    values[places] = what | ((names[targets] + inside) << np.uint64(32))


def _sums(values: _Hashes, starts: Places, ends: Places) -> Addresses:
    """For each row the sum of what stands from start to end, each word mixed with its place in the row."""
    if not len(values):
        return np.zeros(len(starts), np.uint64)
    digests = np.zeros(len(starts), np.uint64)
    for first in range(0, len(starts), _ROWS):
        rows = slice(first, first + _ROWS)
        lengths = np.maximum(ends[rows] - starts[rows], 0)
        row = np.repeat(np.arange(len(lengths)), lengths)
        within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        mixed = _mixed(values[np.repeat(starts[rows], lengths) + within], within.astype(np.uint64))
        sums = np.zeros(len(lengths), np.uint64)
        filled = np.flatnonzero(lengths)
        if len(filled):
            edges = (np.cumsum(lengths) - lengths)[filled]
            sums[filled] = np.add.reduceat(mixed, edges)
        digests[rows] = sums
    return digests


_ROWS: Final = 4096
"""Functions at a time: memory stays small."""


def _mixed(values: _Hashes, within: _Hashes) -> _Hashes:
    """The finisher of splitmix64, of value and position."""
    state = values + within * np.uint64(_MIX[0]) + np.uint64(_MIX[0])
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_MIX[1])
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_MIX[2])
    mixed: _Hashes = state ^ (state >> np.uint64(31))
    return mixed
