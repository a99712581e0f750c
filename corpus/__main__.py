"""python -m corpus: run the corpus, or go on where an earlier run stopped; print its table."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from corpus.files import changed_files, included_files
from corpus.guests import Guests, together
from corpus.judge import Sources, Verdict, judge
from corpus.table import table
from corpus.workers import Workers
from oddtoc.build.tree import prepare_tree
from oddtoc.debian import cache_folder, fetch_kernel
from oddtoc.debian.sources import fetch_source, source_versions
from oddtoc.image.elf import Image

SERIES = "6.1"


def main() -> None:
    """Judge every file that was not judged yet, two at a time."""
    parser = argparse.ArgumentParser(prog="corpus", description=__doc__)
    parser.add_argument("--limit", type=int, default=None, help="judge at most so many files")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time, each with a guest of its own")
    parser.add_argument("--only", default="", help="judge only files whose names begin so, or of that module")
    parser.add_argument("--version", default=None, help="the newer source's version [the newest on the mirror]")
    parser.add_argument("--build-only", action="store_true", help="decide without a guest; kept apart from other runs")
    options = parser.parse_args()
    kernel = fetch_kernel(SERIES)
    version = options.version or source_versions(SERIES)[0]
    tree = prepare_tree(fetch_source(SERIES, kernel.version), kernel.config, release=kernel.release)
    new = fetch_source(SERIES, version)
    files = changed_files(tree, new)
    log = cache_folder() / "corpus" / f"{kernel.version}-{version}{'-built' if options.build_only else ''}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    known = {plain["file"]: plain for plain in _read(log)}
    asked = [file for file, module in files.items() if file.startswith(options.only) or module == options.only]
    todo = [file for file in asked if file not in known][: options.limit]
    sources = Sources(tree, new, files, Image.open(kernel.vmlinux), kernel.modules, included_files(tree, new))
    try:
        with Workers(lambda: Bench(sources, todo, options.build_only), options.jobs) as workers, log.open("a") as out:
            for verdict in workers.judged(grouped(todo, files, with_guests=not options.build_only)):
                out.write(json.dumps(verdict.plain()) + "\n")
                out.flush()
                known[verdict.file] = verdict.plain()
                print(f"{verdict.outcome:9} {verdict.file} {verdict.reason}", flush=True)
    except KeyboardInterrupt:
        sys.exit("interrupted: the guests are stopped, and the next run goes on behind the last file above")
    print(f"for a page: oddtoc report {log} -o corpus.html")
    print(table([known[file] for file in files if file in known], len(files), f"{kernel.version} to {version}"))


def grouped(todo: Sequence[str], files: Mapping[str, str], *, with_guests: bool) -> list[list[str]]:
    """Files that may be in one patch: those of a module, or of a folder of the kernel proper.

    Args:
        todo: all that are going to be judged.
        files: each with its module.
        with_guests: those whose modules are in one guest come one behind the other.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file in todo:
        found[files[file], "" if files[file] else PurePosixPath(file).parent.as_posix()].append(file)
    guests = together(files[file] for file in todo) if with_guests else []
    guest = {module: number for number, names in enumerate(guests) for module in names}
    # neighbours share a guest, and the largest goes first: nobody waits for it at the end
    order = sorted(found.items(), key=lambda item: (guest.get(item[0][0], -1), -len(item[1])))
    return [group for _, group in order]


def _read(log: Path) -> Iterator[dict[str, Any]]:
    if log.exists():
        yield from map(json.loads, log.read_text().splitlines())


class Bench:
    """Judges files in a guest of its own.

    Args:
        sources: where they come from.
        todo: all that are going to be judged.
        build_only: they are not applied.
    """

    def __init__(self, sources: Sources, todo: list[str], build_only: bool = False) -> None:
        self._sources = sources
        modules = (sources.files[file] for file in todo)
        self._guests = None if build_only else Guests(fetch_kernel(SERIES), modules)
        self._folder = Path(tempfile.mkdtemp())

    def judge(self, file: str) -> Verdict:
        """What became of a file."""
        return judge(file, self._sources, self._guests, self._folder)

    def stop(self) -> None:
        """End its guest, and what it has built."""
        if self._guests is not None:
            self._guests.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":
    main()
