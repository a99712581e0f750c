"""What can be scanned: files, folders, compressed modules, packages; and what can't, which stops nothing."""

from __future__ import annotations

import gzip
import lzma
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from oddtoc.errors import OddtocError
from oddtoc.image.elf import Image
from oddtoc.scan import scan_image, work
from oddtoc.scan.run import Scan, run_scan
from oddtoc.scan.sources import Candidate

from .conftest import PREFIX, build_package


@pytest.fixture
def folder(modules, tmp_path: Path) -> Path:
    """Four modules, each in another form, among files that are no images."""
    inside = tmp_path / "lib" / "kernel"
    inside.mkdir(parents=True)
    plain, xz, gz, zst = (path.read_bytes() for path in small(modules)[:4])
    (inside / "plain.ko").write_bytes(plain)
    (inside / "packed.ko.xz").write_bytes(lzma.compress(xz, check=lzma.CHECK_CRC32))
    (inside / "packed.ko.gz").write_bytes(gzip.compress(gz))
    (inside / "packed.ko.zst").write_bytes(zstandard.ZstdCompressor().compress(zst))
    (inside / "modules.dep").write_text("kernel/plain.ko:\n")
    (inside / "notes.txt.gz").write_bytes(gzip.compress(b"no image"))
    (inside / "link.ko").symlink_to("plain.ko")
    return tmp_path / "lib"


def small(modules: list[Path]) -> list[Path]:
    return sorted(modules, key=lambda path: path.stat().st_size)


def names(scan: Scan) -> list[str]:
    return [Path(one.image).name for one in scan.scans]


def without_names(scan: Scan) -> list[dict]:
    return [{key: value for key, value in one.figures.items() if key != "image"} for one in scan.scans]


def test_a_folder_gives_its_images_in_order_whatever_they_are_packed_with(folder: Path, modules):
    scan = run_scan([folder])
    assert names(scan) == ["packed.ko.gz", "packed.ko.xz", "packed.ko.zst", "plain.ko"]
    assert scan.failed == []
    alone = {path: scan_image(Image.open(path)).figures for path in small(modules)[:4]}
    expected = [{key: value for key, value in one.items() if key != "image"} for one in alone.values()]
    assert sorted(without_names(scan), key=str) == sorted(expected, key=str)


def test_a_package_is_the_folder_in_it(folder: Path, tmp_path: Path):
    package = tmp_path / "modules.deb"
    build_package(folder, package)
    scan = run_scan([package])
    assert [one.image for one in scan.scans] == [
        f"{package}:lib/kernel/{name}" for name in ("packed.ko.gz", "packed.ko.xz", "packed.ko.zst", "plain.ko")
    ]
    assert without_names(scan) == without_names(run_scan([folder]))
    both = run_scan([tmp_path])
    assert len(both.scans) == 2 * len(scan.scans), "packages in folders are opened too"


def test_two_processes_find_what_one_finds(modules):
    paths = [*modules[:30], Path("/nonexistent/a"), *modules[30:40], Path("/dev/null")]
    one, two = run_scan(paths, jobs=1), run_scan(paths, jobs=2)
    assert one.failed == two.failed and len(one.failed) == 2
    for name in ("images", "functions", "jumps", "room"):
        assert list(one.table(name).rows()) == list(two.table(name).rows())


def test_bad_files_are_listed_and_stop_nothing(folder: Path, modules, tmp_path: Path, oddtoc):
    inside = folder / "kernel"
    content = small(modules)[0].read_bytes()
    (inside / "cut.ko").write_bytes(content[: len(content) // 2])
    (inside / "cut.ko.xz").write_bytes(lzma.compress(content)[:-40])
    (inside / "cut.ko.zst").write_bytes(zstandard.ZstdCompressor().compress(content)[:-10])
    (inside / "cut.ko.gz").write_bytes(gzip.compress(content)[:-20])
    (inside / "wrong.ko.xz").write_bytes(b"\xfd7zXZ\x00" + bytes(100))
    (inside / "broken.deb").write_bytes(b"!<arch>\nnot really")
    shutil.copy("/usr/bin/true", inside / "true")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    result = oddtoc("scan", folder, fifo, tmp_path / "missing", inside / "modules.dep")
    assert result.exit_code == 1
    assert "4 modules" in result.stdout or "packed.ko.gz" in result.stdout
    listed = result.stderr.splitlines()
    assert listed[0] == "not scanned: 10 files"
    assert len(listed) == 11
    for name, reason in {
        "cut.ko:": "truncated",
        "cut.ko.xz": "ends too early",
        "cut.ko.zst": "ends too early",
        "cut.ko.gz": "ends too early",
        "wrong.ko.xz": "damaged",
        "broken.deb": "damaged package",
        "true": "x86-64",
        "fifo": "not a regular file",
        "missing": "No such file",
        "modules.dep": "not an ELF file",
    }.items():
        assert any(name in line and reason in line for line in listed), (name, reason, listed)


def test_a_process_that_dies_costs_only_its_image(modules, monkeypatch):
    victim = str(modules[7])
    honest = work.scan_image

    def deadly(image, name=None, **options):
        if name == victim:
            os._exit(9)
        return honest(image, name, **options)

    monkeypatch.setattr(work, "scan_image", deadly)
    scan = run_scan(modules[:20], jobs=2)
    assert [failure.name for failure in scan.failed] == [victim]
    assert [one.image for one in scan.scans] == [str(path) for path in modules[:20] if str(path) != victim]


def test_programs_and_libraries(tmp_path: Path):
    source = tmp_path / "program.c"
    source.write_text("int other(int); int other(int x) { return x + 1; } int main(void) { return other(1); }\n")
    kinds = {"program": ["-no-pie"], "pie": ["-pie"], "library": ["-shared", "-fPIC"], "object": ["-c"]}
    for kind, options in kinds.items():
        subprocess.run([f"{PREFIX}gcc", "-O1", *options, source, "-o", tmp_path / kind], check=True)
        figures = scan_image(Image.open(tmp_path / kind)).figures
        assert figures["kind"] == kind.replace("pie", "program")
        assert figures["patchable"] > 0 and figures["sites"] == 0
    assert scan_image(Image.open(tmp_path / "library")).figures["stubs"] > 0


def test_damaged_modules_end_in_errors_of_ours(modules):
    """Bytes changed at random: the scan finds something, or says what is wrong; never anything else."""
    content = small(modules)[5].read_bytes()
    chance = random.Random(7)
    refused = 0
    for _ in range(400):
        data = bytearray(content)
        for _ in range(chance.choice((1, 3, 30))):
            # most of the damage where the tables are: the headers and symbols stand at the end of a module
            place = chance.randrange(len(data) // 2 if chance.random() < 0.3 else 0, len(data))
            data[place] = chance.randrange(256)
        try:
            scan_image(Candidate("damaged", data=bytes(data)).open())
        except OddtocError:
            refused += 1
    assert 0 < refused < 400
