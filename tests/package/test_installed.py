"""The package as others get it: built from a source archive, installed into an empty environment, far from here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
OPTIONAL = ("oddtoc.prove", "oddtoc.cli.prove", "oddtoc.report.proofs", "oddtoc.top.app")
"""What needs libraries that an extra installs."""


def files_of_the_package() -> set[str]:
    found = {str(path.relative_to(SOURCES)) for path in (SOURCES / "oddtoc").rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name}


def run(*command: object, folder: Path) -> str:
    """Run in another folder, with nothing of this one on the path."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source archive, and the wheel that was made of what it holds."""
    folder, clean = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("clean")
    # what earlier builds left in the tree would put files into the archive that nobody names any more
    shutil.copytree(SOURCES, clean / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "COPYING"):
        shutil.copy(ROOT / name, clean)
    shutil.copytree(ROOT / "man", clean / "man")
    run(sys.executable, "-m", "build", "--outdir", folder, clean, folder=folder)
    (archive,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return {"archive": archive, "wheel": wheel}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, elsewhere: Path) -> Path:
    """The folder with the commands of an environment that holds the package and what it depends on."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "-c", ROOT / "constraints.txt", built["wheel"], folder=elsewhere)
    return folder / "bin"


def test_archive_and_wheel_hold_every_file(built: dict[str, Path]):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("oddtoc/")}
        metadata = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
        described = message_from_string(wheel.read(metadata).decode())
    assert inside == files_of_the_package()
    assert {Path(name).suffix for name in inside} >= {".py", ".S", ".s", ".c", ".h", ".sh", ".html", ".json", ".typed"}
    with tarfile.open(built["archive"]) as archive:
        names = {member.name.partition("/src/")[2] for member in archive if member.isfile() and "/src/" in member.name}
        top = {member.name.partition("/")[2] for member in archive}
    assert names >= files_of_the_package()
    assert {"pyproject.toml", "README.md", "COPYING"} <= top
    assert described["License"] == "GPL-2.0-only" and described["Requires-Python"] == ">=3.11"
    assert {"scan", "prove", "display"} <= set(described.get_all("Provides-Extra", []))


def test_every_module_can_be_imported(installed: Path, elsewhere: Path):
    program = f"""
import importlib, pkgutil, oddtoc
names = [one.name for one in pkgutil.walk_packages(oddtoc.__path__, "oddtoc.", onerror=lambda name: None)]
wanted = [name for name in names if not name.startswith({OPTIONAL!r}) and not name.endswith("__main__")]
for name in wanted: importlib.import_module(name)
print(len(wanted), oddtoc.__file__)
"""
    count, place = run(installed / "python", "-c", program, folder=elsewhere).split()
    assert int(count) > 100
    assert Path(place).is_relative_to(installed.parent)


def test_commands_work(installed: Path, elsewhere: Path, kernels):
    """One that needs each kind of file that is no Python: headers and templates, guest programs, pages."""
    oddtoc = installed / "oddtoc"
    assert run(oddtoc, "--version", folder=elsewhere) == "oddtoc 0.1.0\n"
    where = Path(run(installed / "python", "-c", "import oddtoc; print(oddtoc.__path__[0])", folder=elsewhere).strip())
    assert (installed.parent / "share/man/man1/oddtoc.1").is_file(), "man looks there for what is in bin"
    run(oddtoc, "build", where / "samples" / "putc.c", "-o", "putc.o", folder=elsewhere)
    run(oddtoc, "explain", "putc.o", "seq_putc", "--html", "page.html", folder=elsewhere)
    assert "<html" in (elsewhere / "page.html").read_text()
    run(oddtoc, "lab", "-m", "guarded/slot", "-s", "sibling", folder=elsewhere)
    answer = json.loads(run(oddtoc, "scan", kernels["6.1"].vmlinux, "--format", "json", folder=elsewhere))
    assert answer["totals"]["functions"] > 30_000


def test_what_an_extra_brings_is_asked_for(installed: Path, elsewhere: Path, kernels):
    command = [installed / "oddtoc", "scan", kernels["6.1"].vmlinux, "--format", "parquet", "-o", "tables"]
    result = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.splitlines()) == (
        1,
        ["oddtoc: Parquet needs pyarrow", "  pip install 'oddtoc[scan]'"],
    )
