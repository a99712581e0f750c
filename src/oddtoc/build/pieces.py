"""What a fix makes of the kernel proper, or of one module; and what one of these uses that is new in another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from oddtoc.build.data import write_in_place
from oddtoc.build.extract import Extractor
from oddtoc.build.objectfile import NewSymbol, ObjectFile
from oddtoc.build.records import has_records, take_records
from oddtoc.build.refusal import Refusal
from oddtoc.build.subjects import Proper
from oddtoc.build.unitfix import UnitFix
from oddtoc.kernel.spot import KERNEL_PROPER, Spot
from oddtoc.link.decode import ADDR64
from oddtoc.link.fresh import FRESH_SECTION, fresh_name
from oddtoc.link.object import KERNEL, KERNEL_SECTION, REPLACE_SECTION

_RECORD_SIZE, _FUNCTION, _WHICH, _POINTER = 264, 64, 192, 256


class Piece:
    """What becomes one part of a patch.

    Args:
        subject: what it changes.
        units: its files; one that has changed nothing may have a new function for another.

    Attributes:
        target: the object that everything goes into.
        extractors: of the files.
        uses: the other pieces that it uses something new of.
    """

    def __init__(self, subject: Proper, units: Sequence[UnitFix]) -> None:
        self.subject = subject
        self.target = ObjectFile()
        self.extractors = [Extractor(unit.file, unit.new, unit.comparison, unit.names, self.target) for unit in units]
        self.uses: list[Piece] = []
        self._shared: dict[str, NewSymbol] = {}
        for extractor in self.extractors:
            extractor.others = [other for other in self.extractors if other is not extractor]

    def start(self, others: Sequence[Piece], write_data: Collection[str]) -> None:
        """Move all changed functions.

        Args:
            others: the other pieces of the fix.
            write_data: variables to be written in place.
        """
        for extractor in self.extractors:
            extractor.elsewhere = lambda name: self._elsewhere(name, others)
            extractor.start()
            take_records(extractor)
            for name in extractor.comparison.changed_data:
                if name in write_data:
                    write_in_place(extractor, name, self.subject)

    def _elsewhere(self, name: str, others: Sequence[Piece]) -> NewSymbol | str | None:
        """What stands here for something new of another piece; in words why it can't be used; None if no piece has it.

        Two parts are two payloads, on two TOC pointers: what is new in one has its address when that is applied.
        """
        for other in others:
            if not any(extractor.has_global(name) for extractor in other.extractors):
                continue
            if not other.subject.stays_for(self.subject):
                return f"is new in {other.subject.name}, which {self.subject.name} does not rely on"
            symbol = other.share(name)
            if symbol is None or not other.has_functions:
                return f"is new in {other.subject.name}, and can't be used from outside of it"
            if other not in self.uses:
                self.uses.append(other)
            return self.target.outside(symbol)
        return None

    def share(self, name: str) -> str | None:
        """The undefined symbol that stands in other pieces for a function or variable of this one."""
        found = next((new for one in self.extractors if (new := one.bring(name)) is not None), None)
        if found is None or (found.section is None and not found.absolute):
            return None
        if found.absolute:
            return str(Spot(name, KERNEL_PROPER, found.value))
        self._shared[name] = found
        return fresh_name(name, self.subject.name)

    @property
    def has_functions(self) -> bool:
        """Whether it replaces any; the kernel proper's can do without (oddtoc.build.parts)."""
        return self.subject.name == KERNEL or any(extractor.comparison.changed for extractor in self.extractors)

    @property
    def has_anything(self) -> bool:
        """Whether there is anything to be applied."""
        return bool(self._functions() or self.written or self._shared or self._has_records)

    @property
    def _has_records(self) -> bool:
        return any(has_records(extractor.unit) for extractor in self.extractors)

    @property
    def written(self) -> list[str]:
        """The variables that are written in place."""
        return [name for extractor in self.extractors for name in extractor.found.written]

    @property
    def refusals(self) -> list[Refusal]:
        """What is in the way."""
        return [refusal for extractor in self.extractors for refusal in extractor.found.refusals]

    def finished(self) -> ObjectFile:
        """The object, with what replaces what, for which kernel or module, and what other parts may use."""
        records = self.target.shared(REPLACE_SECTION, 0, 8)
        for name, symbol, address in self._functions():
            record = bytearray(_RECORD_SIZE)
            texts = ((0, self.subject.name), (_FUNCTION, name), (_WHICH, self.subject.which(name, address)))
            for start, text in texts:
                record[start : start + len(text)] = text.encode()
            start = records.append(bytes(record), 8)
            records.relocations.append((start + _POINTER, ADDR64, symbol, 0))
        self.target.section(KERNEL_SECTION, 0, 1).append(self.subject.image.build_id or b"")
        if self._shared:
            shared = self.target.section(FRESH_SECTION, 0, 8)
            for symbol in self._shared.values():
                shared.relocations.append((shared.append(bytes(8), 8), ADDR64, symbol, 0))
        return self.target

    def _functions(self) -> list[tuple[str, NewSymbol, int]]:
        """Name, new function and old address of everything that is replaced."""
        found = [
            (name, symbol, extractor.names.function(name))
            for extractor in self.extractors
            for name, symbol in extractor.found.functions.items()
        ]
        return [(name, symbol, running.address) for name, symbol, running in found if running is not None]


def extract(pieces: Sequence[Piece], write_data: Collection[str]) -> None:
    """Move all that a fix changes into the objects of its pieces, with everything that this needs.

    Args:
        pieces: all of the fix.
        write_data: variables to be written in place.
    """
    for piece in pieces:
        piece.start([other for other in pieces if other is not piece], write_data)
    steps: list[Callable[[], bool]] = [extractor.go_on for piece in pieces for extractor in piece.extractors]
    while any([step() for step in steps]):
        pass


def in_order(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, each behind those that it uses; modules need each other in no circles."""
    ordered: list[Piece] = []
    for piece in pieces:
        ordered += [one for one in (*in_order(piece.uses), piece) if one not in ordered]
    return ordered
