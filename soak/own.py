"""oddtoc itself for a guest: its own files, what it needs from Debian and from Python's index, for ppc64le."""

import subprocess
import sys
from pathlib import Path

import oddtoc
from oddtoc.debian.programs import program_files

_PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "python3-numpy")
_FOR_WHEELS = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1")
_HERE = "usr/lib/python3/dist-packages"
_PROGRAMS = (
    "usr/bin/python3.11",
    "usr/lib/python3.11",
    f"{_HERE}/numpy",
    *(f"lib/powerpc64le-linux-gnu/{name}" for name in _FOR_WHEELS),
)
_WHEELS = ("typer", "rich", "pyelftools")
_PLATFORMS = ("manylinux2014_ppc64le", "manylinux_2_17_ppc64le")
_ROOT = Path(__file__).parent.parent


def own_files(folder):
    """Path in the guest -> file here; `python3.11 -m oddtoc` works there."""
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder]
    command += [*platforms, "--python-version", "3.11", "--only-binary=:all:", "-c", _ROOT / "constraints.txt"]
    subprocess.run([*command, *_WHEELS], check=True, stderr=subprocess.DEVNULL)
    files = {path: file for path, file in program_files(_PACKAGES, _PROGRAMS).items() if "/tests/" not in path}
    return files | _below(folder) | _below(Path(oddtoc.__file__).parent, "/oddtoc")


def _below(folder, place=""):
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    return {f"{_HERE}{place}/{file.relative_to(folder)}": file for file in files}
