"""The archive against busybox's own cpio, run by qemu-user."""

import os
import stat
import subprocess

import pytest

from oddtoc.errors import GuestError
from oddtoc.target.initramfs import Archive, initramfs


@pytest.fixture(scope="session")
def cpio(kernels):
    def run(*arguments, **options):
        command = ["qemu-ppc64le", str(kernels["7.2"].busybox), "cpio", *arguments]
        return subprocess.run(command, check=True, capture_output=True, **options).stdout

    return run


def test_contents_names_and_permissions_survive(cpio, tmp_path):
    archive = Archive()
    contents = {f"deep/er/{'n' * size}": os.urandom(size) for size in range(1, 40)}
    for name, content in contents.items():
        archive.file(name, content, 0o640)
    archive.file("/tool", b"#!/bin/sh\n", 0o755)
    archive.file(".hidden", b"")
    cpio("-idm", input=archive.finish(), cwd=tmp_path)
    found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert found.keys() == contents.keys() | {"tool", ".hidden"}
    assert all(found[name].read_bytes() == content for name, content in contents.items())
    assert {stat.S_IMODE(found[name].stat().st_mode) for name in contents} == {0o640}
    assert stat.S_IMODE(found["tool"].stat().st_mode) == 0o755


def test_a_folder_comes_once_and_before_what_is_in_it(cpio):
    archive = Archive()
    archive.folder("a/b")
    archive.file("a/b/c", b"")
    archive.file("a/d", b"")
    assert cpio("-t", input=archive.finish()).decode().split() == ["a", "a/b", "a/b/c", "a/d"]


def test_the_initramfs_has_what_was_asked_for(cpio, kernels, tmp_path):
    extra = tmp_path / "extra"
    extra.write_bytes(b"\0\xff" * 1000)
    extra.chmod(0o755)
    busybox = kernels["7.2"].busybox
    made = initramfs(busybox, modules=[("second", b"2"), ("first", b"1")], files={"/opt/extra": extra})
    listed = cpio("-tv", input=made).decode()
    assert "crw-------" in next(line for line in listed.splitlines() if line.endswith("dev/console"))
    names = cpio("-t", input=made).decode().split()
    assert [name for name in names if name.endswith(".ko")] == ["lib/modules/000/second.ko", "lib/modules/001/first.ko"]
    assert {"init", "sbin/agent", "bin/busybox", "opt/extra"} <= set(names)


def test_a_file_that_is_not_there(kernels, tmp_path):
    with pytest.raises(GuestError, match="nothing can't be read for the guest"):
        initramfs(kernels["7.2"].busybox, files={"/x": tmp_path / "nothing"})
