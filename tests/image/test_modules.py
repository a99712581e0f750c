"""Modules on disk: all file systems of a kernel, every function and site, against readelf."""

from __future__ import annotations

import lzma
import re
from collections import Counter
from pathlib import Path

import pytest

from oddtoc.debian import SERIES
from oddtoc.errors import ImageError
from oddtoc.image import Image, SiteKind, TocSetup

from .conftest import PREFIX, read_symbols, run

_SECTION = re.compile(r"^ +\[ *(\d+)\] (\S+) +\S+ +[0-9a-f]{16} ([0-9a-f]+) ", re.M)
_TABLE = re.compile(r"'\.rela(?:__mcount_loc|__patchable_function_entries)'.*?(?=\nRelocation|\Z)", re.S)
_ROW = re.compile(r"R_PPC64_ADDR64 +([0-9a-f]+) (\S+) \+ ([0-9a-f]+)$", re.M)


@pytest.fixture(scope="module", params=SERIES)
def modules(request: pytest.FixtureRequest, kernels, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The unpacked modules under fs/."""
    folder = tmp_path_factory.mktemp("modules")
    found = sorted(path for path in Path(kernels[request.param].modules).rglob("*.ko*") if "/fs/" in str(path))
    assert len(found) > 80
    return [unpacked(path, folder) for path in found]


def unpacked(path: Path, folder: Path) -> Path:
    if path.suffix == ".ko":
        return path
    assert path.suffix == ".xz"
    with pytest.raises(ImageError, match="compressed with xz"):
        Image.open(path)
    target = folder / path.stem
    target.write_bytes(lzma.decompress(path.read_bytes()))
    return target


def test_every_entry_and_site_of_modules(modules: list[Path]):
    setups: Counter[TocSetup] = Counter()
    for path in modules:
        image = Image.open(path)
        sections = _SECTION.findall(run(f"{PREFIX}readelf", "-SW", path))
        offsets = {name: int(offset, 16) for _, name, offset in sections}
        by_number = {int(number): int(offset, 16) for number, _, offset in sections}
        functions = [s for s in read_symbols(path) if s.type == "FUNC" and s.section != "UND"]
        theirs = {(s.name, by_number[int(s.section)] + s.value, s.local_offset) for s in functions}
        entries = [image.entry(symbol) for symbol in image.symbols if symbol.is_function]
        assert {(e.function, e.global_entry, e.local_entry - e.global_entry) for e in entries} == theirs

        tables = "".join(_TABLE.findall(run(f"{PREFIX}readelf", "-rW", path)))
        rows = {offsets[name] + int(value, 16) + int(addend, 16) for value, name, addend in _ROW.findall(tables)}
        shift = 4 if image.site_kind is SiteKind.PATCHABLE else 0
        assert set(image.sites.tolist()) == {row + shift for row in rows}
        assert {entry.site for entry in entries} - {None} == set(image.sites.tolist())
        assert all(entry.toc is None for entry in entries)
        setups.update(entry.toc_setup for entry in entries)
    assert set(setups) == {TocSetup.LOADED, TocSetup.NONE}
    assert setups[TocSetup.LOADED] > 3_000
