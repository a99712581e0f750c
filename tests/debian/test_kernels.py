"""Debian's kernels on the mirror that this machine is configured with."""

import hashlib
import json
import shutil
import subprocess

import pytest

from oddtoc.debian import SERIES, apt, cache_folder, fetch_kernel, fetched_kernels, find_kernel, kernels
from oddtoc.debian.apt import Found, PrivateApt
from oddtoc.errors import FetchError, UsageError


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "oddtoc"


@pytest.fixture(scope="session")
def bookworm(tmp_path_factory):
    """An apt that knows one real suite, and one that no mirror has."""
    private = PrivateApt(tmp_path_factory.mktemp("apt"), ["bookworm", "bookworm-no-such-suite"])
    private.complaint = private.update()
    return private


@pytest.fixture
def no_network(monkeypatch):
    """A proxy that nobody is."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def test_a_kernel_is_whole(kernels, series):
    kernel = kernels[series]
    header = subprocess.run(["powerpc64le-linux-gnu-readelf", "-h", kernel.vmlinux], capture_output=True, check=True)
    assert b"PowerPC64" in header.stdout
    assert f"Linux version {kernel.release} ".encode() in kernel.vmlinux.read_bytes()
    assert kernel.release.startswith(series)
    assert f"Linux/powerpc {kernel.version.partition('-')[0]} Kernel" in kernel.config.read_text()
    assert any(kernel.modules.rglob("loop.ko*"))
    applets = subprocess.run(["qemu-ppc64le", kernel.busybox, "--list"], capture_output=True, check=True).stdout
    assert b"insmod" in applets.split()


@pytest.mark.usefixtures("no_network")
def test_what_was_fetched_is_found_without_a_network(kernels, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert {kernel.series: kernel for kernel in fetched_kernels()}.items() >= kernels.items()
    assert {series: fetch_kernel(series) for series in SERIES} == kernels


def test_a_refresh_keeps_what_is_the_newest(kernels):
    before = kernels["6.1"].vmlinux.stat()
    said = []
    fetched = fetch_kernel("6.1", refresh=True, report=lambda what, _percent: said.append(what), note=said.append)
    after = fetched.vmlinux.stat()
    assert said[0] == "reading package lists"
    assert (before.st_ino == after.st_ino) == (fetched == kernels["6.1"])


def test_a_kernel_that_the_mirror_lists_and_does_not_have(bookworm):
    missing, there = Found("linux-image-6.1.0-99-powerpc64le", "6.1.999-1"), bookworm.newest("busybox-static")
    said = []
    chosen, (archive,) = kernels._download(bookworm, [[missing], [there]], None, lambda *_: None, said.append)
    assert chosen == [there] and archive.exists()
    assert len(said) == 1 and "linux-image-6.1.0-99-powerpc64le" in said[0]
    with pytest.raises(FetchError, match="could not download linux-image"):
        kernels._download(bookworm, [[missing]], None, lambda *_: None, said.append)


def test_a_suite_that_can_not_be_had_does_not_stop_the_others(bookworm):
    assert "bookworm-no-such-suite" in bookworm.complaint
    assert bookworm.newest("busybox-static") is not None


def test_the_newest_is_the_newest_to_dpkg(bookworm):
    newest = bookworm.newest(r"linux-image-6\.1\.[0-9-]+-powerpc64le")
    shown = bookworm._run("apt-cache", "search", "--names-only", "--full", r"^linux-image-6\.1\.[0-9-]+-powerpc64le$")
    versions = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("Version: ")]
    assert newest.version in versions
    for version in versions:
        subprocess.run(["dpkg", "--compare-versions", newest.version, "ge", version], check=True)


def test_a_download_goes_on_and_is_what_apt_promised(bookworm):
    package = bookworm.newest("busybox-static")
    percents = []
    (archive,) = bookworm.download([package], lambda _what, percent: percents.append(percent))
    shown = bookworm._run("apt-cache", "show", f"{package.name}={package.version}").stdout
    promised = next(line.split()[1] for line in shown.splitlines() if line.startswith("SHA256: "))
    whole = archive.read_bytes()
    assert hashlib.sha256(whole).hexdigest() == promised
    archive.write_bytes(whole[: len(whole) // 2])
    assert bookworm.download([package], lambda *_: None) == [archive]
    assert archive.read_bytes() == whole


def test_the_machine_keeps_its_own_apt(bookworm):
    ours = bookworm._run("apt-config", "dump").stdout
    assert 'APT::Architectures:: "ppc64el"' in ours
    assert "APT::Update::" not in ours
    theirs = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    assert str(bookworm.folder) not in theirs


@pytest.mark.usefixtures("empty_cache", "no_network")
def test_without_a_network():
    with pytest.raises(FetchError, match=r"no ppc64el kernel 6\.1 is in bookworm, bookworm-security: .*127\.0\.0\.1"):
        fetch_kernel("6.1")
    assert find_kernel("6.1") is None


@pytest.mark.usefixtures("empty_cache")
def test_without_apt(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(FetchError, match="there is no apt-get here"):
        fetch_kernel("6.1")


def test_a_machine_whose_apt_has_no_debian(monkeypatch, tmp_path):
    (tmp_path / "apt.conf").write_text('Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "/dev/null";')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    with pytest.raises(FetchError, match="no Debian mirror"):
        apt.mirrors()


@pytest.mark.parametrize("series", ["", "6", "5.10", "6.1-32k", "../6.1", "6.1-64k-64k"])
def test_a_series_that_is_none(series):
    with pytest.raises(UsageError, match="unknown kernel series") as caught:
        fetch_kernel(series)
    assert all(known in caught.value.advice for known in SERIES)


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / "broken.deb").write_text("no archive")
    with pytest.raises(FetchError, match=r"broken\.deb can't be unpacked"):
        kernels._install("6.1", Found("linux-image-x", "1"), [tmp_path / "broken.deb"], tmp_path / "6.1")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.deb"]


def test_a_cache_that_was_damaged_is_none(empty_cache, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    whole = cache_folder() / "kernels" / "6.1" / "kernel.json"
    monkeypatch.setenv("XDG_CACHE_HOME", str(empty_cache.parent))
    folder = empty_cache / "kernels" / "6.1"
    folder.mkdir(parents=True)
    shutil.copy(whole, folder)
    assert find_kernel("6.1") is None
    parts = json.loads(whole.read_text())
    for part in ("vmlinux", "config", "busybox"):
        (folder / parts[part]).parent.mkdir(parents=True, exist_ok=True)
        (folder / parts[part]).touch()
    assert find_kernel("6.1") is None
    (folder / parts["modules"]).mkdir(parents=True)
    assert find_kernel("6.1") is not None
    (folder / "kernel.json").write_text("{")
    assert find_kernel("6.1") is None
    assert fetched_kernels() == []
