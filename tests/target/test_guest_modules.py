"""The order in which modules are loaded, against what pyelftools reads in each of a kernel's modules."""

import gzip
import io
import lzma

import pytest
from elftools.elf.elffile import ELFFile

from oddtoc.errors import GuestError
from oddtoc.target.modules import load_order


def unpacked(path):
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def plain(name):
    return name.partition(".ko")[0].replace("-", "_")


def test_every_module_comes_behind_what_it_needs(kernels):
    folder = kernels["6.1"].modules
    names = {plain(path.name) for path in folder.rglob("*.ko*")}
    order = load_order(folder, names)
    position = {name: number for number, (name, _) in enumerate(order)}
    assert position.keys() == names
    for name, content in order:
        fields = ELFFile(io.BytesIO(content)).get_section_by_name(".modinfo").data().split(b"\0")
        depends = dict(field.partition(b"=")[::2] for field in fields)[b"depends"].decode()
        assert all(position[plain(needed)] < position[name] for needed in depends.split(",") if needed)


def test_dash_and_underscore_are_the_same(kernels):
    folder = kernels["6.1"].modules
    assert load_order(folder, ["dm-mod"]) == load_order(folder, ["dm_mod"])
    assert [name for name, _ in load_order(folder, ["dm-mod"])][-1] == "dm_mod"


@pytest.mark.parametrize(("suffix", "pack"), [(".ko", bytes), (".ko.xz", lzma.compress), (".ko.gz", gzip.compress)])
def test_packed_modules_come_unpacked(kernels, tmp_path, suffix, pack):
    content = unpacked(next(kernels["6.1"].modules.rglob("loop.ko*")))
    (tmp_path / f"loop{suffix}").write_bytes(pack(content))
    assert load_order(tmp_path, ["loop"]) == [("loop", content)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.ko.zst", b"", "packed in a way that oddtoc can't read"),
        ("x.ko.xz", b"not xz", "can't be read"),
        ("x.ko.gz", b"not gzip", "can't be read"),
        ("y.ko", b"", "no module x"),
    ],
)
def test_what_can_not_be_loaded(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GuestError, match=reason):
        load_order(tmp_path, ["x"])
