"""The figures of whole kernels, counted again from what objdump and readelf print."""

from __future__ import annotations

import re
import subprocess
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

import pytest

from oddtoc.scan import ImageScan

from .conftest import PREFIX, Scanned

_WANTED = r"\s(b|bl|b[a-z]{1,5}[+-]?)\s|\sb[a-z]*ctrl?\s*$|\sb[a-z]*ctr[+-]?\s|ld      r2,24\(r1\)|^Disassembly"
_DIRECT = re.compile(r"(b\w*)([+-]?)\s+(?:[^ ]*,)?([0-9a-f]+) <")
_INDIRECT = re.compile(r"b\w*ctr[+-]?(?:\s|$)")
FACTS = {"6.1.0-50": {"siblings": 3631, "bctr": 706, "bctrl": 8520, "without": 5}}
"""Counted by hand for .text of Debian 6.1.176, before there was a scan."""


@dataclass
class Listing:
    """What stands in one section: jumps as (source, target), places of bctr, bctrl and TOC reloads."""

    jumps: list[tuple[int, int]] = field(default_factory=list)
    bctr: set[int] = field(default_factory=set)
    bctrl: set[int] = field(default_factory=set)
    reloads: set[int] = field(default_factory=set)


@pytest.fixture(scope="module")
def listings(scanned: Scanned) -> dict[str, Listing]:
    command = f"{PREFIX}objdump -d --no-show-raw-insn '{scanned.path}' | grep -E '{_WANTED}'"
    found: dict[str, Listing] = {}
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        current = Listing()
        for line in process.stdout:
            if line.startswith("Disassembly"):
                current = found[line.split()[-1].rstrip(":")] = Listing()
            else:
                add(current, *line.split("\t", 1))
    return found


def add(listing: Listing, place: str, text: str) -> None:
    address, text = int(place.strip(" :"), 16), text.strip()
    if text.startswith("ld "):
        listing.reloads.add(address)
    elif text.startswith("bctrl"):
        listing.bctrl.add(address)
    elif text.startswith("bcctr"):
        pass  # a form that is no branch: how kernels flush the count cache
    elif _INDIRECT.match(text):
        listing.bctr.add(address)
    elif (match := _DIRECT.match(text)) and not match[1].endswith("l"):
        listing.jumps.append((address, int(match[3], 16)))


@dataclass(frozen=True)
class Symbols:
    """Functions with a size as readelf prints them; entries of all functions."""

    starts: list[int]
    spans: list[tuple[int, int]]
    local_entries: set[int]
    global_entries: set[int]

    def owner(self, address: int) -> int | None:
        start, end = self.spans[bisect_right(self.starts, address) - 1]
        return start if start <= address < end else None


@pytest.fixture(scope="module")
def symbols(scanned: Scanned) -> Symbols:
    command = [f"{PREFIX}readelf", "-sW", scanned.path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^ *\d+: ([0-9a-f]+) +(\w+) FUNC +\w+ +\w+ +(?:\[<localentry>: (\d+)\])? +(\d+) ", text, re.M)
    values = [(int(value, 16), int(size, 0), int(local or 0)) for value, size, local, _ in rows]
    spans = sorted({(value, value + size) for value, size, _ in values if size})
    return Symbols(
        [start for start, _ in spans],
        spans,
        {value + local for value, _, local in values if local},
        {value for value, _, _ in values},
    )


def ours(scan: ImageScan, section: str) -> Counter[str]:
    jumps = scan.jumps
    return Counter(
        f"{kind} {to}"
        for kind, to, where in zip(*map(jumps.plain, ("kind", "to", "section")), strict=True)
        if where == section
    )


def test_indirect_branches(scanned: Scanned, listings):
    figures = scanned.scan.figures
    assert figures["indirect_calls"] == sum(len(listing.bctrl) for listing in listings.values())
    for section, listing in listings.items():
        found = ours(scanned.scan, section)
        assert sum(found[f"bctr {to}"] for to in ("pointer", "table", "stub")) == len(listing.bctr), section
        without = {place for place in listing.bctrl if place + 4 not in listing.reloads}
        assert found["bctrl pointer"] == len(without)
    text = listings[".text"]
    for release, facts in FACTS.items():
        if release in scanned.path.name:
            without = [place for place in text.bctrl if place + 4 not in text.reloads]
            assert (len(text.bctr), len(text.bctrl), len(without)) == (facts["bctr"], facts["bctrl"], facts["without"])


def test_jumps_out_of_functions(scanned: Scanned, listings, symbols: Symbols):
    """Out of those with a size: where another one ends is a matter of taste."""
    expected = set()
    for listing in listings.values():
        for source, target in listing.jumps:
            owner, callee = symbols.owner(source), symbols.owner(target)
            if owner is None or callee == owner:
                continue
            if target in symbols.local_entries:
                expected.add((source, target, "local"))
            elif target in symbols.global_entries:
                expected.add((source, target, "global"))
            elif callee is not None:
                expected.add((source, target, "middle"))
    jumps = scanned.scan.jumps
    rows = set(zip(*map(jumps.plain, ("address", "target", "to")), strict=True))
    sized = {row for row in rows if row[1] and symbols.owner(row[0]) is not None}
    assert {row for row in sized if row[2] != "middle" or symbols.owner(row[1]) is not None} == expected
    assert len(expected) > 3_000


def test_figures_that_were_counted_by_hand(scanned: Scanned):
    for release, facts in FACTS.items():
        if release in scanned.path.name:
            found = ours(scanned.scan, ".text")
            assert sum(found[f"{kind} {to}"] for kind in ("b", "bc") for to in ("local", "global")) == facts["siblings"]
