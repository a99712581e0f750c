"""Images in stores: an HTTP server, an S3 server, a folder under a URL; read where they are scanned."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from cluster import OURS, DaskCluster
from oddtoc.errors import UsageError
from oddtoc.scan.run import run_scan
from oddtoc.scan.store import is_url

from .conftest import build_package

_PATIENCE = 60
_UPLOAD = """
import fsspec, sys
store = fsspec.filesystem("s3")
store.mkdir("bucket")
store.put(sys.argv[1], "bucket/", recursive=True)
"""


@pytest.fixture(scope="module")
def folder(modules, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Modules in folders, a package, and what is no image."""
    folder = tmp_path_factory.mktemp("stored") / "images"
    for number, path in enumerate(modules[:6]):
        (folder / f"set-{number % 2}" / "inside").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"set-{number % 2}" / ("inside" if number > 3 else "") / path.name)
    (folder.parent / "inside").mkdir()
    shutil.copy(modules[6], folder.parent / "inside")
    build_package(folder.parent / "inside", folder / "m.deb")
    (folder / "notes.txt").write_text("no image, and longer than the first bytes that are looked at\n")
    (folder / "broken.ko").write_bytes(b"\x7fELF, and nothing else")
    return folder


@contextmanager
def served(command: list[object], port: int) -> Iterator[None]:
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            limit = time.monotonic() + _PATIENCE
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert server.poll() is None and time.monotonic() < limit
                time.sleep(0.05)
            yield
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def stores(folder: Path) -> Iterator[dict[str, str]]:
    """URLs of what is in the folder."""
    http, s3 = free_port(), free_port()
    key = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    moto = [sys.executable, "-c", "from moto.server import main; main()", "-p", s3]
    with (
        pytest.MonkeyPatch.context() as patch,
        served([sys.executable, "-m", "http.server", "-b", "127.0.0.1", "-d", folder.parent, http], http),
        served(moto, s3),
    ):
        for name, value in key.items():
            patch.setenv(name, value)
        subprocess.run([sys.executable, "-c", _UPLOAD, folder], check=True)
        yield {
            "http": f"http://127.0.0.1:{http}/images/",
            "s3": "s3://bucket/images",
            "file": f"file://{quote(str(folder))}",
        }


def scan(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oddtoc", "scan", "--table", "functions", "--format", "csv", *map(str, words)]
    environment = {**os.environ, **OURS}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


@pytest.mark.parametrize("scheme", ["http", "s3", "file"])
def test_a_store_gives_what_the_folder_gives(folder: Path, stores, scheme: str):
    url = stores[scheme].rstrip("/")
    expected = scan("-j", "1", folder)
    assert expected.returncode == 1 and len(expected.stdout.splitlines()) > 500
    found = scan("-j", "2", stores[scheme])
    assert found.stdout == expected.stdout.replace(str(folder), url)
    assert found.stderr == expected.stderr.replace(str(folder), url)
    assert "m.deb:" in found.stdout and "broken.ko" in found.stderr and "notes.txt" not in found.stderr
    named = scan("-j", "1", f"{url}/m.deb", f"{url}/notes.txt")
    assert {line.partition(",")[0] for line in named.stdout.splitlines()[1:]} == {
        line.partition(",")[0] for line in found.stdout.splitlines() if "m.deb:" in line
    }
    assert "notes.txt is not an ELF file" in named.stderr


def test_workers_read_stores_themselves(folder: Path, stores, tmp_path: Path):
    cluster = DaskCluster(tmp_path)
    try:
        cluster.add_worker()
        found = scan("--scheduler", cluster.address, stores["s3"])
    finally:
        cluster.close()
    assert found.stdout == scan("-j", "1", folder).stdout.replace(str(folder), stores["s3"])


def test_stores_that_can_not_be_read_are_listed(stores):
    broken = {
        f"http://127.0.0.1:{free_port()}/x.ko": "Cannot connect",
        stores["http"] + "none.ko": "there is no such file",
        "s3://nobody-has-this/": "nobody-has-this",
        "file:///nowhere/at/all": "there is no such file",
        "unheard-of://x/y": "Protocol not known",
    }
    result = scan("-j", "1", *broken)
    assert result.returncode == 1 and len(result.stdout.splitlines()) == 1
    listed = result.stderr.splitlines()[1:]
    for (url, reason), line in zip(broken.items(), listed, strict=True):
        assert f"{url} can't be read" in line and reason in line, line


def test_a_missing_library_is_asked_for(tmp_path: Path):
    (tmp_path / "fsspec").mkdir()
    (tmp_path / "fsspec" / "__init__.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "distributed.py").write_text("raise ImportError('not here')\n")
    paths = {"PYTHONPATH": f"{tmp_path}:{OURS['PYTHONPATH']}"}
    for words in (["s3://b/x"], ["--scheduler", "tcp://127.0.0.1:1", "x.ko"]):
        command = [sys.executable, "-m", "oddtoc", "scan", *words]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **paths})
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1] == "  pip install 'oddtoc[cluster]'"


def test_a_password_in_a_url_is_not_taken(tmp_path):
    for url in ("https://me:secret@host/kernels", "s3://key:se@cret@bucket"):
        with pytest.raises(UsageError, match="a password stands in the URL of") as caught:
            run_scan([url])
        assert "secret" not in str(caught.value) and "cret" not in str(caught.value)
    assert not is_url(str(tmp_path)) and is_url("https://me@host/kernels") and is_url("http://host:80/a@b")
