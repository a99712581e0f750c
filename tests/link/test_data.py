"""Records of variables that are written in place: read from a patch object, or refused where they are malformed."""

import pytest

from oddtoc.build.objectfile import ObjectFile
from oddtoc.errors import PatchError
from oddtoc.link.data import RECORD, DataWrite, data_writes
from oddtoc.link.object import DATA_SECTION, KERNEL_SECTION, PatchObject

ADDRESS = 0xC000000001000000


@pytest.fixture
def patch(tmp_path):
    """A patch object with one record: `patch(address, size, offset of the new words)`."""

    def get(address=ADDRESS, size=8, offset=8, *, cut=0, pointer=38, kernel=b"one"):
        target = ObjectFile()
        table, copy = target.section(DATA_SECTION, 0, 8), target.section(".rodata.copy", 2, 8)
        copy.append(bytes(16))
        table.append((RECORD.pack(b"limit", address, size) + bytes(8))[: RECORD.size + 8 - cut])
        if pointer:
            table.relocations.append((RECORD.size, pointer, target.mark(copy), offset))
        if kernel:
            target.section(KERNEL_SECTION, 0).append(kernel)
        target.write(tmp_path / "patch.o")
        return PatchObject.open(tmp_path / "patch.o")

    return get


def test_a_record_says_which_words_change_and_where_the_new_ones_are(patch):
    parsed = patch()
    section = next(s.index for s in parsed.sections.values() if s.name == ".rodata.copy")
    assert list(data_writes(parsed)) == [DataWrite("limit", ADDRESS, 8, section, 8)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cut": 4}, "no multiple"),
        ({"kernel": b""}, "any kernel"),
        ({"pointer": 0}, "does not point"),
        ({"pointer": 1}, "does not point"),
        ({"address": ADDRESS + 2}, "whole words"),
        ({"size": 6}, "whole words"),
        ({"size": 0}, "whole words"),
        ({"size": 1 << 40}, "whole words"),
        ({"offset": 12}, "that are there"),
        ({"offset": -8}, "that are there"),
    ],
)
def test_a_malformed_record_is_refused(patch, changes, message):
    with pytest.raises(PatchError, match=message):
        list(data_writes(patch(**changes)))
