"""Debian packages: the members that look like images, read one by one."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from oddtoc.errors import ImageError, LibraryError

PACKAGE: Final = b"!<arch>\n"
"""What a Debian package begins with: it is an ar archive (deb(5))."""
MAGIC: Final = len(PACKAGE)
"""Bytes that tell what a file is."""
_ELF: Final = b"\x7fELF"
_PACKED: Final = (".xz", ".gz", ".zst")


def looks_like_an_image(name: str, magic: bytes) -> bool:
    """Whether a file found among others is worth to be opened.

    Args:
        name: of the file.
        magic: its first bytes.
    """
    if magic.startswith(_ELF):
        return True
    path = Path(name)
    return path.suffix in _PACKED and (path.stem.endswith(".ko") or path.stem.startswith("vmlinu"))


def members(package: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """The images in a Debian package: name and bytes of each.

    Args:
        package: the file.
        name: what to call it.

    Raises:
        ImageError: it is damaged.
        LibraryError: dpkg-deb is not there.
    """
    if not shutil.which("dpkg-deb"):
        raise LibraryError(f"{name} is a Debian package, and there is no dpkg-deb to read it")
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    yield from _of_member(archive, member)
        except tarfile.TarError as error:
            process.kill()
            raise ImageError(f"{name} is a damaged package: {_reason(process.stderr.read(), error)}") from error
        finally:
            process.stdout.close()
        if process.wait():
            raise ImageError(f"{name} is a damaged package: {_reason(process.stderr.read())}")


def _of_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        return
    start = file.read(MAGIC)
    if looks_like_an_image(Path(member.name).name, start):
        yield member.name.removeprefix("./"), start + file.read()


def _reason(output: bytes, error: Exception | None = None) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("dpkg-deb: error: ") if lines else str(error or "no reason given")
