"""The journal in a target's memory: what is written is read back, and damage is a typed error."""

import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddtoc.errors import OddtocError, RecordError, RoomError
from oddtoc.live.record import Change, FunctionRecord, Record
from oddtoc.live.store import HEADER, MAGIC, Contents, State, entry_bytes, read_journal
from oddtoc.places import Span

START = 0xC000000001141000
ROOM = Span(START, START + (256 << 10))


def record(name="cmdline", functions=1):
    change = Change(START - 64, 0x38422C40, 0x38422C41, "mark")
    branch = Change(START - 48, 0x60000000, 0x48001234, "branch")
    one = FunctionRecord("cmdline_proc_show", "guarded/slot", START - 68, START - 48, START + 4096, (change, branch))
    return Record(name, "ab" * 32, 1_790_000_000, (one,) * functions, {"text": Span(START + 4096, START + 5000)})


def reader(memory):
    def read(address, size):
        offset = address - START
        assert offset >= 0 and offset + size <= ROOM.size
        return bytes(memory[offset : offset + size]).ljust(size, b"\0")

    return read


def test_entries_are_read_back_in_order():
    first, second = record("one"), record("two", functions=300)
    memory = entry_bytes(first, State.APPLIED) + entry_bytes(second, State.INTENT)
    contents = read_journal(ROOM, reader(memory))
    entries = contents.entries
    assert [(e.state, e.record) for e in entries] == [(State.APPLIED, first), (State.INTENT, second)]
    assert entries[1].address == START + entries[0].capacity
    assert contents.end == START + len(memory)


def test_an_empty_journal_has_no_entries():
    assert read_journal(ROOM, reader(b"")) == Contents((), (), START)


def test_a_record_too_long_for_the_journal_is_refused():
    with pytest.raises(RoomError):
        entry_bytes(record(functions=2000), State.INTENT)


def test_somebody_elses_bytes_are_no_journal():
    with pytest.raises(RecordError, match="did not write"):
        read_journal(ROOM, reader(b"\x7fELF" + bytes(60)))


@pytest.mark.parametrize("field, value", [(1, 9), (2, 100), (2, 1 << 31), (3, 1 << 30), (4, 0)])
def test_a_damaged_header_is_a_typed_error(field, value):
    memory = bytearray(entry_bytes(record(), State.APPLIED))
    header = list(HEADER.unpack_from(memory))
    header[field] = value
    HEADER.pack_into(memory, 0, *header)
    with pytest.raises(RecordError):
        read_journal(ROOM, reader(memory))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 700), st.binary(min_size=1, max_size=8))
def test_mutated_entries_give_typed_errors_or_the_same_record(offset, replacement):
    memory = bytearray(entry_bytes(record(), State.APPLIED))
    offset = min(offset, len(memory) - len(replacement))
    memory[offset : offset + len(replacement)] = replacement
    try:
        entries = read_journal(ROOM, reader(memory)).entries
    except OddtocError:
        return
    assert all(entry.record == record() for entry in entries)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "sha256", "time", "functions", "spans", "changes", "entry", "x"]),
            inner,
            max_size=7,
        )
    ),
)


@settings(max_examples=300, deadline=None)
@given(_json)
def test_any_body_with_a_right_checksum_is_a_record_or_a_typed_error(plain):
    body = json.dumps(plain).encode()
    capacity = -(-(HEADER.size + len(body)) // 128) * 128
    memory = HEADER.pack(MAGIC, State.APPLIED, capacity, len(body), zlib.crc32(body)) + body
    with pytest.raises(OddtocError):
        read_journal(ROOM, reader(memory))


def test_the_header_is_what_the_documentation_says():
    magic, state, capacity, length, crc, rest = struct.unpack("<8sIIII8s", entry_bytes(record(), State.INTENT)[:32])
    assert (magic, state, capacity % 128, rest) == (b"oddtoc\x02\n", 1, 0, bytes(8))
    assert length and crc
