"""Allocation in the room of a kernel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddtoc.errors import RoomError
from oddtoc.places import Span, allocate

ROOM = Span(0x10000, 0x20000)


def test_the_lowest_gap_is_taken():
    used = [Span(0x10000, 0x10080), Span(0x10200, 0x10280)]
    assert allocate(ROOM, used, 0x100) == 0x10080
    assert allocate(ROOM, used, 0x181) == 0x10280


def test_no_gap_is_an_error():
    with pytest.raises(RoomError, match="no room for 65537 bytes"):
        allocate(ROOM, [], 0x10001)


spans = st.tuples(st.integers(0xF000, 0x21000), st.integers(1, 0x3000)).map(lambda s: Span(s[0], s[0] + s[1]))


@given(st.lists(spans, max_size=12), st.integers(1, 0x4000))
def test_what_is_given_is_free_aligned_and_inside(used, size):
    try:
        place = allocate(ROOM, used, size)
    except RoomError:
        return
    assert place % 128 == 0 and place in ROOM and place + size <= ROOM.end
    assert all(place + size <= span.start or span.end <= place for span in used)
