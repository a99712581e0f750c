"""Versions of exported symbols, held against the real readelf."""

import subprocess

import pytest

from oddtoc.build.compile import tool
from oddtoc.debian.programs import program_files
from oddtoc.image.elf import Image
from oddtoc.process.guest import PACKAGES, PROGRAMS

LIBRARIES = ("libc.so.6", "libm.so.6", "libz.so.1")


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request):
    files = program_files(PACKAGES, PROGRAMS)
    return next(file for path, file in files.items() if path.endswith(f"/{request.param}"))


def test_all_versions_are_those_of_readelf(library):
    command = [tool("readelf"), "--wide", "--dyn-syms", library]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    shown = {fields[-1] for line in lines if len(fields := line.split()) >= 8 and not {"UND", "ABS"} & {*fields}}
    # the names of versions themselves are absolute symbols
    found = {
        f"{s.name}{'@' if s.is_hidden else '@@'}{s.version}"
        for s in Image.open(library).exports
        if s.version and s.section != "*ABS*"
    }
    assert len(found) > 30
    assert found == {name for name in shown if "@" in name}


def test_a_name_means_its_default_version():
    files = program_files(PACKAGES, PROGRAMS)
    library = Image.open(next(file for path, file in files.items() if path.endswith("/libm.so.6")))
    old, new = sorted(library.exports.find("pow"), key=lambda symbol: symbol.version)
    assert (old.version, old.is_hidden, new.version, new.is_hidden) == ("GLIBC_2.17", True, "GLIBC_2.29", False)
    assert library.exports.one("pow") == new
    assert library.exports.one("pow", "GLIBC_2.17") == old != new
