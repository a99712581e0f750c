"""What binutils says about the same kernels: the other opinion that whole images are held against."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from oddtoc.debian import SERIES
from oddtoc.image import Image

PREFIX = "powerpc64le-linux-gnu-"

_BRANCH = re.compile(
    rb"(?:b|bc|b(?:eq|ne|lt|gt|le|ge|so|ns|un|nu|nl|ng)|bdn?z[tf]?)l?[+-]?\s+(?:\S+,)?([0-9a-f]{4,})(?: <|$)"
)
_LETTER_B = ord("b")
_CALL = re.compile(rb"\S+l[+-]?\s")


@dataclass(frozen=True)
class ReadelfSymbol:
    index: int
    value: int
    size: int
    type: str
    binding: str
    section: str
    name: str
    local_offset: int
    file: str | None


@dataclass
class Listing:
    """objdump -d, whole: branches as {source: (target, is a call)}, the rest by address."""

    branches: dict[int, tuple[int, bool]] = field(default_factory=dict)
    jumps: set[int] = field(default_factory=set)
    calls: set[int] = field(default_factory=set)
    reloads: set[int] = field(default_factory=set)
    entry_lines: dict[int, tuple[int, str]] = field(default_factory=dict)


def run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def read_symbols(path: Path) -> list[ReadelfSymbol]:
    """readelf -sW, the symbol table alone, in its order."""
    symbols, file = [], None
    text = run(f"{PREFIX}readelf", "-sW", path)
    for line in text[text.index("'.symtab'") :].splitlines()[2:]:
        number, value, size, kind, binding, _, rest = line.split(None, 6)
        local = re.match(r"\[<localentry>: (\d+)\]\s+(.*)", rest)
        section, _, name = (local[2] if local else rest).partition(" ")
        if kind == "FILE":
            file = name.strip()
        symbols.append(
            ReadelfSymbol(
                int(number.rstrip(":")),
                int(value, 16),
                int(size, 0),
                kind,
                binding,
                section,
                name.strip(),
                int(local[1]) if local else 0,
                (file or None) if binding == "LOCAL" else None,
            )
        )
    return symbols


def disassemble(path: Path, wanted: set[int]) -> Listing:
    """objdump -d of all that is executable; the words and texts of the `wanted` addresses are kept."""
    listing = Listing()
    wanted_texts = {b"%x" % address for address in wanted}
    with subprocess.Popen([f"{PREFIX}objdump", "-d", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            parts = line.split(b"\t", 2)
            if len(parts) != 3:
                continue
            place, word, text = parts
            if text[0] == _LETTER_B:
                _add_branch(listing, int(place[:-1], 16), text)
            elif text.startswith(b"ld      r2,24(r1)"):
                listing.reloads.add(int(place[:-1], 16))
            if place[:-1] in wanted_texts:
                value = int.from_bytes(bytes.fromhex(word.decode()), "little")
                listing.entry_lines[int(place[:-1], 16)] = value, text.decode()
    assert process.returncode == 0
    return listing


def _add_branch(listing: Listing, address: int, text: bytes) -> None:
    text = text.strip()
    if match := _BRANCH.match(text):
        listing.branches[address] = int(match[1], 16), bool(_CALL.match(text))
    elif text == b"bctr":
        listing.jumps.add(address)
    elif text == b"bctrl":
        listing.calls.add(address)


@dataclass
class Kernel:
    """One kernel: ours and theirs. What binutils says is worked out when it is first asked for: it takes a while."""

    series: str
    path: Path
    image: Image

    @cached_property
    def symbols(self) -> list[ReadelfSymbol]:
        return read_symbols(self.path)

    @cached_property
    def functions(self) -> list[ReadelfSymbol]:
        return [symbol for symbol in self.symbols if symbol.type in ("FUNC", "IFUNC")]

    @cached_property
    def listing(self) -> Listing:
        places = range(0, 20, 4)
        return disassemble(self.path, {symbol.value + place for symbol in self.functions for place in places})


@pytest.fixture(scope="session", params=SERIES)
def kernel(request: pytest.FixtureRequest, kernels) -> Kernel:
    path = Path(kernels[request.param].vmlinux)
    return Kernel(request.param, path, Image.open(path))
