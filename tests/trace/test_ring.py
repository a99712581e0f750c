"""The ring as a reader finds it: whole events, each once, and a count of those that it came too late for."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oddtoc.trace.calls import CallTree
from oddtoc.trace.layout import EVENT_SIZE, DataLayout, largest
from oddtoc.trace.reading import Event, Reader

DATA = DataLayout(0xC000000002718000, functions=3, ring_bits=4, slot_bits=None)
SIZE = 1 << 4


class Target:
    """Writes entries as the trampolines do: number, contents, number again."""

    def __init__(self):
        self.ring = bytearray(EVENT_SIZE * SIZE)
        self.head = 0

    def begin(self):
        number, self.head = self.head, self.head + 1
        place = number % SIZE * EVENT_SIZE
        first, last = (struct.unpack_from("<Q", self.ring, place + offset)[0] for offset in (0, 120))
        if first != last:
            return None
        struct.pack_into("<Qq", self.ring, place, number + 1, number % 3)
        struct.pack_into("<Q", self.ring, place + 16, 1000 + number)
        return number

    def end(self, number):
        struct.pack_into("<Q", self.ring, number % SIZE * EVENT_SIZE + 120, number + 1)

    def memory(self):
        return [bytes(self.ring), bytes(32 * 3), struct.pack("<QQQ", self.head, 0, 0).ljust(128, b"\0")]


@given(st.lists(st.sampled_from(["write", "begin", "end", "read"]), max_size=120))
def test_every_event_is_read_once_or_counted_as_lost(steps):
    target, reader = Target(), Reader(DATA)
    open_, seen, lost, silent = [], [], 0, 0
    for step in [*steps, "read"]:
        if step in ("write", "begin"):
            number = target.begin()
            silent += number is None
            if number is not None and step == "begin":
                open_.append(number)
            elif number is not None:
                target.end(number)
        elif step == "end" and open_:
            target.end(open_.pop(0))
        elif step == "read":
            reading = reader.make(target.memory())
            seen += [event.number for event in reading.events]
            assert all(event.ticks == 1000 + event.number for event in reading.events)
            lost = reading.lost
    assert len(seen) == len(set(seen))
    waiting = target.head - len(seen) - lost
    # what is neither read nor lost yet: begun and not ended, or left out because its place was being written
    assert 0 <= waiting <= len(open_) + silent


def test_the_data_is_as_large_as_the_room_allows():
    for functions, room in ((1, 40960), (300, 40960), (600, 40960), (3, 1 << 20)):
        data = largest(0x1000, room, functions, events=True, returns=True)
        spans = [data.header, data.ring, data.rows, data.slots]
        assert all(one.end == two.start for one, two in pairwise(spans))
        assert data.size <= room
        assert data.ring.size * 4 > room - data.rows.size - (16 << 10)
    assert largest(0x1000, 1 << 10, 100, events=True, returns=True) is None


def event(number, function, frame, is_return=False, thread=1, ticks=0):
    return Event(number, function, is_return, 0, thread, 0, frame, (0, ticks) if is_return else (0,) * 8, 0)


def test_calls_are_inside_of_those_that_have_not_returned_on_the_same_stack():
    tree = CallTree(lambda frame: frame & ~0xFFF)
    tree.add(
        [
            event(0, 0, 0x1900),
            event(1, 1, 0x1800),
            event(2, 2, 0x2700),  # an interrupt, on another stack
            event(3, 2, 0x2700, True, ticks=3),
            event(4, 1, 0x1800, True, ticks=10),
            event(5, 1, 0x1900),  # a sibling call of 0, from its caller's frame
            event(6, 1, 0x1900, True, ticks=5),
            event(7, 0, 0x1900, True, ticks=30),
            event(9, 1, 0x1700, True, ticks=99),  # behind a gap: its call was not seen
            event(10, 1, 0x1700),
            event(11, 1, 0x1700, True, ticks=2),
        ]
    )
    root = tree.root
    assert {index: (node.calls, node.ticks) for index, node in root.inner.items()} == {0: (1, 30), 2: (1, 3), 1: (1, 2)}
    assert (root.inner[0].inner[1].calls, root.inner[0].inner[1].ticks) == (2, 15)
    assert tree.calls == 5
