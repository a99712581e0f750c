"""Many images, scanned by several processes: the same tables as by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oddtoc.errors import OddtocError
from oddtoc.scan.image import ImageScan, images_table, scan_image
from oddtoc.scan.sources import Candidate, Failure, Source, sources
from oddtoc.scan.table import Table, joined

Progress = Callable[[int, int, str], None]
"""Told how many images are done, of how many known so far, and which was the last one."""

_AHEAD: Final = 4
"""Images that wait for each process: members of packages wait in memory."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found in all images.

    Args:
        scans: each image's own tables, in the order in which they were named.
        failed: what could not be scanned.
    """

    scans: list[ImageScan]
    failed: list[Failure]

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
    paths: Iterable[Path], *, jobs: int | None = None, progress: Progress | None = None, digests: bool = False
) -> Scan:
    """Scan files, folders and Debian packages.

    Args:
        paths: what to scan.
        jobs: processes; as many as there are CPUs if not given.
        progress: is told how far it is.
        digests: work out what each function's code is, to be compared with another scan.
    """
    found = sources(paths)
    jobs = jobs or len(os.sched_getaffinity(0))
    report = progress or (lambda _done, _known, _name: None)
    alone = len(found) == 1 and isinstance(found[0], Source) and not found[0].is_package
    listed = _Listed(found)
    results: dict[int, ImageScan | Failure] = {}
    for number, result in _here(listed, digests) if jobs == 1 or alone else _by_processes(listed, jobs, digests):
        results[number] = result
        report(len(results), listed.known, result.image if isinstance(result, ImageScan) else result.name)
    ordered = [results[number] for number in sorted(results)]
    return Scan(
        [result for result in ordered if isinstance(result, ImageScan)],
        [result for result in ordered if isinstance(result, Failure)],
    )


_Numbered = Iterator[tuple[int, ImageScan | Failure]]


class _Listed:
    """All candidates, numbered, and how many there are as far as is known: packages tell theirs one by one."""

    def __init__(self, found: list[Source | Failure]) -> None:
        self._found = found
        self.known = len(found)

    def __iter__(self) -> Iterator[tuple[int, Candidate | Failure]]:
        number = 0
        for source in self._found:
            for inside, candidate in enumerate(source.candidates() if isinstance(source, Source) else [source]):
                self.known += inside > 0
                yield number, candidate
                number += 1


def _scan(candidate: Candidate, digests: bool) -> ImageScan | Failure:
    try:
        return scan_image(candidate.open(), candidate.name, digests=digests)
    except OddtocError as error:
        return Failure(candidate.name, error.message)


def _here(listed: _Listed, digests: bool) -> _Numbered:
    for number, candidate in listed:
        yield number, candidate if isinstance(candidate, Failure) else _scan(candidate, digests)


def _by_processes(listed: _Listed, jobs: int, digests: bool) -> _Numbered:
    pool = _Pool(jobs, digests)
    try:
        for number, candidate in listed:
            if isinstance(candidate, Failure):
                yield number, candidate
                continue
            pool.submit(number, candidate)
            while len(pool.waiting) >= jobs * _AHEAD:
                yield from pool.finished()
        while pool.waiting:
            yield from pool.finished()
    finally:
        pool.close()


class _Pool:
    """Processes that scan. When one of them dies, what was under way is scanned again, each image by one of its own."""

    def __init__(self, jobs: int, digests: bool) -> None:
        self._jobs = jobs
        self._digests = digests
        self._executor = ProcessPoolExecutor(jobs)
        self.waiting: dict[Future[ImageScan | Failure], tuple[int, Candidate]] = {}

    def submit(self, number: int, candidate: Candidate) -> None:
        try:
            future = self._executor.submit(_scan, candidate, self._digests)
        except BrokenProcessPool:
            self._executor = ProcessPoolExecutor(self._jobs)
            future = self._executor.submit(_scan, candidate, self._digests)
        self.waiting[future] = number, candidate

    def finished(self) -> _Numbered:
        """Waits for at least one."""
        done, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
        for future in done:
            number, candidate = self.waiting.pop(future)
            try:
                yield number, future.result()
            except BrokenProcessPool:
                yield number, self._alone(candidate)

    def _alone(self, candidate: Candidate) -> ImageScan | Failure:
        with ProcessPoolExecutor(1) as executor:
            try:
                return executor.submit(_scan, candidate, self._digests).result()
            except BrokenProcessPool:
                return Failure(candidate.name, "the process that scanned it was killed: is there enough memory?")

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
