"""What a patch object consists of: its sections, symbols and relocations, and what replaces what."""

from __future__ import annotations

from dataclasses import dataclass

_WRITE, _ALLOC, _EXECUTE = 1, 2, 4


@dataclass(frozen=True)
class Relocation:
    """One entry of a RELA section: where (bytes into the section), what type, which symbol (index), which addend."""

    offset: int
    type: int
    symbol: int
    addend: int


@dataclass(frozen=True)
class ObjectSymbol:
    """A symbol of the object. `section` is an index, None for an undefined or absolute symbol."""

    name: str
    section: int | None
    value: int
    other: int
    defined: bool
    weak: bool

    @property
    def local_offset(self) -> int:
        """Bytes from the global to the local entry point (ELFv2 ABI 3.4.1, st_other bits 5 to 7)."""
        code = self.other >> 5
        return 0 if code < 2 else 1 << code

    @property
    def keeps_toc(self) -> bool:
        """False for a function that may come back with any r2 (st_other bits 5 to 7 hold 1)."""
        return self.other >> 5 != 1


@dataclass(frozen=True)
class Section:
    """A section that will be loaded, or one of oddtoc's own. `data` is zeros for a NOBITS section."""

    index: int
    name: str
    flags: int
    alignment: int
    data: bytes
    relocations: tuple[Relocation, ...]

    @property
    def loaded(self) -> bool:
        """Whether it becomes part of the payload."""
        return bool(self.flags & _ALLOC) and not self.name.startswith((".oddtoc.", ".eh_frame", ".note", ".comment"))

    @property
    def executable(self) -> bool:
        """Whether it holds instructions."""
        return bool(self.flags & _EXECUTE)

    @property
    def writable(self) -> bool:
        """Whether the replacement writes to it; `.toc` and relocated constants are only written by link."""
        return bool(self.flags & _WRITE) and not self.name.startswith((".toc", ".data.rel.ro", ".rodata"))


@dataclass(frozen=True)
class Replacement:
    """What replaces what.

    Attributes:
        image: the name of the patched object, `vmlinux` or a module or a library.
        function: the function to be replaced.
        which: file, address or version that tells functions of the same name apart; empty where the name is unique.
        section, offset: where the new function's global entry is in this object, bytes into the section.
        symbol: the new function's symbol.
    """

    image: str
    function: str
    which: str
    section: int
    offset: int
    symbol: ObjectSymbol
