"""A running process: the objects that are loaded in it, its journal, and room near each object."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cached_property

from oddtoc.errors import FaultError, ImageError, MismatchError, PatchError, SymbolError, TargetError
from oddtoc.places import Span
from oddtoc.process.call import find_call, map_area
from oddtoc.process.files import fetch, fetch_debug
from oddtoc.process.maps import Mapping, base_name, parse_maps
from oddtoc.process.object import LoadedObject
from oddtoc.process.room import Area, find_areas, plan_area
from oddtoc.target.pause import uninterrupted
from oddtoc.target.process import ProcessTarget

_AT_PHDR = 3
_MAGIC = b"\x7fELF"
_LIBC = "libc.so.6"
_READ_AND_RUN = "r-xp"
_ASKED = "_dl_find_object"
_RAISES = "_Unwind_RaiseException"
_UNWINDERS = ("libgcc_s.so", "libunwind", "libc++abi")


class RunningProcess:
    """What is asked of a process, and the memory that is made in it.

    Args:
        target: the process.
    """

    def __init__(self, target: ProcessTarget) -> None:
        self._target = target
        self._loaded: dict[str, LoadedObject] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look at its mappings again."""
        self.mappings = parse_maps(self._target.read_file(f"/proc/{self._target.pid}/maps").decode(errors="replace"))
        self.__dict__.pop("_objects", None)
        self._loaded = {path: one for path, one in self._loaded.items() if self._path_at(one.start) == path}

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory; zeros where room is promised and not mapped yet."""
        promised = [area.span for area in self._areas if not area.exists]
        real = [(a, size) for a, size in requests if not any(a in span for span in promised)]
        answers = iter(self._target.read_many(real) if real else [])
        return [bytes(size) if any(a in span for span in promised) else next(answers) for a, size in requests]

    @cached_property
    def _areas(self) -> list[Area]:
        return find_areas(self.mappings, self._target.read_many)

    @property
    def journal(self) -> Span:
        """The room for records: where it is, or where it will be."""
        return self._area(0, self._code_of(self.paths[0])).journal

    @property
    def payloads(self) -> tuple[Span, ...]:
        """The room for payloads that there is, islands behind the text of objects included."""
        arenas = (area.span for area in self._areas if area.owner)
        return (*arenas, *(span for one in self._far_from_arenas() for span in one.padding))

    def _far_from_arenas(self) -> Iterator[LoadedObject]:
        """Objects that have islands, if they are patched."""
        for area in self._areas:
            path = self._path_at(area.owner) if area.owner else ""
            if path in self.paths and not area.reaches(self._code_of(path)):
                yield self.object_of(path)

    def code_mappings(self, start: int) -> list[Mapping]:
        """The mappings of the object at an address that code runs in and nothing is written to."""
        path = self._path_at(start)
        return [m for m in self.mappings if m.path == path and m.permissions == _READ_AND_RUN]

    @property
    def paths(self) -> list[str]:
        """The files of all loaded objects: the program first, then libraries in about the order of their loading."""
        files = dict.fromkeys(m.path for m in self.mappings if m.path.startswith("/") and m.is_executable)
        return sorted(files, key=lambda path: (path != self._program, -self._code_of(path).start))

    @property
    def program(self) -> str:
        """The base name of what was executed."""
        return base_name(self._program)

    @cached_property
    def _program(self) -> str:
        """The path of what was executed: ELF auxiliary vector, AT_PHDR, points into it."""
        vector = self._target.read_file(f"/proc/{self._target.pid}/auxv")
        pairs = dict(struct.iter_unpack("<QQ", vector[: len(vector) // 16 * 16]))
        return self._path_at(pairs.get(_AT_PHDR, 0))

    def _path_at(self, address: int) -> str:
        return next((mapping.path for mapping in self.mappings if address in mapping.span), "")

    @cached_property
    def asked_for_frames(self) -> LoadedObject | None:
        """The C library, or a static program, if it has the function that unwinders ask."""
        path = next((path for path in self.paths if _is_called(path, _LIBC)), self._program)
        try:
            asked = self.object_of(path)
        except (ImageError, MismatchError, SymbolError):
            return None
        return asked if any(table.find(_ASKED) for table in asked.tables) else None

    @property
    def unwinder(self) -> str | None:
        """The name of a library that unwinds stacks, or of a program that has an unwinder in it; None without one."""
        names = (base_name(path) for path in self.paths)
        return next((name for name in names if name.startswith(_UNWINDERS)), self._unwinds_itself)

    @cached_property
    def _unwinds_itself(self) -> str | None:
        """The program's name, if an unwinder was linked into it (the Itanium C++ ABI's, in a static program)."""
        try:
            program = self.object_of(self._program)
        except (ImageError, MismatchError, SymbolError):
            return None
        found = [symbol.address for table in program.tables for symbol in table.find(_RAISES)]
        return program.name if any(address in program.code for address in found) else None

    def place(self, address: int) -> str:
        """An address in words, by the symbols of the objects that are known already."""
        for one in self._loaded.values():
            if address in one.code and (symbol := one.at(address)) is not None:
                return f"{symbol.name}+{address - symbol.address:#x}"
        return f"{address:#x}"

    def is_code(self, address: int, *, besides: str) -> bool:
        """Whether an address is in the code of an object other than the one of that name."""
        return any(
            mapping.is_executable and address in mapping.span and base_name(mapping.path) != besides
            for mapping in self.mappings
        )

    def subject(self, names: Sequence[str]) -> LoadedObject:
        """The object that a patch changes.

        Args:
            names: that it has there: base names of files, as in ``libz.so.1``; more version numbers may follow.

        Raises:
            PatchError: there is no such object, or there are several.
        """
        if len(set(names)) > 1:
            raise PatchError(f"the patch changes {' and '.join(sorted(set(names)))}", advice="make a patch for each")
        name = names[0]
        found = [path for path in self.paths if _is_called(path, name)]
        if len(found) != 1:
            loaded = ", ".join(base_name(path) for path in self.paths)
            raise PatchError(
                f"{name} is loaded {len(found)} times in process {self._target.pid}", advice=f"there is {loaded}"
            )
        return self.object_of(found[0])

    def subject_at(self, address: int) -> LoadedObject:
        """The object around an address.

        Raises:
            PatchError: there is none any more.
        """
        for path in self.paths:
            if address in self._code_of(path):
                return self.object_of(path)
        raise PatchError(f"no object is loaded at {address:#x} any more", address=address)

    def object_of(self, path: str) -> LoadedObject:
        """One loaded object.

        Raises:
            ImageError: its file can't be used.
            MismatchError: its file is not what was loaded.
        """
        if path not in self._loaded:
            first = self._first(path)
            file = fetch(self._target, first)
            image = file.moved(first.span.start - _linked_at(file.loads))
            debug = fetch_debug(self._target, image.build_id) if image.build_id and not image.has_all_symbols else None
            symbols = debug.moved(image.shift).symbols if debug else None
            self._loaded[path] = LoadedObject(base_name(path), image, symbols, self)
            self._loaded[path].check_identity()
        return self._loaded[path]

    @property
    def loaded(self) -> list[LoadedObject]:
        """All objects, in the order of `paths`."""
        return [self.object_of(path) for path in self._objects]

    @cached_property
    def _objects(self) -> list[str]:
        """`paths` without files that hold code and are no objects: those of compilers that work at run time."""
        paths = self.paths
        starts = {m.path: m.span.start for m in reversed(self.mappings) if m.path in paths and m.offset == 0}
        words = self._target.read_many([(start, len(_MAGIC)) for start in starts.values()])
        elf = {path for path, word in zip(starts, words, strict=True) if word == _MAGIC}
        return [path for path in paths if path in elf]

    def arena(self, subject: LoadedObject) -> Area:
        """The arena of an object: where it is, or where it will be.

        Raises:
            RoomError: there is no place for one.
        """
        return self._area(subject.start, subject.code)

    def is_here(self, module: str, address: int) -> bool:
        """Whether an object is still loaded at an address (see `Running`): a library may have been closed."""
        del module
        if address:
            self.refresh()
        return not address or self._path_at(address).startswith("/")

    def make_room(self, subject: object) -> None:
        """Map what is promised and not there yet: the journal, and the arena of an object.

        Raises:
            RoomError: the kernel refuses, or something else is there by now.
            TargetError: the process must not be made to call anything.
        """
        assert isinstance(subject, LoadedObject)
        arenas = [self.arena(one) for one in (subject, self.asked_for_frames) if one is not None]
        wanted = [self._area(0, self._code_of(self.paths[0])), *arenas]
        missing = [area for area in dict.fromkeys(wanted) if not area.exists]
        if not missing:
            return
        self._check_unfiltered()
        call = find_call(self.mappings, self._target.read_many)
        with uninterrupted():
            for area in missing:
                map_area(area, self._target, call)
                self._areas[self._areas.index(area)] = Area(area.start, area.owner, exists=True)
        self.refresh()

    def _area(self, owner: int, around: Span) -> Area:
        for area in self._areas:
            if area.owner == owner:
                return area
        planned = plan_area(self.mappings, around, owner, [area.span for area in self._areas])
        self._areas.append(planned)
        return planned

    def _check_unfiltered(self) -> None:
        status = self._target.read_file(f"/proc/{self._target.pid}/status").decode(errors="replace")
        fields = dict(line.partition(":")[::2] for line in status.splitlines())
        if fields.get("Seccomp", "0").strip() != "0":
            raise TargetError(
                f"process {self._target.pid} has a seccomp filter, which may end it for the mmap that room takes",
                advice="patch it before it sets its filter: from then on it has the room",
            )

    def _first(self, path: str) -> Mapping:
        for mapping in self.mappings:
            if mapping.path == path and mapping.offset == 0:
                return mapping
        raise FaultError(f"the start of {path} is not mapped", address=0, size=0)

    def _code_of(self, path: str) -> Span:
        """The addresses of an object's executable mappings."""
        spans = [m.span for m in self.mappings if m.path == path and m.is_executable]
        return Span(min(span.start for span in spans), max(span.end for span in spans))


def _is_called(path: str, name: str) -> bool:
    base = base_name(path)
    return base == name or base.startswith(f"{name}.")


def _linked_at(loads: Sequence[tuple[int, int]]) -> int:
    """The address that the first byte of a file is linked for, from (address, offset) of what is loaded."""
    if not loads:
        raise SymbolError("nothing of it is loaded")
    address, offset = loads[0]
    return address - offset
