"""What a file of targets may say, and how targets become waves."""

from __future__ import annotations

from pathlib import Path

import pytest

from oddtoc.errors import UsageError
from oddtoc.fleet import Pace, chosen, read_targets, wave_size

FILE = """
# a comment, and an empty line

guest:a
gdb://127.0.0.1:1234#77 name=db1 zone=north rack="3 left"
/run/vm.sock  vmlinux=images/vmlinux modules=/lib/m resource=host2 zone=south
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "targets").write_text(FILE)
    return tmp_path / "targets"


def test_lines_are_targets(file: Path):
    guest, process, socket = read_targets(file)
    assert (guest.address, guest.name, guest.vmlinux, guest.labels) == ("guest:a", "guest:a", None, ())
    assert (process.address, process.name) == ("gdb://127.0.0.1:1234#77", "db1")
    assert process.labels == (("zone", "north"), ("rack", "3 left"))
    assert (socket.vmlinux, socket.modules) == (file.parent / "images/vmlinux", Path("/lib/m"))
    assert (socket.resource, socket.labels) == ("host2", (("zone", "south"),))


def test_labels_choose(file: Path):
    targets = read_targets(file)
    assert chosen(targets, []) == targets
    assert [target.name for target in chosen(targets, ["zone=north", "rack=3 left"])] == ["db1"]
    for labels in (["zone=west"], ["zone"], ["zone=north", "zone=south"]):
        with pytest.raises(UsageError):
            chosen(targets, labels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# nothing\n", "names no targets"),
        ("guest:a\nguest:a\n", "names guest:a twice"),
        ("guest:a name=x\nguest:b name=x\n", "names x twice"),
        ("guest:a b\n", "line 1: b is no label"),
        ("guest:a =x\n", "line 1: =x is no label"),
        ("\nguest:a 'x\n", "line 2: No closing quotation"),
        ("guest:\udcff", "it is no text"),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, text: str, said: str):
    (tmp_path / "targets").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=said):
        read_targets(tmp_path / "targets")
    with pytest.raises(UsageError, match="can't be read"):
        read_targets(tmp_path)


def test_waves(tmp_path: Path):
    (tmp_path / "targets").write_text("".join(f"guest:{number}\n" for number in range(11)))
    targets = read_targets(tmp_path / "targets")
    for pace, sizes in {
        Pace(): [1, 10],
        Pace(2, 4): [2, 4, 4, 1],
        Pace(1, wave_size("25%", 11)): [1, 3, 3, 3, 1],
        Pace(20, 1): [11],
    }.items():
        waves = pace.waves(targets)
        assert [len(wave) for wave in waves] == sizes
        assert [target for wave in waves for target in wave] == targets
    assert wave_size("1%", 11) == 1 and wave_size("100%", 11) == 11
    for text in ("0", "-1", "x", "1.5", "%", "0%", ""):
        with pytest.raises(UsageError):
            wave_size(text, 11)
