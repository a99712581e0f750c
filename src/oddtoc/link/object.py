"""A patch object: a relocatable ELF file with replacements, their records and the trampolines.

The file is what the compiler and `ld -r` made; `.oddtoc.replace` holds one record per replaced function, laid out by
`struct oddtoc_replacement` in `oddtoc.h`, and each `.oddtoc.trampoline.NAME` holds one template.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from oddtoc.errors import ImageError, OddtocError, PatchError
from oddtoc.link.parts import ObjectSymbol as ObjectSymbol
from oddtoc.link.parts import Relocation as Relocation
from oddtoc.link.parts import Replacement as Replacement
from oddtoc.link.parts import Section as Section

KERNEL, MODULE_SUFFIX = "vmlinux", ".ko"
"""What a patch calls the kernel proper, and what the names of its modules end in there."""
REPLACE_SECTION = ".oddtoc.replace"
HOOK_SECTION = ".oddtoc.hook"
DATA_SECTION = ".oddtoc.data"
KERNEL_SECTION = ".oddtoc.kernel"
"""Holds the build id of the one kernel that a patch is for; other patches have none."""
ROOM_SECTION = ".oddtoc.room"
"""Holds a patch object that has the kernel make room (build/support/room.c), in patches for modules."""
FINDER_SECTION = ".oddtoc.finder"
"""Holds a patch object that has unwinders find a patch's code (build/support/unwind.c), in patches for processes."""
PART_PREFIX = ".oddtoc.part."
"""Sections that hold the further parts of a patch, each a patch object; behind it stands what that changes."""
PART_MARK = "@"
"""Stands between a patch's name and the module that a further part of it changes."""
TRAMPOLINE_PREFIX = ".oddtoc.trampoline."

_RECORD = struct.Struct("<64s128s64s8x")
_REPLACEMENT_OFFSET = 256
_UNDEFINED, _ABSOLUTE, _COMMON = "SHN_UNDEF", "SHN_ABS", "SHN_COMMON"


@dataclass
class PatchObject:
    """A parsed patch object. `name` is the file's stem unless given; `content` the bytes of the file at `path`.

    A further part of a patch knows the first one (`first`), which may find its tables, and what it changes (`subject`).
    """

    name: str
    content: bytes
    sections: dict[int, Section] = field(default_factory=dict)
    symbols: tuple[ObjectSymbol, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    hooks: tuple[Replacement, ...] = ()
    path: Path | None = None
    first: PatchObject | None = None
    subject: str = KERNEL

    @classmethod
    def open(cls, path: str | Path, name: str | None = None, *, shown_as: str | Path | None = None) -> PatchObject:
        """Read and check a patch object.

        Args:
            path: the file.
            name: the patch's name; the file's stem if not given.
            shown_as: what errors call it, where the file is a temporary one.

        Raises:
            ImageError: the file can't be read, is not ELF, not for ppc64le with ABI v2, or not relocatable.
            PatchError: it holds no replacements, or a malformed one.
        """
        path = Path(path)
        try:
            # read once: what is parsed is what is hashed, and what a signature is checked for
            content = path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path} can't be read: {error.strerror}") from error
        patch = cls.parse(content, name or path.stem, Path(shown_as or path))
        patch.path = path
        return patch

    @classmethod
    def parse(cls, content: bytes, name: str, path: Path) -> PatchObject:
        """Parse and check a patch object that was read already.

        Args:
            content: the whole file.
            name: the patch's name.
            path: what errors call it.

        Raises:
            ImageError, PatchError: as `open`.
        """
        try:
            return _Reader(path, ELFFile(BytesIO(content))).read(name, content)
        except OddtocError:
            raise
        except (ELFError, ConstructError, struct.error, ValueError, LookupError, TypeError, AttributeError,
                OverflowError, AssertionError, EOFError, MemoryError, RecursionError) as error:  # fmt: skip
            # pyelftools answers damage with whatever the broken field led it into
            raise ImageError(f"{path} is not a readable ELF object: {error or type(error).__name__}") from error

    @property
    def kernel(self) -> bytes | None:
        """The build id of the one kernel that it is for; None if it names none."""
        return next((section.data for section in self.sections.values() if section.name == KERNEL_SECTION), None)

    @property
    def images(self) -> list[str]:
        """What it changes, as often as it names it; empty for one of another kind."""
        named = [replacement.image for replacement in (*self.replacements, *self.hooks)]
        return named or [self.subject] * self.has_data

    @property
    def has_data(self) -> bool:
        """Whether it writes variables in place (oddtoc.link.data)."""
        return any(section.name == DATA_SECTION for section in self.sections.values())

    @property
    def room(self) -> PatchObject | None:
        """The patch that has the kernel make room for this one, which it carries if it is for a module; or None.

        Raises:
            ImageError, PatchError: as `open`.
        """
        return self._embedded(ROOM_SECTION, "room for modules")

    @property
    def finder(self) -> PatchObject | None:
        """The patch that has unwinders find this one's code, which it carries if it is for a process; or None.

        Raises:
            ImageError, PatchError: as `open`.
        """
        return self._embedded(FINDER_SECTION, "unwind information")

    def _embedded(self, name: str, shown_as: str) -> PatchObject | None:
        content = next((section.data for section in self.sections.values() if section.name == name), None)
        return PatchObject.parse(content, shown_as, self.path or Path(self.name)) if content else None

    @property
    def parts(self) -> list[PatchObject]:
        """The patch objects that it consists of: itself, for what its name says, and one for each further module.

        Raises:
            ImageError, PatchError: as `open`.
        """
        further = []
        for section in self.sections.values():
            if section.name.startswith(PART_PREFIX):
                subject = section.name.removeprefix(PART_PREFIX)
                name = f"{self.name}{PART_MARK}{subject.removesuffix(MODULE_SUFFIX)}"
                part = PatchObject.parse(section.data, name, self.path or Path(self.name))
                further.append(replace(part, first=self, path=self.path, subject=subject))
        return [self, *further]

    @property
    def loaded(self) -> list[Section]:
        """The sections that become the payload, in file order, empty ones left out."""
        return [section for section in self.sections.values() if section.loaded and section.data]

    def template(self, name: str) -> Section:
        """The trampoline template of a mechanism.

        Raises:
            PatchError: the object was built without it.
        """
        for section in self.sections.values():
            if section.name == TRAMPOLINE_PREFIX + name:
                return section
        raise PatchError(
            f"{self.name} holds no trampoline {name}", advice="build it again with this version of oddtoc build"
        )


class _Reader:
    def __init__(self, path: Path, elf: ELFFile) -> None:
        self.path = path
        self.elf = elf

    def read(self, name: str, content: bytes) -> PatchObject:
        self.check_header()
        patch = PatchObject(name, content)
        table = self.elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            raise PatchError(f"{self.path} has no symbol table", advice="build it with oddtoc build, do not strip it")
        patch.symbols = tuple(self.symbols(table))
        relocations = self.relocations(len(patch.symbols))
        for index, section in enumerate(self.elf.iter_sections()):
            size = section["sh_size"]
            if section["sh_type"] == "SHT_NOBITS":
                if size > 1 << 28:
                    raise PatchError(f"{self.path}: section {section.name} asks for {size} bytes")
                data = bytes(size)
            elif section["sh_type"] == "SHT_PROGBITS" and section["sh_offset"] + size <= len(content):
                data = content[section["sh_offset"] : section["sh_offset"] + size]
            elif section["sh_type"] == "SHT_PROGBITS":
                raise ImageError(f"{self.path} is truncated: section {section.name} ends beyond the file")
            else:
                continue
            found = tuple(relocations.get(index, ()))
            self.check_fields(section.name, found, size)
            alignment = section["sh_addralign"] or 1
            if alignment > 1 << 16 or alignment & (alignment - 1):
                raise PatchError(f"{self.path}: section {section.name} is aligned to {alignment} bytes")
            patch.sections[index] = Section(index, section.name, section["sh_flags"], alignment, data, found)
        patch.replacements = tuple(self.replacements(patch, REPLACE_SECTION))
        patch.hooks = tuple(self.replacements(patch, HOOK_SECTION))
        if not patch.replacements and not patch.hooks and not patch.has_data:
            raise PatchError(
                f"{self.path} replaces nothing",
                advice="#include <oddtoc.h> and name what it replaces: ODDTOC_REPLACE(vmlinux, old, new);",
            )
        return patch

    def check_header(self) -> None:
        header = self.elf.header
        if self.elf.elfclass != 64 or not self.elf.little_endian or header["e_machine"] != "EM_PPC64":
            raise ImageError(f"{self.path} is not a ppc64le object ({self.elf.get_machine_arch()})")
        if header["e_flags"] & 3 != 2:
            raise ImageError(
                f"{self.path} is for ELF ABI v{header['e_flags'] & 3}, not v2",
                advice="compile it with a ppc64le compiler and -mabi=elfv2",
            )
        if header["e_type"] != "ET_REL":
            raise ImageError(
                f"{self.path} is not a relocatable object", advice="oddtoc build SOURCE.c makes patch objects"
            )

    def symbols(self, table: SymbolTableSection) -> Iterator[ObjectSymbol]:
        for entry in table.iter_symbols():
            where = entry["st_shndx"]
            if where == _COMMON:
                raise PatchError(f"{self.path}: {entry.name} is a common symbol", advice="compile with -fno-common")
            other = entry["st_other"]
            raw = other["local"] << 5 | _VISIBILITY.get(other["visibility"], 0)
            section = where if isinstance(where, int) else None
            weak = entry["st_info"]["bind"] == "STB_WEAK"
            name = entry.name or (self.elf.get_section(section).name if section is not None else "")
            yield ObjectSymbol(name, section, entry["st_value"], raw, where != _UNDEFINED, weak)

    def relocations(self, symbols: int) -> dict[int, list[Relocation]]:
        found: dict[int, list[Relocation]] = {}
        for section in self.elf.iter_sections():
            if not isinstance(section, RelocationSection):
                continue
            if not section.is_RELA():
                raise PatchError(f"{self.path}: {section.name} has relocations without addends")
            entries = found.setdefault(section["sh_info"], [])
            for entry in section.iter_relocations():
                if entry["r_info_sym"] >= symbols:
                    raise PatchError(
                        f"{self.path}: {section.name} names symbol {entry['r_info_sym']}, which is not there"
                    )
                entries.append(
                    Relocation(entry["r_offset"], entry["r_info_type"], entry["r_info_sym"], entry["r_addend"])
                )
        return found

    def check_fields(self, name: str, relocations: tuple[Relocation, ...], size: int) -> None:
        for relocation in relocations:
            if relocation.offset + 2 > size:
                raise PatchError(f"{self.path}: a relocation of {name} is at {relocation.offset:#x}, behind its end")

    def replacements(self, patch: PatchObject, name: str) -> Iterator[Replacement]:
        for section in [section for section in patch.sections.values() if section.name == name]:
            if len(section.data) % _RECORD.size:
                raise PatchError(f"{self.path}: {name} is no multiple of {_RECORD.size} bytes")
            targets = {relocation.offset: relocation for relocation in section.relocations}
            for start in range(0, len(section.data), _RECORD.size):
                relocation = targets.get(start + _REPLACEMENT_OFFSET)
                if relocation is None or relocation.type != 38:
                    raise PatchError(f"{self.path}: a record of {REPLACE_SECTION} does not point to a function")
                yield self.replacement(patch, section.data[start : start + _RECORD.size], relocation)

    def replacement(self, patch: PatchObject, record: bytes, relocation: Relocation) -> Replacement:
        image, function, which = (_text(self.path, raw) for raw in _RECORD.unpack(record))
        if not image or not function:
            raise PatchError(f"{self.path}: a record of {REPLACE_SECTION} names no image or no function")
        target = patch.symbols[relocation.symbol]
        section, offset = target.section, target.value + relocation.addend
        if section is None or section not in patch.sections or not patch.sections[section].executable:
            raise PatchError(f"{self.path}: the replacement of {function} is not a function of this object")
        symbol = _function_at(patch.symbols, section, offset)
        if symbol is None:
            raise PatchError(f"{self.path}: no function starts where the replacement of {function} should be")
        return Replacement(image, function, which, section, offset, symbol)


_VISIBILITY = {"STV_DEFAULT": 0, "STV_INTERNAL": 1, "STV_HIDDEN": 2, "STV_PROTECTED": 3}


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.split(b"\0", 1)[0].decode("ascii")
    except UnicodeDecodeError as error:
        raise PatchError(f"{path}: a name in {REPLACE_SECTION} is not ASCII") from error


def _function_at(symbols: tuple[ObjectSymbol, ...], section: int, offset: int) -> ObjectSymbol | None:
    named = (s for s in symbols if s.section == section and s.value == offset and s.name and not s.name.startswith("."))
    return next(named, None)
