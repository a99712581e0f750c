"""What one process does for a scan: some images at a time, whose tables travel as one.

A table of each kind for many images is some thirty columns to be sent; tables of their own would be thirty for each
image, and most of the time would go into that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np

from oddtoc.errors import OddtocError
from oddtoc.isa import Addresses
from oddtoc.scan.batch import Batch, Unit
from oddtoc.scan.image import ImageScan, scan_image
from oddtoc.scan.sources import Candidate, Failure, Source
from oddtoc.scan.table import Table, empty, joined, split

Result = ImageScan | Failure

_TABLES: Final = ("functions", "jumps", "room")


@dataclass(frozen=True, slots=True)
class Parcel:
    """The results for some images, packed for the way.

    Args:
        order: for each result the figures of its image, or the failure.
        tables: those of all images, one below the other, by name.
        lengths: rows of each image in each of them.
        digests: of all functions, where they were asked for.
    """

    order: list[dict[str, Any] | Failure]
    tables: dict[str, Table]
    lengths: dict[str, list[int]]
    digests: Addresses | None


def scan_batch(batch: Batch, *, functions: bool = True, digests: bool = False, elsewhere: bool = False) -> Parcel:
    """Scan some images.

    Args:
        batch: which; of a package all that are in it.
        functions: send the table of functions, which is nine tenths of it all; it is empty otherwise. Digests need it.
        digests: work out what each function's code is.
        elsewhere: the sources were found by another machine: refuse files that are not the same here.
    """
    return _packed(
        [result for unit in batch.units for result in _results(unit, digests, elsewhere)], functions or digests
    )


def unpacked_results(parcel: Parcel) -> list[Result]:
    """The results in a parcel, in their order."""
    tables = [split(parcel.tables[name], parcel.lengths[name]) for name in _TABLES]
    digests: Iterable[Addresses | None] = repeat(None)
    if parcel.digests is not None:
        digests = np.split(parcel.digests, np.cumsum(parcel.lengths["functions"]))
    own = zip(*tables, digests, strict=False)
    return [entry if isinstance(entry, Failure) else _scan(entry, *next(own)) for entry in parcel.order]


def _scan(figures: dict[str, Any], functions: Table, jumps: Table, room: Table, digests: Addresses | None) -> ImageScan:
    return ImageScan(figures["image"], figures, functions, jumps, room, digests)


def _results(unit: Unit, digests: bool, elsewhere: bool) -> list[Result]:
    if isinstance(unit, Source):
        if elsewhere and not unit.is_remote and not unit.is_here():
            return [Failure(unit.name, "it is another file, or none, for the worker that was to scan it")]
        return [_result(candidate, digests) for candidate in unit.candidates()]
    return [_result(unit, digests)]


def _result(candidate: Candidate | Failure, digests: bool) -> Result:
    if isinstance(candidate, Failure):
        return candidate
    try:
        return scan_image(candidate.open(), candidate.name, digests=digests)
    except OddtocError as error:
        # an image is called by a path, which makes one slash of the two in a URL
        return Failure(candidate.name, error.message.replace(str(Path(candidate.name)), candidate.name))


def _packed(results: list[Result], functions: bool) -> Parcel:
    scans = [result for result in results if isinstance(result, ImageScan)]
    tables = {name: [getattr(scan, name) for scan in scans] for name in _TABLES}
    if not functions:
        tables["functions"] = [empty("functions") for _ in scans]
    digests = [scan.digests for scan in scans if scan.digests is not None]
    return Parcel(
        [result.figures if isinstance(result, ImageScan) else result for result in results],
        {name: joined(name, of_images) for name, of_images in tables.items()},
        {name: [len(table) for table in of_images] for name, of_images in tables.items()},
        np.concatenate(digests) if digests else None,
    )
