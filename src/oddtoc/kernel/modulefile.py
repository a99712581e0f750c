"""A module's file, put where the running kernel has loaded it.

Where its sections are is told by the symbols that the kernel keeps; a section without any (data, where the kernel was
built without CONFIG_KALLSYMS_ALL) by the addresses that the loader has written into sections that are found already.
The words that the loader has relocated (arch/powerpc/kernel/module_64.c) are taken from memory, all others from the
file, and memory is held against those: every word of code has to be the file's, but for what a kernel rewrites.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from oddtoc.errors import MismatchError, SymbolError
from oddtoc.image.elf import Image
from oddtoc.image.layout import RELOCATION, Section, SectionType
from oddtoc.image.placed import placed
from oddtoc.image.relocated import relocated_distances
from oddtoc.image.symbols import Symbol
from oddtoc.isa import sign_extend, toc_pair
from oddtoc.kernel.modulelist import LiveSymbols
from oddtoc.kernel.offsets import ReadMany

Bases = dict[int, int]
"""Index of a section -> its address."""

_REL24, _ADDR64, _REL64, _ENTRY = 10, 38, 44, 118
_TOC16_LO, _TOC16_HA, _TOC16_LO_DS = 48, 50, 64
_WORDS = {_ADDR64: 2, _REL64: 2, _ENTRY: 2}
"""How many words a relocation of each type takes, where that is not one."""
_MCOUNT = "_mcount"
_TRAP = 0x7FE00008
JUMP_ENTRY = 16
"""Bytes of a `struct jump_entry` (include/linux/jump_label.h)."""
_WORDS_OF_FIXUP = 4
_WORDS_OF_ENTRY = 8
"""Words from a global entry on: TOC set-up, ftrace words, and the one that takes a branch."""
_MOST_ROUNDS = 4


def place_module(file: Image, module: int, symbols: LiveSymbols, read_many: ReadMany) -> Image:
    """The image of a loaded module.

    Args:
        file: the module's file.
        module: the address of its `struct module`.
        symbols: those that it has in memory.
        read_many: reads live memory.

    Raises:
        MismatchError: the file is not what was loaded.
        SymbolError: no function of it sets up a TOC pointer.
    """
    bases = _told_by_symbols(file, symbols)
    bases |= {s.index: module for s in file.sections if s.name == ".gnu.linkonce.this_module"}
    toc = _toc_pointer(file, bases, read_many)
    code = [section for section in file.sections if section.is_executable and section.index in bases and section.size]
    memory = dict(zip((s.index for s in code), _read_all(code, bases, read_many), strict=True))
    bases |= _told_by_code(file, code, memory, bases, toc)
    _told_by_pointers(file, bases, read_many)
    tables = [s for s in file.sections if s.name.startswith(".rodata") and s.index in bases and s.has_contents]
    memory |= dict(zip((s.index for s in tables), _read_all(tables, bases, read_many), strict=True))
    words = {s.index: _filled(file, s, memory[s.index]) for s in (*code, *tables)}
    image = placed(file, bases, words, toc)
    for section in code:
        _check_code(image, section, memory[section.index], words[section.index])
    return image


def _told_by_symbols(file: Image, symbols: LiveSymbols) -> Bases:
    known: dict[tuple[str, int, int], list[int]] = {}
    for symbol in file.symbols:
        offset = symbol.address - file.sections[symbol.section_index].address if _is_placed(file, symbol) else 0
        known.setdefault((symbol.name, symbol.section_index, symbol.size), []).append(offset)
    found: dict[int, set[int]] = {}
    for name, section, address, size in symbols:
        offsets = known.get((name, section, size), [])
        if len(offsets) == 1 and name:
            found.setdefault(section, set()).add(address - offsets[0])
    if not found or any(len(bases) != 1 for bases in found.values()):
        raise _another(file, "its symbols are not those in memory")
    return {section: bases.pop() for section, bases in found.items() if section < len(file.sections)}


def _is_placed(file: Image, symbol: Symbol) -> bool:
    return symbol.section_index < len(file.sections)


def _toc_pointer(file: Image, bases: Bases, read_many: ReadMany) -> int:
    """What all functions set r2 to (`my_r2` of the module loader)."""
    entries = [
        bases[symbol.section_index] + symbol.address - file.sections[symbol.section_index].address
        for symbol in file.symbols
        if symbol.is_function and symbol.local_entry_code > 2 and symbol.section_index in bases
    ]
    found = set()
    for entry, memory in zip(entries, read_many([(entry, 8) for entry in entries]) if entries else [], strict=True):
        distance = toc_pair(*struct.unpack("<II", memory))
        if distance is not None:
            # the mark makes it odd
            found.add(entry + distance & ~1)
    if not entries:
        raise SymbolError(f"no function of {file.path.name} sets up a TOC pointer, so what is it?")
    if len(found) != 1:
        raise _another(file, "its functions do not agree about the TOC pointer")
    return found.pop()


def _told_by_code(file: Image, code: Iterable[Section], memory: dict[int, bytes], bases: Bases, toc: int) -> Bases:
    """Sections that the code reaches by their distance from the TOC pointer."""
    halves: dict[tuple[int, int], dict[bool, int]] = {}
    for section in code:
        for entry in _relocations(file, section, (_TOC16_HA, _TOC16_LO, _TOC16_LO_DS)):
            field = int.from_bytes(memory[section.index][entry["offset"] : entry["offset"] + 2], "little")
            key = int(entry["symbol"]), int(entry["addend"])
            is_low_ds = entry["type"] == _TOC16_LO_DS
            halves.setdefault(key, {})[entry["type"] == _TOC16_HA] = field & 0xFFFC if is_low_ds else field
    found: Bases = {}
    for (symbol, addend), half in halves.items():
        section_index, offset = _target(file, symbol, addend)
        if len(half) == 2 and section_index not in bases and section_index not in found and section_index:
            distance = (sign_extend(half[True], 16) << 16) + sign_extend(half[False], 16)
            found[section_index] = toc + distance - offset
    return found


def _told_by_pointers(file: Image, bases: Bases, read_many: ReadMany) -> None:
    """Sections that a doubleword in one that is known points to; what is found is added to `bases`."""
    for _ in range(_MOST_ROUNDS):
        wanted: dict[int, tuple[int, int]] = {}
        for section in (section for section in file.sections if section.index in bases and section.has_contents):
            for entry in _relocations(file, section, (_ADDR64,)):
                index, offset = _target(file, int(entry["symbol"]), int(entry["addend"]))
                if index and index not in bases and file.sections[index].is_allocated:
                    wanted.setdefault(index, (bases[section.index] + int(entry["offset"]), offset))
        if not wanted:
            return
        live = read_many([(place, 8) for place, _ in wanted.values()])
        for (index, (_, offset)), one in zip(wanted.items(), live, strict=True):
            bases[index] = int.from_bytes(one, "little") - offset


def _target(file: Image, symbol: int, addend: int) -> tuple[int, int]:
    """The section that a relocation leads into, 0 for none of the file's, and the offset there."""
    record = file.symbols.records[symbol]
    section = int(record["shndx"])
    return (section if section < len(file.sections) else 0), int(record["value"]) + addend


def _relocations(file: Image, section: Section, types: tuple[int, ...] = ()) -> npt.NDArray[Any]:
    """The relocations of a section, of some types or all."""
    tables = [t for t in file.sections if t.type == SectionType.RELA and t.info == section.index]
    entries = np.concatenate([np.empty(0, RELOCATION), *(file.records(table, RELOCATION) for table in tables)])
    if len(entries) and entries["symbol"].max() >= file.symbols.record_count:
        raise _another(file, "a relocation names a symbol that is not there")
    chosen: npt.NDArray[Any] = entries[np.isin(entries["type"], types)] if types else entries
    return chosen


def _read_all(sections: Iterable[Section], bases: Bases, read_many: ReadMany) -> list[bytes]:
    requests = [(bases[section.index], section.size) for section in sections]
    return read_many(requests) if requests else []


def _filled(file: Image, section: Section, memory: bytes) -> bytes:
    """The contents of a section with the words from memory that the loader has made."""
    content = bytearray(file.contents(section))
    for entry in _relocations(file, section):
        for place in _made_by_loader(file, entry):
            content[place : place + 4] = memory[place : place + 4]
    return bytes(content)


def _made_by_loader(file: Image, entry: Any) -> range:
    """The offsets of the words that a relocation makes."""
    start = int(entry["offset"]) & ~3
    count = _WORDS.get(int(entry["type"]), 1)
    if entry["type"] == _REL24:
        record = file.symbols.records[int(entry["symbol"])]
        if file.symbols.symbol(int(entry["symbol"])).name == _MCOUNT:
            # the tracer's: what it is in the file tells where it attaches
            count = 0
        elif record["shndx"] == 0:
            # the word behind is the reload of r2
            count = 2
    return range(start, start + 4 * count, 4)


def _check_code(image: Image, section: Section, memory: bytes, expected: bytes) -> None:
    """Hold the code in memory against the file's."""
    words = [np.frombuffer(content[: len(content) & ~3], "<u4") for content in (memory, expected)]
    start = image.sections[section.index].address
    rewritten = set(_rewritten(image, section))
    for place in (start + 4 * int(index) for index in np.flatnonzero(words[0] != words[1])):
        if place not in rewritten and words[0][(place - start) // 4] != _TRAP:
            raise _another(image, f"its code differs from memory at {place:#x}")


def _rewritten(image: Image, section: Section) -> Iterator[int]:
    """The words of a section that a kernel, or oddtoc, may have rewritten."""
    yield from relocated_distances(image, "__jump_table", JUMP_ENTRY).tolist()
    for name in {s.name for s in image.sections if "fixup" in s.name and not s.name.startswith(".rela")}:
        for place in relocated_distances(image, name).tolist():
            yield from range(place, place + 4 * _WORDS_OF_FIXUP, 4)
    functions = image.symbols.functions()
    for start in functions.starts[image.symbols.records["shndx"][functions.indices] == section.index].tolist():
        yield from range(start, start + 4 * _WORDS_OF_ENTRY, 4)


def _another(file: Image, why: str) -> MismatchError:
    return MismatchError(
        f"{file.path.name} is not the module that is loaded: {why}",
        advice="give the folder of the modules of the kernel that runs there with --modules",
    )
