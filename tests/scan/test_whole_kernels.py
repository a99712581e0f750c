"""Every function, jump and obstacle of whole kernels, against the code that looks at one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from oddtoc.errors import NoSiteError
from oddtoc.image.entry import Entry, TocSetup
from oddtoc.image.flow import Flow, flow_of
from oddtoc.kernel.place import branch_place
from oddtoc.kernel.room import rooms

from .conftest import Scanned

SETUPS = {
    TocSetup.PAIR: "pair",
    TocSetup.ABSOLUTE: "absolute",
    TocSetup.LOADED: "loaded",
    TocSetup.NONE: "none",
    TocSetup.PCREL: "pcrel",
}
REASONS = {
    "has no ftrace site": "no site",
    "is outside of the function": "too short",
    "is jumped to from inside": "loop",
    "may be in the function's jump table": "jump table",
    "is a jump label": "jump label",
}
EVERY = 8
"""Looking for one function's jump tables takes a while: that many are left out for each that is looked at."""


@pytest.fixture(scope="module")
def entries(scanned: Scanned) -> list[Entry]:
    table = scanned.image.symbols
    return [scanned.image.entry(table.symbol(index)) for index in table.functions().indices.tolist()]


def test_every_entry_is_the_one_that_is_read_alone(scanned: Scanned, entries):
    functions = scanned.scan.functions
    assert len(functions) == len(entries) > 38_000
    columns = ("function", "address", "local", "size", "toc_setup", "mark", "site", "branch")
    ours = zip(*(functions.plain(name) for name in columns), strict=True)
    for row, entry in zip(ours, entries, strict=True):
        assert row == (
            entry.function,
            entry.global_entry or None,
            entry.local_entry - entry.global_entry,
            entry.size,
            SETUPS[entry.toc_setup],
            entry.mark,
            entry.site,
            entry.behind,
        )


def test_every_obstacle_is_what_apply_would_say(scanned: Scanned, entries):
    """Functions that are freed after boot aside: apply sees those in the running kernel."""
    functions = scanned.scan.functions
    table, flow = scanned.image.symbols, flow_of(scanned.image)
    seen = set()
    with_tables = 0
    for index, entry, section, ours in zip(
        table.functions().indices.tolist(),
        entries,
        functions.plain("section"),
        functions.plain("obstacle"),
        strict=True,
    ):
        symbol = table.symbol(index)
        if section.startswith((".init", ".exit")):
            assert ours == "init"
            continue
        if ours in ("none", "jump label") and flow.has_jump_table(symbol):
            with_tables += 1
            if with_tables % EVERY:
                continue
        seen.add(ours)
        assert ours == reason_of(scanned, symbol, entry), entry.function
    assert with_tables > 200
    assert {"none", "no site", "loop", "jump table", "jump label"} <= seen


def reason_of(scanned: Scanned, symbol, entry: Entry) -> str:
    try:
        branch_place(scanned.image, symbol, entry)
    except NoSiteError as error:
        return next(ours for words, ours in REASONS.items() if words in error.message)
    return "none"


def test_every_sibling_call_is_the_one_that_flow_finds(scanned: Scanned):
    theirs = {
        (source, target, local)
        for source, target, local in zip(*(c.tolist() for c in Flow(scanned.image).sibling_calls()), strict=True)
    }
    jumps = scanned.scan.jumps
    rows = zip(*(jumps.plain(name) for name in ("address", "target", "to")), strict=True)
    assert {(source, target, to == "local") for source, target, to in rows if to in ("local", "global")} == theirs
    figures = scanned.scan.figures
    assert figures["to_local"] + figures["to_global"] == len(theirs)
    assert figures["sibling_b"] + figures["sibling_bc"] == len(theirs) + figures["to_middle"]


def test_every_indirect_call_is_the_one_that_flow_finds(scanned: Scanned):
    flow = Flow(scanned.image)
    calls, jumps, figures = flow.indirect_calls(), scanned.scan.jumps, scanned.scan.figures
    kinds = jumps.labels("kind")
    without = jumps.where(kinds.is_word("bctrl")).numbers("address")
    assert sorted(without.tolist()) == sorted(calls.addresses[~calls.reloads_toc].tolist())
    assert figures["indirect_calls"] == len(calls.addresses)
    assert figures["without_reload"] == len(without)
    ours = set(jumps.where(kinds.is_word("bctr")).plain("address"))
    plain = set(flow.indirect_jumps().tolist())
    assert plain <= ours and len(ours) == figures["sibling_bctr"] + figures["jump_tables"] + figures["stubs"]
    # bnectr and the like, which is how 7.2's ftrace_regs_caller goes on in a live patch
    assert all(scanned.image.word(place) & 0xFC0007FF == 0x4C000420 for place in ours - plain)
    assert len(ours - plain) <= 2


def test_functions_have_the_jumps_that_are_in_them(scanned: Scanned):
    functions, jumps = scanned.scan.functions, scanned.scan.jumps
    table = scanned.image.symbols
    direct = jumps.where(~np.isin(jumps.numbers("target"), [0]))
    owners = table.start_of(table.owners(direct.numbers("address")))
    callees = table.start_of(table.owners(direct.numbers("target")))
    addresses = functions.numbers("address")
    for column, starts in (("siblings_out", owners), ("siblings_in", callees)):
        found, counts = np.unique(starts, return_counts=True)
        expected = dict(zip(found.tolist(), counts.tolist(), strict=True))
        ours = zip(addresses.tolist(), functions.plain(column), strict=True)
        assert all(expected.get(address, 0) == count for address, count in ours)


def test_room_is_where_payloads_go(scanned: Scanned):
    room = scanned.scan.room
    found = {use: (start, end) for use, start, end in zip(*map(room.plain, ("use", "start", "end")), strict=True)}
    expected = rooms(scanned.image)
    assert found["text"] == (expected.journal.start, expected.text.end)
    assert found["data"] == (expected.common.start, expected.data.end)
    owners = scanned.image.symbols.owners
    for row in room.rows():
        if row["use"] == "hole":
            words = scanned.image.words(row["start"], row["size"] // 4)
            assert row["size"] >= 64 and set(words.tolist()) <= {0, 0x60000000, 0x7FE00008}
            assert set(owners(np.arange(row["start"], row["end"], 4, dtype=np.uint64)).tolist()) == {-1}
