"""Scans of whole kernels, shared by the tests of this folder."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oddtoc.cli import app
from oddtoc.debian import SERIES
from oddtoc.image.elf import Image
from oddtoc.scan import ImageScan, scan_image

PREFIX = "powerpc64le-linux-gnu-"


@dataclass
class Scanned:
    """A kernel with its scan."""

    series: str
    path: Path
    image: Image
    scan: ImageScan


@pytest.fixture(scope="session", params=SERIES)
def scanned(request: pytest.FixtureRequest, kernels) -> Scanned:
    path = Path(kernels[request.param].vmlinux)
    image = Image.open(path)
    return Scanned(request.param, path, image, scan_image(image))


@pytest.fixture(scope="session")
def modules(kernels) -> list[Path]:
    """Some modules of 6.1, which are not compressed."""
    folder = Path(kernels["6.1"].modules)
    return sorted(path for path in folder.rglob("*.ko") if "/fs/" in str(path))


CONTROL = "Package: modules\nVersion: 1\nArchitecture: ppc64el\nMaintainer: nobody <n@localhost>\nDescription: test\n"


def build_package(folder: Path, package: Path) -> None:
    """A Debian package with a copy of a folder, as `lib`."""
    root = package.with_suffix(".root")
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(CONTROL)
    shutil.copytree(folder, root / "lib", symlinks=True)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, package], check=True, capture_output=True)
    shutil.rmtree(root)


@pytest.fixture
def oddtoc():
    """Runs a command line: exit code, output, errors."""

    def run(*words: object):
        return CliRunner().invoke(app, [str(word) for word in words])

    return run
