"""Running kernels: their own ftrace records and their live words, for every function, resting and traced."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pytest

from oddtoc.debian import SERIES
from oddtoc.image import Image, SiteKind, Symbol, read_entry
from oddtoc.isa import MFLR_R0, NOP
from oddtoc.target.qemu import QemuTarget

TRACING = "/sys/kernel/tracing"


@dataclass
class Running:
    """A kernel's image, its guest, and what lives on after boot: init sections are freed and reused."""

    image: Image
    guest: object

    @cached_property
    def freed(self) -> range:
        return range(*(self.image.symbols.one(f"__init_{edge}").address for edge in ("begin", "end")))

    @property
    def sites(self) -> list[int]:
        return [site for site in self.image.sites.tolist() if site not in self.freed]

    @property
    def functions(self) -> list[Symbol]:
        table = self.image.symbols
        found = (table.symbol(int(index)) for index in table.functions().indices)
        return [symbol for symbol in found if symbol.address not in self.freed]

    def sh(self, command: str) -> str:
        done = self.guest.run(command, timeout=300)
        assert done.status == 0, done.stderr
        return done.stdout.decode()

    def live_word(self) -> Callable[[int], int]:
        """All text as it is in the guest now."""
        texts = [text for text in self.image.text() if text.address not in self.freed]
        with QemuTarget.connect(self.guest.debug_socket) as target:
            copies = [(text.address, target.read(text.address, len(text.words) * 4)) for text in texts]

        def word(address: int) -> int:
            start, content = next(copy for copy in copies if copy[0] <= address < copy[0] + len(copy[1]))
            return int.from_bytes(content[address - start : address - start + 4], "little")

        return word


@pytest.fixture(scope="module", params=SERIES)
def running(request: pytest.FixtureRequest, kernels, guest) -> Running:
    return Running(Image.open(kernels[request.param].vmlinux), guest(request.param))


def test_the_kernel_has_a_record_of_every_site(running: Running):
    """Of all in text, of none in what boot frees; 6.1 tells their functions, later ones the addresses too."""
    listed = running.sh(f"cd {TRACING}; cat available_filter_functions_addrs || cat available_filter_functions")
    rows = [line.split() for line in listed.splitlines()]
    # not in dmesg for long: tests that share the guest clear it
    allocated = re.search(r"ftrace: allocating (\d+) entries", running.guest.console_log.read_text(errors="replace"))
    assert allocated and int(allocated[1]) == len(running.image.sites)
    assert len(rows) == len(running.sites)
    if len(rows[0]) == 2:
        assert sorted(int(address, 16) for address, _ in rows) == running.sites

    names: dict[int, set[str]] = {}
    for symbol in running.functions:
        names.setdefault(symbol.address, set()).add(symbol.name)
    for site, name in zip(running.sites, (row[-1] for row in rows), strict=True):
        owner = running.image.symbols.at(site)
        # A record without a function is code that another definition overrides.
        assert owner is None or name in names[owner.address], hex(site)


def test_every_live_entry_is_the_images(running: Running):
    compare(running, SITE_WORDS_AT_REST)


def test_every_traced_entry_is_the_images(running: Running):
    running.sh(f"cd {TRACING}; echo 0 > tracing_on; echo function > current_tracer")
    try:
        compare(running, SITE_WORDS_TRACED)
    finally:
        running.sh(f"cd {TRACING}; echo nop > current_tracer; echo 1 > tracing_on")


SITE_WORDS_AT_REST = {SiteKind.MPROFILE: "mflr nop", SiteKind.PATCHABLE: "mflr nop", SiteKind.OUT_OF_LINE: "nop"}
SITE_WORDS_TRACED = {SiteKind.MPROFILE: "mflr bl", SiteKind.PATCHABLE: "mflr bl", SiteKind.OUT_OF_LINE: "b"}


def compare(running: Running, shown: dict[SiteKind, str]) -> None:
    """Read from live words, each entry is the same as from the file but for its ftrace words, which are as `shown`."""
    image, live = running.image, running.live_word()
    sites, kind = set(image.sites.tolist()), image.site_kind
    assert kind is not None
    counted = 0
    for symbol in running.functions:
        entry, filed = (read_entry(symbol, word, sites, kind) for word in (live, image.word))
        assert (entry.toc, entry.mark, entry.mark_word) == (filed.toc, filed.mark, filed.mark_word)
        assert (entry.site, entry.site_kind, entry.behind) == (filed.site, filed.site_kind, filed.behind)
        if entry.site is not None:
            words = entry.words[(entry.local_entry - entry.global_entry) // 4 :]
            assert " ".join(named(word) for word in words) == shown[kind], symbol
            counted += 1
    assert counted > 30_000


def named(word: int) -> str:
    names = {NOP: "nop", MFLR_R0: "mflr"}
    return names.get(word) or {0x48000000: "b", 0x48000001: "bl"}.get(word & 0xFC000003, f"{word:08x}")
