"""Fixes that use oddtoc's own headers: new members that are shadow variables, callbacks, states."""

import subprocess
import sys
from pathlib import Path

import pytest

import fat
import kernellog
from oddtoc.build.fix import build_fix
from oddtoc.build.overlay import apply_diff
from oddtoc.link.notes import callbacks_of
from oddtoc.live.parts import apply_parts
from oddtoc.live.session import Session
from oddtoc.target.modules import load_order

FIXES = Path(__file__).parent / "fixes" / "own"
SHOW_FILE = "umount /mnt 2>/dev/null; mount -t vfat -o loop /fat.img /mnt; stat -c %Y /mnt/FILE"
TOLD = "told by a callback of a fix"


@pytest.fixture(scope="module")
def machine(guest_factory, kernel, tmp_path_factory):
    picture = tmp_path_factory.mktemp("files") / "fat.img"
    picture.write_bytes(fat.image())
    modules = load_order(kernel.modules, ["loop", "vfat", "nls_cp437", "nls_ascii"])
    machine = guest_factory("6.1", modules=modules, files={picture.name: picture})
    machine.run("mkdir -p /mnt")
    return machine


@pytest.fixture
def session(machine):
    machine.run("dmesg -c")
    with Session.open(f"guest:{machine.name}") as session:
        yield session
        assert session.status() == []
        assert all("takes the address" in reason for _, reason in session.gc().kept)
    assert machine.run(kernellog.COMPLAINTS).stdout == b""


@pytest.fixture
def build(tree, image, kernel, tmp_path):
    def get(name):
        overlay = apply_diff(tree.source, FIXES / f"{name}.patch")
        return build_fix(tree, overlay, image, tmp_path / f"{name}.o", modules=kernel.modules).patch

    return get


def reads(machine):
    """What /proc/uptime says before the time, three times."""
    shown = machine.run("cat /proc/uptime /proc/uptime /proc/uptime").stdout.decode()
    return [line.split()[:-2] for line in shown.splitlines()]


def test_objects_that_exist_get_a_new_member(machine, session, build):
    """One file has the first callback, another one the last but two, and a state."""
    patch = build("shadow")
    assert set(callbacks_of(patch)) == {"pre_patch", "post_patch", "post_unpatch"}
    for _ in range(2):
        session.apply(session.plan(patch))
        # the second time from the beginning: a callback has dropped what there was
        assert reads(machine) == [["101"], ["102"], ["103"]]
        (status,) = session.status()
        assert status.record.states == ((0x7EAD, 1),)
        session.revert("shadow")
        assert reads(machine) == [[], [], []]
    assert machine.run(f"dmesg | grep -c '{TOLD}'").stdout == b"2\n"


def test_a_fix_may_be_a_callback_alone(machine, session, build):
    session.apply(session.plan(build("callback")))
    assert machine.run(f"dmesg | grep -c '{TOLD}'").stdout == b"1\n"
    session.revert("callback")


def test_a_file_of_a_module_does_as_well(machine, session, build):
    patch = build("fat")
    plain = machine.run(SHOW_FILE).stdout
    assert not apply_parts(session, patch).waiting
    shown = [machine.run(SHOW_FILE).stdout for _ in range(2)]
    # each mount is another object, perhaps in the same place
    assert shown[0] == shown[1] != plain and (int(shown[0]) - 1_000_000_000) // 86400 in range(1, 9)
    machine.run("umount /mnt")
    session.revert("fat")
    assert machine.run(SHOW_FILE).stdout == plain
    assert machine.run("dmesg | grep -c 'dropped by a callback of a fix'").stdout == b"1\n"


def test_two_files_that_have_the_same_callback(tmp_path):
    text = (
        (FIXES / "shadow.patch")
        .read_text()
        .replace("ODDTOC_CALLBACK(pre_patch, begin)", "ODDTOC_CALLBACK(post_patch, begin)")
    )
    diff = tmp_path / "twice.patch"
    diff.write_text(text)
    command = [sys.executable, "-m", "oddtoc", "build", "--diff", diff, "--kernel", "6.1", "-o", tmp_path / "twice.o"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 4 and "has two callbacks for post_patch" in result.stderr
    assert not (tmp_path / "twice.o").exists()
