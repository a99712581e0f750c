"""Giving back the memory of reverted patches: payloads are zeroed, records leave the journal.

Three conditions, all of them: the patch is reverted, so that nobody enters its payload any more; nobody stands in it
or will return into it; and no pointer to it can be left anywhere. The last is told from the object when it is applied
(`oddtoc.link.escape`) and stands in the record.

Every step is a write after which a killed run can be followed by another: the payload is zeroed, then the entry is
free, then free entries are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from oddtoc.errors import OddtocError
from oddtoc.live.journal import Journal
from oddtoc.live.needs import still_needed
from oddtoc.live.record import ISLANDS, Record
from oddtoc.live.store import JournalEntry, State, Write, state_write
from oddtoc.places import Span

Look = Callable[[Sequence[Span]], OddtocError | None]
"""Says who stands in one of some spans, or will return into one; None if nobody does."""

_FOREIGN = "its record names memory that is not its own"


@dataclass(frozen=True)
class Collection:
    """What can be given back.

    Attributes:
        free: entries of reverted patches whose memory nobody can need.
        kept: (record, reason) of the reverted patches that keep theirs.
    """

    free: tuple[JournalEntry, ...]
    kept: tuple[tuple[Record, str], ...]

    @property
    def size(self) -> int:
        """Bytes that payloads and records give back."""
        return sum(entry.capacity + sum(span.size for span in _spans(entry)) for entry in self.free)

    def staying(self, journal: Journal) -> list[Span]:
        """The memory of all records that are not given back."""
        free = {entry.address for entry in self.free}
        return [span for entry in journal.contents.entries if entry.address not in free for span in _spans(entry)]

    @property
    def writes(self) -> list[Write]:
        """What gives it back, in the order of writing."""
        writes = []
        for entry in self.free:
            writes += [(span.start, bytes(span.size)) for span in _spans(entry)]
            writes.append(state_write(entry.address, State.FREE))
        return writes


def collect(journal: Journal, rooms: Sequence[Span], look: Look, *, temporary_only: bool = False) -> Collection:
    """Decide what can be given back. Nothing is written.

    Args:
        journal: of the target, its states settled.
        rooms: where payloads may be.
        look: asks the target.
        temporary_only: leave patches as they are.
    """
    free: list[JournalEntry] = []
    kept: list[tuple[Record, str]] = []
    reverted = [
        _lost(entry, journal)
        for entry in journal.contents.entries
        if entry.state is State.REVERTED and (entry.record.temporary or not temporary_only)
    ]
    for entry in reverted:
        reason = _FOREIGN if _is_foreign(entry, journal, rooms) else entry.record.pinned
        if reason:
            kept.append((entry.record, reason))
        else:
            free.append(entry)
    for entry, obstacle in _in_use(free, look):
        free.remove(entry)
        kept.append((entry.record, f"it is still in use: {obstacle.message}"))
    entries = journal.contents.entries
    needed = still_needed(entries, {entry.address for entry in entries} - {entry.address for entry in free})
    for entry in [entry for entry in free if entry.record.serial in needed]:
        free.remove(entry)
        kept.append((entry.record, f"{needed[entry.record.serial].name} uses what is new in it"))
    return Collection(tuple(free), tuple(kept))


def _in_use(entries: Sequence[JournalEntry], look: Look) -> list[tuple[JournalEntry, OddtocError]]:
    """Those that somebody is in. Nobody comes in any more: what is empty stays so."""
    if not entries or look([span for entry in entries for span in _spans(entry)]) is None:
        return []
    found = ((entry, look(_spans(entry))) for entry in entries)
    return [(entry, obstacle) for entry, obstacle in found if obstacle is not None]


def _spans(entry: JournalEntry) -> list[Span]:
    return [span for span in entry.record.spans.values() if span.size > 0]


def _lost(entry: JournalEntry, journal: Journal) -> JournalEntry:
    """An entry without islands in what was removed: they went with it, and the memory may be anybody's by now."""
    if ISLANDS not in entry.record.spans or not journal.is_gone(entry.record):
        return entry
    spans = {area: span for area, span in entry.record.spans.items() if area != ISLANDS}
    return replace(entry, record=replace(entry.record, spans=spans))


def _is_foreign(entry: JournalEntry, journal: Journal, rooms: Sequence[Span]) -> bool:
    """Whether a record claims memory outside of the rooms, or memory that another one claims, too."""
    spans = _spans(entry)
    others = [span for other in journal.contents.entries if other.address != entry.address for span in _spans(other)]
    outside = any(not any(r.start <= span.start and span.end <= r.end for r in rooms) for span in spans)
    return outside or any(span.start < other.end and other.start < span.end for span in spans for other in others)
