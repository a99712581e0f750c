"""Jump labels: words of code that the kernel rewrites when a static key changes.

`__start___jump_table` to `__stop___jump_table` holds `struct jump_entry` (include/linux/jump_label.h, relative form):
32-bit code, 32-bit target, 64-bit key, each relative to its own address.
"""

from __future__ import annotations

import weakref

import numpy as np

from oddtoc.image.elf import Image

_ENTRY = np.dtype([("code", "<i4"), ("target", "<i4"), ("key", "<i8")])
_known: weakref.WeakKeyDictionary[Image, frozenset[int]] = weakref.WeakKeyDictionary()


def jump_label_sites(image: Image) -> frozenset[int]:
    """Addresses of all jump labels in an image; empty for one without."""
    sites = _known.get(image)
    if sites is None:
        sites = _known[image] = frozenset(_read(image))
    return sites


def _read(image: Image) -> list[int]:
    bounds = [image.symbols.find(f"__{end}___jump_table") for end in ("start", "stop")]
    if not all(bounds):
        return []
    start, stop = (found[0].address for found in bounds)
    table = np.frombuffer(image.read(start, stop - start), _ENTRY)
    places = np.uint64(start) + np.arange(len(table), dtype=np.uint64) * np.uint64(_ENTRY.itemsize)
    # unsigned addition wraps, which is what a negative displacement wants
    sites: list[int] = (places + table["code"].astype(np.int64).astype(np.uint64)).tolist()
    return sites
