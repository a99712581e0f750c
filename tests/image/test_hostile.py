"""Files that are no ppc64le image, or only the rest of one: a typed error, whatever is in them."""

from __future__ import annotations

import gzip
import lzma
import os
import random
import shutil
from pathlib import Path

import pytest

from oddtoc.errors import ImageError, OddtocError
from oddtoc.image import Image
from oddtoc.image.flow import Flow

from .conftest import PREFIX, run

SOURCE = "int counter; int add(int x) { return counter += x; } int one(void) { return 1; }"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory):
    """Compiles a small source with flags; gives the path."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "small.c").write_text(SOURCE)

    def make(name: str, *flags: str) -> Path:
        run(f"{PREFIX}gcc", "-O2", *flags, folder / "small.c", "-o", folder / name)
        return folder / name

    return make


@pytest.fixture(scope="module")
def library(compiled) -> bytes:
    return compiled("small.so", "-fPIC", "-shared", "-nostdlib").read_bytes()


def refusal(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        Image.open(path)
    lines = str(caught.value).splitlines()
    assert 1 <= len(lines) <= 2 and str(path) in lines[0]
    return caught.value


def use(path: Path) -> None:
    """Everything that looks into the file."""
    image = Image.open(path)
    assert image.build_id is None or image.notes
    _ = image.toc, image.sites, image.pointers, image.text()
    for symbol in image.symbols:
        image.symbols.find(symbol.name)
        image.symbols.at(symbol.address)
        if symbol.is_function:
            image.entry(symbol)
    if not image.is_relocatable:
        Flow(image).sibling_calls()


def test_other_machines_are_named(compiled):
    compiler = Path(shutil.which(f"{PREFIX}gcc")).resolve()
    if os.uname().machine == "x86_64":
        assert "is for x86-64, not for ppc64le" in str(refusal(compiler))
    assert "is not a 64-bit ELF file" in str(refusal(compiled("p32.o", "-m32", "-c")))
    assert "big-endian" in str(refusal(compiled("big.o", "-mbig", "-mabi=elfv2", "-c")))
    assert "version 1 of the ABI" in str(refusal(compiled("v1.o", "-mabi=elfv1", "-c")))


def test_abi_flags_decide(library: bytes, tmp_path: Path):
    for flags, allowed in ((0, True), (1, False), (2, True), (3, False)):
        path = tmp_path / f"flags{flags}"
        path.write_bytes(library[:48] + bytes([flags]) + library[49:])
        if allowed:
            assert Image.open(path).symbols.one("add")
        else:
            assert f"version {flags} of the ABI" in str(refusal(path))


def test_what_is_no_elf_file_is_said_so(tmp_path: Path):
    for name, content, reason in (
        ("empty", b"", "is empty"),
        ("short", b"\x7fELF", "is not an ELF file"),
        ("text", b"#!/bin/sh\n" * 20, "is not an ELF file"),
        ("noise", random.Random(1).randbytes(100_000), "is not an ELF file"),
        ("a.ko.xz", lzma.compress(b"x" * 100), "is compressed with xz"),
        ("a.ko.gz", gzip.compress(b"x" * 100), "is compressed with gzip"),
    ):
        (tmp_path / name).write_bytes(content)
        assert reason in str(refusal(tmp_path / name))


def test_what_is_no_file_is_said_so(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert "No such file" in str(refusal(tmp_path / "missing"))
    assert "is not a regular file" in str(refusal(tmp_path))
    assert "is not a regular file" in str(refusal(tmp_path / "pipe"))


def test_stripped_program_is_refused(compiled):
    path = compiled("stripped", "-nostdlib", "-static", "-no-pie", "-Wl,-e,add")
    run(f"{PREFIX}strip", path)
    assert "has no symbols" in str(refusal(path))


def test_core_dumps_are_refused(library: bytes, tmp_path: Path):
    (tmp_path / "core").write_bytes(library[:16] + b"\x04\x00" + library[18:])
    assert "neither a program" in str(refusal(tmp_path / "core"))


def test_every_truncation_is_refused(library: bytes, tmp_path: Path):
    """The table of sections ends the file, so no shorter file is whole."""
    path = tmp_path / "cut"
    for size in [*range(1, 200), *range(200, len(library), 97), len(library) - 1]:
        path.write_bytes(library[:size])
        refusal(path)


def test_sections_beyond_the_address_space_are_refused(library: bytes, tmp_path: Path):
    headers = int.from_bytes(library[40:48], "little")
    damaged = bytearray(library)
    for address in range(headers, len(library), 64):
        damaged[address + 16 : address + 24] = b"\xff" * 8
    (tmp_path / "far").write_bytes(damaged)
    assert "ends beyond the address space" in str(refusal(tmp_path / "far"))


def test_a_truncated_kernel_is_refused(kernel, tmp_path: Path):
    content = kernel.path.read_bytes()
    for part in (100, 3, 2):
        (tmp_path / "vmlinux").write_bytes(content[: len(content) // part])
        assert "truncated" in str(refusal(tmp_path / "vmlinux"))


@pytest.mark.parametrize("flags", [("-fPIC", "-shared", "-nostdlib"), ("-c", "-mcmodel=large", "-pg")])
def test_damage_ends_in_our_errors(compiled, tmp_path: Path, flags: tuple[str, ...]):
    """Headers, sections and symbols overwritten at random: it is read, or refused, but nothing else."""
    rng = random.Random(20261123)
    path = tmp_path / "damaged"
    library = compiled("whole", *flags).read_bytes()
    headers = int.from_bytes(library[40:48], "little")
    outcomes = {True: 0, False: 0}
    for round_ in range(600):
        damaged = bytearray(library)
        for _ in range(rng.randint(1, 4)):
            place = rng.choice(
                (rng.randrange(64), headers + rng.randrange(len(library) - headers), rng.randrange(len(library)))
            )
            damaged[place] = rng.choice((0, 0xFF, 0x80, rng.randrange(256)))
        path.write_bytes(damaged)
        try:
            use(path)
            outcomes[True] += 1
        except OddtocError as error:
            assert len(str(error).splitlines()) <= 2, round_
            outcomes[False] += 1
    assert min(outcomes.values()) > 50, outcomes
