"""Who stands in code that changes, or will return into it.

All words of all stacks are looked at first: a thread none of whose words is an address in that code can't return into
it, however its stack is to be read. Only where one is, the stack is walked (see `stacks`), which tells the words that
count from those that earlier calls have left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.isa import Addresses
from oddtoc.kernel.contexts import Context
from oddtoc.kernel.hidden import Hideouts, holds_any, kept_by_tracers
from oddtoc.kernel.offsets import Hidden, ReadMany
from oddtoc.kernel.pagetable import PageTables
from oddtoc.kernel.stacks import Walker
from oddtoc.kernel.tasks import Task
from oddtoc.places import Zone, Zones
from oddtoc.slots import ReturnSlots, kept_in_slots

_NOTHING: Addresses = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Standing:
    """A thread in the way.

    Attributes:
        task: whose it is.
        where: what it does, in words.
        address: the address in the zone at which it stands or to which it will return.
        zone: which one.
        returns: its return addresses, the innermost first, as far as its stack could be walked.
    """

    task: Task
    where: str
    address: int
    zone: Zone
    returns: tuple[int, ...]


class Lookout:
    """Finds threads in the way, in one kernel.

    Args:
        image: the kernel's image.
        hidden: where tracers keep return addresses.
        hideouts: addresses that stand for others.
        slots: return addresses that traces keep.
    """

    def __init__(self, image: Image, hidden: Hidden, hideouts: Hideouts, slots: Sequence[ReturnSlots] = ()) -> None:
        self._slots = slots
        self._hidden = hidden
        self._hideouts = hideouts
        self._walker = Walker(image, hideouts)
        self._tables = PageTables(image)

    def standing(
        self, contexts: Sequence[Context], memory: Sequence[bytes], zones: Zones, read_many: ReadMany
    ) -> Iterator[Standing]:
        """The threads that are in the way, one after the other.

        Args:
            contexts: all threads.
            memory: of the stacks of all of them, in order.
            zones: the code that changes.
            read_many: reads more, in the same stop.

        Raises:
            FaultError, RecordError: what tracers keep of a thread can't be read.
        """
        remaining = iter(memory)
        stacks = [[np.frombuffer(next(remaining), "<u8") for _ in context.stacks] for context in contexts]
        for index in self._suspects(contexts, stacks, zones):
            context, words = contexts[index], stacks[index]
            kept = self._kept(context, words, read_many)
            walk = self._walker.walk(context, words, kept)
            walk.words |= kept_in_slots(walk.words, self._slots, read_many)
            counted = np.array(sorted(walk.words), np.uint64)
            found = counted[zones.holds(counted)]
            if len(found):
                address = next((a for a in walk.returns if a in found), int(found[0]))
                yield Standing(context.task, context.where, address, zones.at(address), tuple(walk.returns))

    def _suspects(self, contexts: Sequence[Context], stacks: Sequence[Sequence[Addresses]], zones: Zones) -> list[int]:
        """Which threads have any word at all that could matter."""
        parts, owners = [], []
        for index, context in enumerate(contexts):
            pieces = [*stacks[index], np.array(context.registers, np.uint64)]
            parts += pieces
            owners.append(np.full(sum(map(len, pieces)), index))
        if not parts:
            return []
        words, owner = np.concatenate(parts), np.concatenate(owners)
        hideouts = (*self._hideouts.trampolines, *self._hideouts.helpers)
        found: list[int] = np.unique(owner[zones.holds(words) | holds_any(words, hideouts)]).tolist()
        return found

    def _kept(self, context: Context, stacks: Sequence[Addresses], read_many: ReadMany) -> Addresses:
        words = np.concatenate([*stacks, np.array(context.registers, np.uint64)])
        if not holds_any(words, self._hideouts.trampolines).any():
            return _NOTHING
        return kept_by_tracers(context.task, self._hidden, self._tables.reader(read_many))
