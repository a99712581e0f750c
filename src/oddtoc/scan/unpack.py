"""Files that are compressed with xz, gzip or zstd."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import Final

from oddtoc.errors import ImageError, LibraryError

_XZ, _GZIP, _ZSTD = b"\xfd7zXZ\x00", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_LARGEST: Final = 2 << 30
"""Bytes that a compressed image may have when it is unpacked: more would be an attack."""
_PIECE: Final = 64 << 10
_ENOUGH: Final = "no image has that many bytes"


def unpacked(name: str, data: bytes) -> bytes:
    """The bytes of a file, decompressed if they are compressed with xz, gzip or zstd.

    Raises:
        ImageError: they are damaged.
        LibraryError: the library for zstd is not installed.
    """
    ways: dict[bytes, Callable[[bytes], bytes]] = {_XZ: _from_xz, _GZIP: _from_gzip, _ZSTD: _from_zstd}
    way = next((way for magic, way in ways.items() if data.startswith(magic)), None)
    if way is None:
        return data
    try:
        return way(data)
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile, ValueError) as error:
        raise ImageError(f"{name} is compressed, and damaged: {error}") from error
    except ImportError as error:
        raise LibraryError(
            f"{name} is compressed with zstd, and the library zstandard is not installed",
            advice="pip install 'oddtoc[scan]'",
        ) from error


def _from_xz(data: bytes) -> bytes:
    way = lzma.LZMADecompressor()
    return _whole(way.decompress(data, _LARGEST), at_end=way.eof)


def _from_gzip(data: bytes) -> bytes:
    way = zlib.decompressobj(wbits=31)
    return _whole(way.decompress(data, _LARGEST), at_end=way.eof)


def _from_zstd(data: bytes) -> bytes:
    import zstandard

    way = zstandard.ZstdDecompressor().decompressobj()
    parts, size = [], 0
    try:
        # piece by piece: it has no limit of its own
        for start in range(0, len(data), _PIECE):
            parts.append(way.decompress(data[start : start + _PIECE]))
            size += len(parts[-1])
            if way.eof or size > _LARGEST:
                break
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    return _whole(b"".join(parts), at_end=way.eof)


def _whole(data: bytes, *, at_end: bool) -> bytes:
    if not at_end:
        raise EOFError("it ends too early" if len(data) < _LARGEST else _ENOUGH)
    return data
