"""Batches: the images that one process scans together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from oddtoc.scan.sources import Candidate, Failure, Source

Unit = Source | Candidate | Failure
"""Something to be scanned, or that failed before it came to that."""


class Size(NamedTuple):
    """How much is a batch: at most so many images, and no more once it has so many bytes."""

    images: int
    bytes: int


SMALL: Final = Size(16, 2 << 20)
"""So that no process has nothing to do while another one has several batches left."""
LARGE: Final = Size(64, 8 << 20)
"""For the parts of a data set, and for clusters, where every batch costs its scheduler some milliseconds."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some images.

    Args:
        number: counted from 0 in the order of the sources.
        key: a digest of what is in it: another one if a file is another one.
        units: what is in it.
    """

    number: int
    key: str
    units: tuple[Unit, ...]

    def __hash__(self) -> int:
        return hash((self.number, self.key))

    @classmethod
    def of(cls, number: int, units: Sequence[Unit]) -> Batch:
        """Some units as a batch."""
        known = [(unit.name, unit.reason if isinstance(unit, Failure) else unit.stamp) for unit in units]
        return cls(number, hashlib.sha256(repr(known).encode()).hexdigest()[:32], tuple(units))


class Listed:
    """All sources, and how many images there are as far as is known: packages tell theirs one by one.

    Args:
        found: the sources.
        missing: names of files that are sent because not everybody has them; None when all are of this machine.
    """

    def __init__(self, found: Sequence[Source | Failure], missing: set[str] | None) -> None:
        self._found = found
        self._missing = missing
        self.known = len(found)

    def batches(self, size: Size) -> Iterator[Batch]:
        """All batches in order; a package that is opened where it is scanned is one of its own."""
        number, units, held = 0, list[Unit](), 0
        for unit in self._units():
            alone = isinstance(unit, Source) and unit.is_package
            if units and (alone or len(units) == size.images or held >= size.bytes):
                yield Batch.of(number, units)
                number, units, held = number + 1, [], 0
            units.append(unit)
            held += size.bytes if alone else _weight(unit)
        if units:
            yield Batch.of(number, units)

    def sendable(self, batch: Batch) -> Batch:
        """A batch with the bytes of what others do not see."""
        return replace(batch, units=tuple(self._sendable(unit) for unit in batch.units))

    def _units(self) -> Iterator[Unit]:
        for source in self._found:
            if isinstance(source, Source) and source.is_package and self._is_opened_here(source):
                for inside, candidate in enumerate(source.candidates()):
                    self.known += inside > 0
                    yield candidate
            else:
                yield source

    def _is_opened_here(self, source: Source) -> bool:
        return self._missing is None or source.name in self._missing

    def _sendable(self, unit: Unit) -> Unit:
        is_sent = isinstance(unit, Source) and self._missing is not None and unit.name in self._missing
        return unit.loaded() if is_sent and isinstance(unit, Source) else unit


def missing_here(found: Iterable[Source]) -> list[str]:
    """The names of files that this machine has not, or has in another version."""
    return [source.name for source in found if not source.is_here()]


def _weight(unit: Unit) -> int:
    """Bytes, as far as they are known."""
    if isinstance(unit, Candidate):
        return len(unit.data)
    size = unit.stamp[0] if isinstance(unit, Source) and unit.stamp else 0
    return size if isinstance(size, int) else 0
