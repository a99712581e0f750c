"""The files of loaded objects, fetched from the machine of the process, and kept by build id."""

from __future__ import annotations

import struct
from pathlib import Path

from oddtoc.debian import cache_folder, keep_file
from oddtoc.errors import ImageError, MismatchError, TargetError
from oddtoc.image.elf import Image
from oddtoc.image.layout import PROGRAM_HEADER, PT_NOTE
from oddtoc.image.notes import build_id
from oddtoc.process.maps import DELETED, Mapping
from oddtoc.target.process import MissingFileError, ProcessTarget

_LARGEST = 1 << 30
_HEADERS = 4096
_LONGEST_NOTE = 1 << 16
_DEBUG_FOLDER = "usr/lib/debug/.build-id"


def fetch(target: ProcessTarget, mapping: Mapping) -> Image:
    """The image in a file that the process has mapped, also where another file has its name by now.

    Args:
        target: the process.
        mapping: of the file's first bytes.

    Raises:
        ImageError: it is no image, or has no build id, by which it could be known again.
        TargetError: it can't be read.
    """
    file, identity = _identified(target, mapping)
    if identity is None:
        raise ImageError(f"{mapping.path} has no build id", advice="link it with -Wl,--build-id")
    return Image.open(_kept(target, file, f"{identity.hex()}.elf"))


def fetch_debug(target: ProcessTarget, identity: bytes) -> Image | None:
    """The debug file of an image, which has all its symbols; None where none is installed there or here.

    Raises:
        MismatchError: it is that of another image.
    """
    name = identity.hex()
    path = f"{_DEBUG_FOLDER}/{name[:2]}/{name[2:]}.debug"
    try:
        here = Path("/") / path
        image = Image.open(here if here.exists() else _kept(target, f"/proc/{target.pid}/root/{path}", f"{name}.debug"))
    except (MissingFileError, ImageError):
        return None
    if image.build_id != identity:
        other = image.build_id.hex() if image.build_id else "none"
        raise MismatchError(
            f"the debug file for the build id {name} has another: {other}", advice=f"remove {image.path}, and /{path}"
        )
    return image


def _identified(target: ProcessTarget, mapping: Mapping) -> tuple[str, bytes | None]:
    """The name under which a mapped file can be opened, and its build id.

    Only root may open what is mapped by its addresses (proc(5), /proc/PID/map_files), only some can do so by its path.
    """
    mapped = f"/proc/{target.pid}/map_files/{mapping.span.start:x}-{mapping.span.end:x}"
    try:
        return mapped, _identity(target, mapped)
    except MissingFileError:
        if mapping.path.endswith(DELETED):
            raise TargetError(
                f"{mapping.path} can't be read: another file has its name by now",
                advice="let root run oddtoc or gdbserver, who may read what is mapped",
            ) from None
    named = f"/proc/{target.pid}/root{mapping.path}"
    return named, _identity(target, named)


def _kept(target: ProcessTarget, file: str, name: str) -> Path:
    """The copy on this machine, made if need be."""
    return keep_file(cache_folder() / "images" / name, lambda: target.read_file(file, _LARGEST))


def _identity(target: ProcessTarget, file: str) -> bytes | None:
    start = target.read_part(file, 0, _HEADERS)
    if start[:4] != b"\x7fELF" or len(start) < 64:
        raise ImageError(f"{file} is not an ELF file")
    (offset,) = struct.unpack_from("<Q", start, 32)
    size, count = struct.unpack_from("<HH", start, 54)
    for index in range(count if size == PROGRAM_HEADER.itemsize else 0):
        header = start[offset + index * size : offset + (index + 1) * size]
        if len(header) == size and struct.unpack_from("<I", header)[0] == PT_NOTE:
            place, length = struct.unpack_from("<Q", header, 8)[0], struct.unpack_from("<Q", header, 32)[0]
            if found := build_id(target.read_part(file, place, min(length, _LONGEST_NOTE))):
                return found
    return None
