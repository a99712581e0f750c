"""Many images, scanned by several processes or machines: the same tables as by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from oddtoc.engine import Engine, Here, Lost, open_engine
from oddtoc.scan.batch import LARGE, SMALL, Batch, Listed, Size, missing_here
from oddtoc.scan.image import ImageScan, images_table
from oddtoc.scan.sources import Failure, Source, sources, sources_in_store
from oddtoc.scan.store import is_url
from oddtoc.scan.table import Table, joined
from oddtoc.scan.work import Parcel, Result, scan_batch, unpacked_results

Progress = Callable[[int, int, str], None]
"""Told how many images are done, of how many known so far, and which was the last one."""

_AHEAD: Final = 3
"""Batches that wait for each slot: members of packages wait in memory."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found in all images.

    Args:
        scans: each image's own tables, in the order in which they were named.
        failed: what could not be scanned.
    """

    scans: list[ImageScan]
    failed: list[Failure]

    @classmethod
    def of(cls, results: Iterable[Result]) -> Scan:
        """From results in their order."""
        results = list(results)
        return cls(
            [result for result in results if isinstance(result, ImageScan)],
            [result for result in results if isinstance(result, Failure)],
        )

    @property
    def images(self) -> Table:
        """A row for each image."""
        return images_table(self.scans)

    @property
    def functions(self) -> Table:
        """A row for each function."""
        return joined("functions", [scan.functions for scan in self.scans])

    @property
    def jumps(self) -> Table:
        """A row for each jump that leaves its function or goes through the count register."""
        return joined("jumps", [scan.jumps for scan in self.scans])

    @property
    def room(self) -> Table:
        """A row for each place where there is room."""
        return joined("room", [scan.room for scan in self.scans])

    def table(self, name: str) -> Table:
        """One of the four by its name."""
        found: Table = getattr(self, name)
        return found


def run_scan(
    paths: Iterable[Path | str],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    functions: bool = True,
    digests: bool = False,
    engine: Engine | None = None,
) -> Scan:
    """Scan files, folders, Debian packages, and what is in stores.

    Args:
        paths: what to scan; a URL as text.
        jobs: processes; as many as there are CPUs if not given.
        progress: is told how far it is.
        functions: whether the table of functions is wanted: most of the memory goes there. It is empty otherwise.
        digests: work out what each function's code is, to be compared with another scan.
        engine: who scans; processes of this machine if not given.
    """
    if engine is None:
        with open_engine(jobs=jobs) as engine:
            return run_scan(paths, progress=progress, functions=functions, digests=digests, engine=engine)
    batches = scan_batches(paths, engine, progress=progress, functions=functions, digests=digests)
    found = {batch.number: results for batch, results in batches}
    return Scan.of(result for number in sorted(found) for result in found[number])


def scan_batches(
    paths: Iterable[Path | str],
    engine: Engine,
    *,
    size: Size | None = None,
    progress: Progress | None = None,
    functions: bool = True,
    digests: bool = False,
    skip: Callable[[Batch], bool] = lambda _batch: False,
) -> Iterator[tuple[Batch, list[Result]]]:
    """Scan batch by batch.

    Args:
        paths: what to scan; a URL as text.
        engine: who scans.
        size: of batches; what suits the engine if not given.
        progress: is told how far it is.
        functions: whether the table of functions is wanted.
        digests: work out what each function's code is.
        skip: whether the results of a batch are known already.

    Returns:
        Batches with the results for all images in them, in the order in which they are done.
    """
    found = _found([str(path) for path in paths], engine)
    if len(found) == 1 and isinstance(found[0], Source) and not found[0].is_package and not engine.is_cluster:
        engine = Here()
    size = size or (LARGE if engine.is_cluster else SMALL)
    listed = Listed(found, _not_everywhere(found, engine) if engine.is_cluster else None)
    work = partial(scan_batch, functions=functions, digests=digests, elsewhere=engine.is_cluster)
    done = 0
    for batch, parcel in engine.each(
        work, (listed.sendable(b) for b in listed.batches(size) if not skip(b)), ahead=_AHEAD
    ):
        results = _one_by_one(engine, work, batch) if isinstance(parcel, Lost) else unpacked_results(parcel)
        done += len(results)
        listed.known += len(results) - len(batch.units)
        if progress and results:
            progress(done, listed.known, _name(results[-1]))
        yield batch, results


def _found(paths: Sequence[str], engine: Engine) -> list[Source | Failure]:
    """Stores are listed by those who will read them: they have the way there, and what proves who they are."""
    stored = dict(engine.each(sources_in_store, [path for path in paths if is_url(path)]))
    found: list[Source | Failure] = []
    for path in paths:
        listing = stored[path] if is_url(path) else sources(Path(path))
        found += [Failure(path, listing.reason)] if isinstance(listing, Lost) else listing
    return found


def _not_everywhere(found: Iterable[Source | Failure], engine: Engine) -> set[str]:
    """Files of this machine that some worker does not see: they are sent to whoever scans them."""
    local = [source for source in found if isinstance(source, Source) and not source.is_remote]
    return {name for missing in engine.everywhere(missing_here, local) for name in missing}


def _one_by_one(engine: Engine, work: Callable[[Batch], Parcel], batch: Batch) -> list[Result]:
    """A batch over which processes died, image by image: which one is it?"""
    results: list[Result] = []
    ones = [replace(batch, number=place, units=(unit,)) for place, unit in enumerate(batch.units)]
    found = dict(engine.each(work, ones))
    for one in ones:
        parcel = found[one]
        results += [Failure(one.units[0].name, parcel.reason)] if isinstance(parcel, Lost) else unpacked_results(parcel)
    return results


def _name(result: Result) -> str:
    return result.name if isinstance(result, Failure) else result.image
