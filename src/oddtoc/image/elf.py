"""An ELF image: a kernel, a module on disk, a program or a library for ppc64le.

Opening maps the file and reads its headers; symbols, notes and sites are worked out when they are first asked for.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from oddtoc.errors import FaultError, ImageError
from oddtoc.image.entry import Entry, SiteKind, read_entry
from oddtoc.image.layout import (
    PT_LOAD,
    PT_NOTE,
    SHN_LORESERVE,
    SYMBOL,
    FileType,
    Headers,
    Section,
    SectionType,
    moved_headers,
    read_headers,
    table,
)
from oddtoc.image.notes import build_id
from oddtoc.image.pointers import Pointers, read_pointers
from oddtoc.image.sites import Sites, read_sites
from oddtoc.image.symbols import Symbol, SymbolTable, is_definition
from oddtoc.image.versions import read_versions
from oddtoc.isa import Addresses, Words

_TOC_BIAS = 0x8000
"""ELFv2 ABI, 3.3: .TOC. is 0x8000 behind the start of the .got section."""


_ADVICE = "give a vmlinux, a module, a program or a library"


class Text(NamedTuple):
    """An executable section: the address of its first word, and its words, shape (n,)."""

    name: str
    address: int
    words: Words


class Image:
    """An ELF image; make one with `Image.open`.

    Addresses are the virtual ones the image is linked for. A relocatable object (a module on disk) has none: there an
    address is an offset in the file, and words are those before relocation.

    Args:
        path: where it was read from.
        data: the bytes of the file.
        headers: its headers.
        shift: what is added to the addresses that it is linked for.
        toc: of an object that a loader has placed (see `oddtoc.image.placed`): its TOC pointer there.
    """

    def __init__(
        self, path: Path, data: memoryview, headers: Headers, shift: int = 0, *, toc: int | None = None
    ) -> None:
        self.path = path
        self.shift = shift
        self._placed_toc = toc
        self.sections = headers.sections
        self._data = data
        self._headers = headers
        self._symbol_section = self._find_symbol_section()

    @classmethod
    def open(cls, path: str | Path) -> Image:
        """Open an image.

        Raises:
            ImageError: it can't be read, is no ppc64le ELFv2 image, is damaged, or has no symbols; the text says which.
        """
        path = Path(path)
        data = _map(path)
        return cls(path, data, read_headers(path, data))

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> Image:
        """An image that was read already, out of an archive for example.

        Args:
            name: what errors call it.
            data: the whole file.

        Raises:
            ImageError: it is no ppc64le ELFv2 image, is damaged, or has no symbols; the text says which.
        """
        if not data:
            raise ImageError(f"{name} is empty", advice=_ADVICE)
        view = memoryview(data)
        return cls(Path(name), view, read_headers(Path(name), view))

    @property
    def type(self) -> FileType:
        """Whether it is a program at a fixed address, one (or a library) at any, or an object before linking."""
        return self._headers.type

    def moved(self, shift: int) -> Image:
        """The same image where it is loaded: every address is `shift` higher than it is linked for.

        Raises:
            ImageError: it would end beyond the address space.
        """
        return Image(self.path, self._data, moved_headers(self._headers, shift - self.shift), shift)

    @property
    def loads(self) -> list[tuple[int, int]]:
        """Address and offset in the file (bytes) of each segment that gets loaded."""
        return [(segment.address, segment.offset) for segment in self._headers.segments if segment.type == PT_LOAD]

    @property
    def loaded_from_file(self) -> list[tuple[int, int]]:
        """Address and size (bytes) of what each segment that gets loaded has in the file, and no more in memory."""
        loaded = (segment for segment in self._headers.segments if segment.type == PT_LOAD)
        return [(s.address, s.file_size) for s in loaded if s.file_size == s.memory_size]

    @property
    def has_all_symbols(self) -> bool:
        """Whether its symbols are those of .symtab, and not what a stripped library exports."""
        return self._symbol_section.type == SectionType.SYMTAB

    @property
    def is_relocatable(self) -> bool:
        """Whether it is an object before linking (ET_REL): addresses are offsets in the file."""
        return self._headers.type is FileType.REL and self._placed_toc is None

    @cached_property
    def symbols(self) -> SymbolTable:
        """The symbols of .symtab, or of .dynsym in a stripped library."""
        return self._symbols_of(self._symbol_section)

    @cached_property
    def exports(self) -> SymbolTable:
        """The symbols of .dynsym, with their versions; those of .symtab where there is no .dynsym."""
        section = self._of_type(SectionType.DYNSYM)
        if section is None or section is self._symbol_section:
            return self.symbols
        return self._symbols_of(section)

    def _symbols_of(self, section: Section) -> SymbolTable:
        records = self.records(section, SYMBOL)
        if self.shift:
            records = records.copy()
            records["value"][records["shndx"] < SHN_LORESERVE] += np.uint64(self.shift)
        return SymbolTable(
            records,
            self._strings_of(section),
            self.sections,
            relocatable=self.type is FileType.REL,
            versions=read_versions(self.sections, self.contents) if section.type == SectionType.DYNSYM else None,
        )

    def _strings_of(self, section: Section) -> bytes:
        if section.link >= len(self.sections):
            raise ImageError(f"{self.path}: section {section.name} names section {section.link} for its strings")
        return self.records(self.sections[section.link], "u1").tobytes()

    def _of_type(self, kind: SectionType) -> Section | None:
        return next((section for section in self.sections if section.type == kind), None)

    @cached_property
    def toc(self) -> int | None:
        """What r2 holds in this image: the address of .TOC., or None (relocatable, or no .got)."""
        if self.type is FileType.REL:
            return self._placed_toc
        found = self.symbols.find(".TOC.")
        if found:
            return found[0].address
        got = self.section(".got")
        return got.address + _TOC_BIAS if got else None

    @cached_property
    def notes(self) -> tuple[int, bytes] | None:
        """Address and content of the notes that hold the build id, to be compared with a target's memory; or None."""
        areas = [
            (segment.address, bytes(self._data[segment.offset : segment.offset + segment.file_size]))
            for segment in self._headers.segments
            if segment.type == PT_NOTE
        ]
        areas += [(s.address, self.contents(s)) for s in self.sections if s.type == SectionType.NOTE and s.is_allocated]
        return next((area for area in areas if build_id(area[1])), None)

    @property
    def build_id(self) -> bytes | None:
        """The GNU build id, or None."""
        return build_id(self.notes[1]) if self.notes else None

    @property
    def sites(self) -> Addresses:
        """All ftrace sites, sorted, shape (n,): the addresses that the kernel's records (dyn_ftrace.ip) hold.

        The kernel makes no record for those in .exit.text and forgets those of its init sections after boot.
        """
        return self._sites.addresses

    @property
    def site_kind(self) -> SiteKind | None:
        """The kind that all sites of the image are of, None without sites."""
        return self._sites.kind

    @cached_property
    def pointers(self) -> Pointers:
        """All doublewords that get an address by relocation."""
        return read_pointers(self)

    def references(self, address: int) -> list[int]:
        """The addresses of all doublewords that point to `address`: tables of functions, lists, initial values."""
        places: list[int] = np.sort(self.pointers.places[self.pointers.values == address]).tolist()
        return places

    def entry(self, function: str | Symbol, read_word: Callable[[int], int] | None = None) -> Entry:
        """Where a function is entered, marked and traced.

        Args:
            function: its name or symbol.
            read_word: gives the word at an address, for the live words of a target; the image's own words otherwise.

        Raises:
            SymbolError: no such function, or several.
            NoSiteError: the words fit no known entry shape.
        """
        symbol = self.symbols.one(function, functions_only=True) if isinstance(function, str) else function
        entry = read_entry(symbol, read_word or self.word, self.sites, self.site_kind)
        # Before relocation the immediates say nothing about the TOC.
        return replace(entry, toc=None) if self.is_relocatable else entry

    def section(self, name: str) -> Section | None:
        """The first section called `name`, or None."""
        return next((section for section in self.sections if section.name == name), None)

    def records(self, section: Section, layout: npt.DTypeLike) -> npt.NDArray[Any]:
        """A section as an array of `layout` records, read-only, not copied; empty for NOBITS."""
        size = section.size if section.has_contents else 0
        return table(self._data, section.offset, size, layout, f"{self.path}: section {section.name}")

    def contents(self, section: Section) -> bytes:
        """The bytes of a section, before relocation; zeros for NOBITS."""
        return self.records(section, "u1").tobytes().ljust(section.size, b"\0")

    @property
    def file_size(self) -> int:
        """Bytes in the file."""
        return len(self._data)

    @property
    def file_bytes(self) -> memoryview:
        """The whole file."""
        return self._data

    def text(self) -> list[Text]:
        """All executable sections, in section order."""
        return [
            Text(section.name, section.address, self._words(section.offset, section.size // 4))
            for section in self.sections
            if section.is_executable
        ]

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of memory as the image is loaded, before relocation; zeros where the file holds none.

        Raises:
            FaultError: the image has no memory there.
        """
        offset, in_file = self._locate(address, size)
        return bytes(self._data[offset : offset + in_file]).ljust(size, b"\0")

    def word(self, address: int) -> int:
        """The instruction word at an address; FaultError outside the image."""
        return int.from_bytes(self.read(address, 4), "little")

    def words(self, address: int, count: int) -> Words:
        """`count` words from an address on, shape (count,), read-only; FaultError outside the image."""
        offset, in_file = self._locate(address, count * 4)
        if in_file == count * 4:
            return self._words(offset, count)
        return np.frombuffer(self.read(address, count * 4), "<u4")

    @cached_property
    def _sites(self) -> Sites:
        return read_sites(self)

    def _words(self, offset: int, count: int) -> Words:
        return np.frombuffer(self._data, "<u4", count=count, offset=offset)

    @cached_property
    def _memory(self) -> list[tuple[int, int, int, int]]:
        """Address, bytes in memory, offset in the file, bytes in the file of all that gets loaded."""
        loaded = [s for s in self._headers.segments if s.type == PT_LOAD]
        if loaded:
            return [(s.address, s.memory_size, s.offset, s.file_size) for s in loaded]
        return [(s.address, s.size, s.offset, s.size if s.has_contents else 0) for s in self.sections if s.is_allocated]

    def _locate(self, address: int, size: int) -> tuple[int, int]:
        """Offset in the file of an area of memory, and how many of its bytes the file holds."""
        for start, in_memory, offset, in_file in self._memory:
            if start <= address and address + size <= start + in_memory and size >= 0:
                skipped = address - start
                return offset + skipped, max(0, min(size, in_file - skipped))
        raise FaultError(f"{self.path} has no {size} bytes at {address:#x}", address=address, size=size)

    def _find_symbol_section(self) -> Section:
        for kind in (SectionType.SYMTAB, SectionType.DYNSYM):
            section = next((s for s in self.sections if s.type == kind and s.size > SYMBOL.itemsize), None)
            if section and self._has_definitions(section):
                if section.link >= len(self.sections):
                    raise ImageError(f"{self.path}: the symbol table names section {section.link} for its strings")
                return section
        raise ImageError(
            f"{self.path} has no symbols", advice="it is stripped: give the file that it was stripped from (vmlinux)"
        )

    def _has_definitions(self, section: Section) -> bool:
        records = self.records(section, SYMBOL)
        return bool(np.any(is_definition(records)))


def _map(path: Path) -> memoryview:
    """The bytes of a regular file, mapped read-only."""
    try:
        status = path.stat()
        # Asked before opening: a named pipe would wait for its writer.
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path} is not a regular file", advice=_ADVICE)
        if not status.st_size:
            raise ImageError(f"{path} is empty", advice=_ADVICE)
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{path} can't be read: {reason}", advice="check the path and its permissions") from error
