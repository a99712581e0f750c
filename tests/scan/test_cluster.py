"""Scans by the workers of a Dask cluster: the same tables as by one process, whoever dies on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

import oddtoc
from cluster import OURS, DaskCluster
from oddtoc.engine import open_engine
from oddtoc.scan.run import run_scan

from .conftest import build_package

NAMES = ("images", "functions", "jumps", "room")


@pytest.fixture
def cluster(tmp_path: Path):
    (tmp_path / "dask").mkdir()
    cluster = DaskCluster(tmp_path / "dask")
    yield cluster
    cluster.close()


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "oddtoc", "scan", *map(str, words)]


def scan(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **OURS}
    return subprocess.run(
        command(*words), capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=300
    )


@pytest.fixture(scope="module")
def images(kernels) -> list[Path]:
    """A fifth of the modules of a kernel."""
    return [kernels["6.1"].modules / name for name in ("fs", "net")]


def rows(path: Path) -> list[dict]:
    return pyarrow.parquet.read_table(path).to_pylist()


def test_a_killed_worker_costs_nothing_but_time(images, cluster: DaskCluster, tmp_path: Path):
    workers = [cluster.add_worker(), cluster.add_worker()]
    tables = tmp_path / "tables"
    words = ["--format", "parquet", "-o", tables, *images]
    with subprocess.Popen(command("--scheduler", cluster.address, *words)) as running:
        while not list(tables.glob("*/part-*")):
            assert running.poll() is None
            time.sleep(0.02)
        cluster.kill(workers[0])
        early = len(list(tables.glob("images/part-*")))
        assert running.wait(timeout=300) == 0
    assert early + 2 <= len(list(tables.glob("images/part-*"))), "killed too late: nothing was left to be lost"
    alone = run_scan(images)
    assert len(alone.scans) > 600
    for name in NAMES:
        assert rows(tables / name) == list(alone.table(name).rows())
    parts = {path: path.stat().st_mtime_ns for path in tables.glob("*/part-*")}
    lost = sorted(parts)[2]
    lost.unlink()
    assert scan("--scheduler", cluster.address, *words).returncode == 0
    again = {path: path.stat().st_mtime_ns for path in tables.glob("*/*")}
    written = {path for path in parts if again[path] != parts[path]}
    assert written == {tables / name / lost.name for name in NAMES}, "only the batch whose part was missing"
    assert rows(lost.parent) == list(alone.table(lost.parent.name).rows())


def test_files_that_a_worker_does_not_see_are_sent(modules, cluster: DaskCluster, tmp_path: Path):
    """/proc/self/cwd is another folder for every process."""
    cluster.add_worker()
    (tmp_path / "mine").mkdir()
    for path in modules[:4]:
        shutil.copy(path, tmp_path / "mine")
    (tmp_path / "dask" / modules[0].name).write_bytes(b"another file of that name")
    (tmp_path / "mine" / "bad.ko").write_bytes(b"\x7fELF")
    result = scan("--scheduler", cluster.address, "--table", "functions", "/proc/self/cwd", cwd=tmp_path / "mine")
    alone = scan("-j", "1", "--table", "functions", "/proc/self/cwd", cwd=tmp_path / "mine")
    assert (result.returncode, result.stdout, result.stderr) == (1, alone.stdout, alone.stderr)
    assert len(result.stdout.splitlines()) > 300 and "bad.ko is not an ELF file" in result.stderr


def test_packages_and_digests(modules, cluster: DaskCluster, tmp_path: Path):
    cluster.add_worker()
    (tmp_path / "inside").mkdir()
    for path in modules[:3]:
        shutil.copy(path, tmp_path / "inside")
    package = tmp_path / "modules.deb"
    build_package(tmp_path / "inside", package)
    with open_engine(cluster.address) as engine:
        by_cluster = run_scan([package, modules[3]], engine=engine, digests=True)
    here = run_scan([package, modules[3]], jobs=1, digests=True)
    assert len(here.scans) == 4 and not here.failed
    for one, other in zip(here.scans, by_cluster.scans, strict=True):
        assert one.figures == other.figures and one.digests is not None
        assert one.digests.tolist() == other.digests.tolist()


def fails(cluster_address: str, *images: object) -> list[str]:
    result = scan("--scheduler", cluster_address, *images)
    assert result.returncode in (1, 2) and not result.stdout
    return result.stderr.splitlines()


def test_what_is_wrong_with_a_cluster_is_said(modules, cluster: DaskCluster, tmp_path: Path):
    assert fails("tcp://127.0.0.1:9", modules[0])[0] == "oddtoc: no Dask scheduler answers at tcp://127.0.0.1:9"
    assert fails("nowhere", modules[0])[0] == "oddtoc: nowhere is no address of a Dask scheduler"
    assert fails(cluster.address, modules[0]) == [
        f"oddtoc: no workers at {cluster.address}",
        f"  start some: dask worker {cluster.address}",
    ]
    other = tmp_path / "other"
    shutil.copytree(Path(oddtoc.__file__).parent, other / "oddtoc", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "oddtoc" / "isa.py").open("a").write("# something else\n")
    cluster.add_worker(PYTHONPATH=str(other))
    said = fails(cluster.address, modules[0])
    assert "has another oddtoc: 0.1.0 with sources" in said[0] and "install the same there as here" in said[1]


def test_a_scheduler_that_goes_is_noticed(images, cluster: DaskCluster, tmp_path: Path):
    cluster.add_worker()
    words = ["--format", "parquet", "-o", tmp_path / "tables", *images]
    with subprocess.Popen(
        command("--scheduler", cluster.address, *words), stderr=subprocess.PIPE, text=True
    ) as running:
        while not list(tmp_path.glob("tables/*/part-*")):
            assert running.poll() is None
            time.sleep(0.02)
        cluster.scheduler.kill()
        said = running.communicate(timeout=120)[1].splitlines()
    assert running.returncode == 1
    assert said == [
        f"oddtoc: the scheduler at {cluster.address} does not answer any more",
        "  start it and give the same command",
    ]
