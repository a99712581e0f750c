"""The headers of an ELF file, checked, as plain values: what kind of file it is, its sections and its segments.

Layouts are those of the System V gABI, chapters "ELF Header", "Sections" and "Program Header" (64-bit, little endian),
and of the ELFv2 ABI, 4.1 (e_flags). The tables are read with numpy and every offset is compared with the file's size
first, so a damaged or hostile file ends in an `ImageError` and never in a read beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from oddtoc.errors import ImageError

FILE_HEADER: Final = np.dtype(
    [
        ("ident", "S16"),
        ("type", "<u2"),
        ("machine", "<u2"),
        ("version", "<u4"),
        ("entry", "<u8"),
        ("phoff", "<u8"),
        ("shoff", "<u8"),
        ("flags", "<u4"),
        ("ehsize", "<u2"),
        ("phentsize", "<u2"),
        ("phnum", "<u2"),
        ("shentsize", "<u2"),
        ("shnum", "<u2"),
        ("shstrndx", "<u2"),
    ]
)
SECTION_HEADER: Final = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u4"),
        ("flags", "<u8"),
        ("addr", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("addralign", "<u8"),
        ("entsize", "<u8"),
    ]
)
PROGRAM_HEADER: Final = np.dtype(
    [
        ("type", "<u4"),
        ("flags", "<u4"),
        ("offset", "<u8"),
        ("vaddr", "<u8"),
        ("paddr", "<u8"),
        ("filesz", "<u8"),
        ("memsz", "<u8"),
        ("align", "<u8"),
    ]
)
SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("shndx", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
RELOCATION: Final = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])

SHN_LORESERVE: Final = 0xFF00
SHN_XINDEX: Final = 0xFFFF
PT_LOAD: Final = 1
PT_NOTE: Final = 4

_SHF_ALLOC = 2
_SHF_EXECINSTR = 4
_EM_PPC64 = 21
_ADDRESS_SPACE = 1 << 64
_ALIGNMENT = 1 << 16
_MACHINES = {3: "x86", 20: "32-bit PowerPC", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V"}
_PACKED = {b"\xfd7zXZ\x00": "xz", b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class FileType(IntEnum):
    """e_type of the files that oddtoc reads."""

    REL = 1
    EXEC = 2
    DYN = 3


class SectionType(IntEnum):
    """The values of sh_type that oddtoc looks at."""

    SYMTAB = 2
    STRTAB = 3
    RELA = 4
    NOTE = 7
    NOBITS = 8
    DYNSYM = 11
    VERSION_DEFINITIONS = 0x6FFFFFFD
    VERSIONS = 0x6FFFFFFF


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    In a relocatable object nothing has an address yet: `address` is the section's offset in the file there, which
    keeps addresses unique and can be looked up with any hex viewer; sections without contents come behind the file's
    end. Sizes and offsets are in bytes; `type` and `flags` are the raw sh_type and sh_flags.
    """

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def end(self) -> int:
        """The first address behind the section."""
        return self.address + self.size

    @property
    def is_executable(self) -> bool:
        """Whether it holds instructions that are in the file."""
        return bool(self.flags & _SHF_EXECINSTR) and self.has_contents

    @property
    def is_allocated(self) -> bool:
        """Whether it is part of the running program."""
        return bool(self.flags & _SHF_ALLOC)

    @property
    def has_contents(self) -> bool:
        """Whether the file holds its bytes; zeros otherwise (.bss)."""
        return self.type not in (0, SectionType.NOBITS)


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header; addresses, offsets and sizes in bytes. `type` is the raw p_type."""

    type: int
    address: int
    offset: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of a file say."""

    type: FileType
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]


def moved_headers(headers: Headers, shift: int) -> Headers:
    """Headers whose addresses are all `shift` higher; sections without a place in memory stay as they are.

    Raises:
        ImageError: they end beyond the address space.
    """
    sections = tuple(replace(s, address=s.address + shift) if s.is_allocated else s for s in headers.sections)
    segments = tuple(replace(segment, address=segment.address + shift) for segment in headers.segments)
    if any(section.end > _ADDRESS_SPACE for section in sections):
        raise ImageError(f"an image that is moved by {shift:#x} ends beyond the address space")
    return Headers(headers.type, sections, segments)


def table(data: memoryview, offset: int, size: int, layout: npt.DTypeLike, what: str) -> npt.NDArray[Any]:
    """`size` bytes at `offset` of the file as an array of `layout` records; a rest shorter than one record is left out.

    Raises:
        ImageError: they lie beyond the end of the file.
    """
    if offset + size > len(data):
        raise ImageError(f"{what} ends {offset + size - len(data)} bytes behind the end of the file: it is truncated")
    kind = np.dtype(layout)
    return np.frombuffer(data, kind, count=size // kind.itemsize, offset=offset)


def string_at(strings: bytes, offset: int) -> str:
    """The name at `offset` of a string table; bytes that are no UTF-8 are shown escaped."""
    end = strings.find(b"\0", offset)
    return strings[offset : end if end >= 0 else len(strings)].decode(errors="backslashreplace")


def read_headers(path: Path, data: memoryview) -> Headers:
    """Check that a file is ppc64le, ELFv2, and read its headers.

    Raises:
        ImageError: it is something else, or damaged.
    """
    _check_ident(path, bytes(data[:16]))
    header = table(data, 0, FILE_HEADER.itemsize, FILE_HEADER, f"{path}: the ELF header")[0]
    _check_machine(path, header)
    try:
        kind = FileType(int(header["type"]))
    except ValueError:
        raise ImageError(
            f"{path} is neither a program, a library nor an object (ELF type {header['type']})",
            advice="core dumps and the like hold no image; give the file that was run",
        ) from None
    sections = _read_sections(path, data, header, relocatable=kind is FileType.REL)
    _check_abi(path, int(header["flags"]), sections)
    return Headers(kind, sections, _read_segments(path, data, header))


def _check_ident(path: Path, ident: bytes) -> None:
    packer = next((name for magic, name in _PACKED.items() if ident.startswith(magic)), None)
    if packer:
        raise ImageError(f"{path} is compressed with {packer}", advice=f"unpack it with {packer} first")
    if ident[:4] != b"\x7fELF" or len(ident) < 16:
        raise ImageError(f"{path} is not an ELF file", advice="give a vmlinux, a module, a program or a library")
    if ident[4] != 2:
        raise ImageError(f"{path} is not a 64-bit ELF file", advice="oddtoc reads ppc64le alone")
    if ident[5] != 1:
        raise ImageError(f"{path} is a big-endian ELF file", advice="oddtoc reads ppc64le, the little-endian ABI")


def _check_machine(path: Path, header: np.void) -> None:
    machine = int(header["machine"])
    if machine != _EM_PPC64:
        name = _MACHINES.get(machine, f"machine {machine}")
        raise ImageError(f"{path} is for {name}, not for ppc64le", advice="give an image for ppc64le (ppc64el)")


def _check_abi(path: Path, flags: int, sections: tuple[Section, ...]) -> None:
    """ELFv2, 4.1: the two low bits of e_flags; 0 is "not using any ABI-specific feature", which .opd belies."""
    version = flags & 3
    if version == 0 and any(section.name == ".opd" for section in sections):
        version = 1
    if version in (1, 3):
        raise ImageError(
            f"{path} uses version {version} of the ABI, not ELFv2",
            advice="functions have descriptors instead of two entry points there; compile with -mabi=elfv2",
        )


def _read_sections(path: Path, data: memoryview, header: np.void, *, relocatable: bool) -> tuple[Section, ...]:
    offset, count, names = int(header["shoff"]), int(header["shnum"]), int(header["shstrndx"])
    if not offset:
        return ()
    what = f"{path}: the table of sections"
    if int(header["shentsize"]) != SECTION_HEADER.itemsize:
        raise ImageError(f"{what} has entries of {header['shentsize']} bytes instead of {SECTION_HEADER.itemsize}")
    first = table(data, offset, SECTION_HEADER.itemsize, SECTION_HEADER, what)[0]
    # gABI, "Sections": counts that do not fit the file header wait in the first entry.
    count = count or int(first["size"])
    names = int(first["link"]) if names == SHN_XINDEX else names
    raw = table(data, offset, count * SECTION_HEADER.itemsize, SECTION_HEADER, what)
    strings = _section_names(path, data, raw, names)
    sections = tuple(_section(index, entry, strings) for index, entry in enumerate(raw.tolist()))
    for section in sections:
        if section.has_contents:
            table(data, section.offset, section.size, "u1", f"{path}: section {section.name or section.index}")
    placed = tuple(_placed(sections, len(data))) if relocatable else sections
    for section in (*sections, *placed):
        if section.end > _ADDRESS_SPACE:
            raise ImageError(f"{path}: section {section.name or section.index} ends beyond the address space")
    return placed


def _placed(sections: Iterable[Section], file_size: int) -> Iterator[Section]:
    """The sections of an object at their offsets in the file, those without contents one by one behind its end."""
    free = file_size + _ALIGNMENT - file_size % _ALIGNMENT
    for section in sections:
        yield replace(section, address=section.offset if section.has_contents else free)
        if not section.has_contents:
            free += section.size + _ALIGNMENT - section.size % _ALIGNMENT


def _section_names(path: Path, data: memoryview, raw: npt.NDArray[Any], index: int) -> bytes:
    if index >= len(raw):
        raise ImageError(f"{path}: the names of the sections are in section {index}, but there are only {len(raw)}")
    entry = raw[index]
    return table(data, int(entry["offset"]), int(entry["size"]), "u1", f"{path}: the names of the sections").tobytes()


def _section(index: int, entry: tuple[int, ...], strings: bytes) -> Section:
    name, kind, flags, address, offset, size, link, info, _, _ = entry
    return Section(index, string_at(strings, name), kind, flags, address, offset, size, link, info)


def _read_segments(path: Path, data: memoryview, header: np.void) -> tuple[Segment, ...]:
    offset, count = int(header["phoff"]), int(header["phnum"])
    if not offset or not count:
        return ()
    what = f"{path}: the table of segments"
    if int(header["phentsize"]) != PROGRAM_HEADER.itemsize:
        raise ImageError(f"{what} has entries of {header['phentsize']} bytes instead of {PROGRAM_HEADER.itemsize}")
    raw = table(data, offset, count * PROGRAM_HEADER.itemsize, PROGRAM_HEADER, what)
    segments = []
    for kind, _, place, address, _, in_file, in_memory, _ in raw.tolist():
        # a debug file has empty ones, where the file that it belongs to goes on
        if kind in (PT_LOAD, PT_NOTE) and in_file:
            table(data, place, in_file, "u1", f"{path}: the segment at {address:#x}")
        segments.append(Segment(kind, address, place, in_file, max(in_file, in_memory)))
    return tuple(segments)
