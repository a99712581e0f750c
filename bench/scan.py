"""How fast whole images are scanned, beside objdump -d over the same file in the same run.

Run by `make bench`. `tables` is the work itself in a warm interpreter: opening the image and working out all tables;
`command` is the whole command with everything that it prints or writes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.kept import Measurement, write
from distributed import LocalCluster
from playwright.sync_api import sync_playwright

from oddtoc.debian import fetch_kernel
from oddtoc.image.elf import Image
from oddtoc.scan import scan_image

_MEASURED: list[Measurement] = []


def main() -> None:
    """Print one row for each thing measured; seconds, the best of some runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="*", default=["6.1", "6.12", "7.2"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    print(f"{'kernel':8}{'what':34}{'seconds':>9}{'MB':>7}   ratio")
    for series in options.kernels:
        kernel = fetch_kernel(series)
        _one_image(series, Path(kernel.vmlinux), options.rounds)
        _all_files(series, [Path(kernel.vmlinux), Path(kernel.modules)])
        _by_cluster(series, [Path(kernel.vmlinux), Path(kernel.modules)])
        _page(series, Path(kernel.vmlinux))
    write(options.json, "how fast a scan is", "the best of some runs; the ratio says how many times faster", _MEASURED)


def _one_image(series: str, vmlinux: Path, rounds: int) -> None:
    command = ["powerpc64le-linux-gnu-objdump", "-d", str(vmlinux)]
    objdump = min(_seconds(lambda: _run(command)) for _ in range(2))
    _row(series, "objdump -d", objdump)
    tables = min(_seconds(lambda: scan_image(Image.open(vmlinux))) for _ in range(rounds))
    _row(series, "tables of vmlinux", tables, ratio=objdump / tables)
    with tempfile.TemporaryDirectory() as folder:
        outputs: dict[str, list[str]] = {"summary": [], "all tables in Parquet": ["--format", "parquet", "-o", folder]}
        for what, words in outputs.items():
            command = [sys.executable, "-m", "oddtoc", "scan", str(vmlinux), *words]
            runs = [_measured(command) for _ in range(2)]
            seconds, peak = min(run[0] for run in runs), max(run[1] for run in runs)
            _row(series, f"command, {what}", seconds, peak, objdump / seconds)


def _all_files(series: str, paths: Sequence[Path]) -> None:
    alone = 0.0
    packed = "xz" if any(paths[1].rglob("*.xz")) else "not compressed"
    for jobs in (1, 2):
        command = [sys.executable, "-m", "oddtoc", "scan", "-j", str(jobs), *map(str, paths)]
        seconds, peak = _measured(command)
        alone = alone or seconds
        count = sum(1 for _ in paths[1].rglob("*.ko*")) + 1
        _row(series, f"{count:,} files, {packed}, -j {jobs}", seconds, peak, alone / seconds)


def _by_cluster(series: str, paths: Sequence[Path]) -> None:
    """The same files by one and by two workers of a Dask cluster on this machine, which are up already."""
    alone = 0.0
    for count in (1, 2):
        with LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster:
            words = ["scan", "--scheduler", cluster.scheduler_address, *map(str, paths)]
            # the first one has the workers load their libraries
            seconds, peak = min(_measured([sys.executable, "-m", "oddtoc", *words]) for _ in range(3))
        alone = alone or seconds
        _row(series, f"all files, Dask workers: {count}", seconds, peak, alone / seconds)


def _page(series: str, vmlinux: Path) -> None:
    """How long Chromium takes until the report of a kernel, with all its functions, can be used."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder, "page.html")
        _run([sys.executable, "-m", "oddtoc", "report", str(vmlinux), "-o", str(page)])
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        times = []
        for _ in range(3):
            opened = browser.new_page()
            opened.goto(page.as_uri())
            opened.wait_for_selector("html[data-ready=yes]")
            times.append(opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
            opened.close()
        browser.close()
        _row(series, f"page of {page.stat().st_size >> 20} MB opens", min(times))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and the largest memory of one of its processes in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def _row(series: str, what: str, seconds: float, memory: float = 0, ratio: float = 0) -> None:
    shown = f"{memory:7.0f}" if memory else " " * 7
    print(f"{series:8}{what:34}{seconds:9.3f}{shown}" + (f"   {ratio:5.2f}" if ratio else ""), flush=True)
    _MEASURED.append(Measurement(series, what, seconds, seconds, ratio=ratio))


if __name__ == "__main__":
    main()
