"""Which records others need: a part of a patch calls what is new in another part, in that one's payload.

A record has the serials of those that it needs. What is needed is not reverted as long as the other is in force, and
its memory is not given back as long as the other one's is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from oddtoc.errors import StateError, SymbolError
from oddtoc.link.fresh import Fresh, fresh_name, needed_parts
from oddtoc.link.object import PatchObject
from oddtoc.live.journal import Journal, PatchStatus
from oddtoc.live.record import Record
from oddtoc.live.store import JournalEntry


@dataclass(frozen=True)
class Needs:
    """What a part uses of others.

    Attributes:
        serials: of their records.
        places: undefined symbol of the part -> what it stands for.
    """

    serials: tuple[int, ...] = ()
    places: Mapping[str, Fresh] = field(default_factory=dict)

    def and_of(self, record: Record) -> Needs:
        """These, and another record."""
        return replace(self, serials=(*self.serials, record.serial))

    def resolve(self, symbol: str) -> Fresh:
        """What an undefined symbol stands for.

        Raises:
            SymbolError: the other part does not have it.
        """
        if symbol not in self.places:
            raise SymbolError(f"{symbol} is not among what the other part of the patch has for it")
        return self.places[symbol]


def needs_of(journal: Journal, patch: PatchObject, beside: Sequence[Record] = ()) -> Needs:
    """What a part of a patch uses of parts that are in force, or come in the same stop.

    Args:
        journal: what is applied.
        patch: the part.
        beside: records of what comes in the same stop.

    Raises:
        StateError: a part that it uses is not there, or one of another patch of that name.
        PatchError: the patch is malformed.
    """
    serials: list[int] = []
    places: dict[str, Fresh] = {}
    for image, part in needed_parts(patch).items():
        records = [status.record for status in journal.patches if status.present and status.is_whole]
        wanted = part.name, hashlib.sha256(part.content).hexdigest()
        found = [record for record in (*records, *beside) if (record.name, record.sha256) == wanted]
        if not found:
            first = (patch.first or patch).name
            raise StateError(
                f"{patch.name} can't be applied before {part.name}, as it uses what is new in that",
                advice=f"apply the whole patch {first}; what is applied by that name must be of the same file",
            )
        serials.append(found[-1].serial)
        for name, address, other in found[-1].fresh:
            places[fresh_name(name, image)] = Fresh(name, address, other)
    return Needs(tuple(serials), places)


def check_not_needed(journal: Journal, leaving: Iterable[PatchStatus]) -> None:
    """Whether patches can be taken back while the others stay.

    Args:
        journal: what is in force.
        leaving: what is to be taken back in one stop.

    Raises:
        StateError: another one uses what is new in one of them.
    """
    going = list(leaving)
    for status in journal.patches:
        if status.present and status not in going:
            for other in going:
                if other.record.serial in status.record.needs:
                    user, used = status.record.name, other.record.name
                    raise StateError(
                        f"{used} can't be reverted before {user}, which uses what is new in it",
                        advice=f"oddtoc revert {user} first",
                    )


def still_needed(entries: Iterable[JournalEntry], kept: Collection[int]) -> dict[int, Record]:
    """Serials of records that others need, directly or not, each with one of those.

    Args:
        entries: of the journal.
        kept: addresses of the entries that stay.
    """
    known = {entry.record.serial: entry.record for entry in entries}
    fresh = [entry.record for entry in entries if entry.address in kept]
    found: dict[int, Record] = {}
    while fresh:
        record = fresh.pop()
        for serial in record.needs:
            if serial in known and serial not in found:
                found[serial] = record
                fresh.append(known[serial])
    return found
