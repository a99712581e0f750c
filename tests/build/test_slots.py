"""What the compiler has made of a file is taken again only where every file that went into it is the same."""

from pathlib import Path

import pytest

from oddtoc.build.slots import Slot, in_tree, used_files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/oddtoc"


@pytest.fixture
def grown(cache):
    """Makes a changed tree with a file and its header."""

    def grow(name, header="int a;\n"):
        root = cache / "changed" / name
        root.mkdir(parents=True)
        (root / "a.c").write_text('#include "a.h"\n')
        (root / "a.h").write_text(header)
        return root

    return grow


@pytest.fixture
def generated(tmp_path):
    """A folder with what kbuild generates, outside of all trees."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build/config.h").write_text("#define CONFIG 1\n")
    return tmp_path / "build"


def slot(root, build, *words):
    return Slot(["gcc", f"-I{root}", *words], "a.c", build, root)


def compiled(root, build):
    """Something that stands for the compiler."""

    def make(folder):
        (folder / "unit.o").write_text("".join((root / name).read_text() for name in ("a.c", "a.h")))
        return [str(path) for path in (root / "a.c", root / "a.h", build / "config.h")]

    return make


def test_another_tree_with_the_same_files_has_what_was_made(grown, generated):
    first, second = grown("first"), grown("second")
    slot(first, generated).fill(compiled(first, generated))
    theirs = slot(second, generated)
    assert theirs.is_filled()
    assert (theirs.folder / "unit.o").samefile(slot(first, generated).folder / "unit.o")
    assert {*used_files(theirs.folder / "unit.o")} == {second / "a.c", second / "a.h", generated / "config.h"}


def test_a_tree_with_another_header_has_not(grown, generated):
    first, second = grown("first"), grown("second", header="int b;\n")
    slot(first, generated).fill(compiled(first, generated))
    assert not slot(second, generated).is_filled()


def test_a_tree_without_the_header_has_not(grown, generated):
    first, second = grown("first"), grown("second")
    slot(first, generated).fill(compiled(first, generated))
    (second / "a.h").unlink()
    assert not slot(second, generated).is_filled()


def test_another_command_has_not(grown, generated):
    root = grown("first")
    slot(root, generated).fill(compiled(root, generated))
    assert slot(root, generated).is_filled()
    assert not slot(root, generated, "-DOTHER").is_filled()


def test_what_kbuild_generates_anew_is_heeded(grown, generated):
    root = grown("first")
    slot(root, generated).fill(compiled(root, generated))
    (generated / "config.h").write_text("#define CONFIG 2\n")
    assert not slot(root, generated).is_filled()


@pytest.mark.usefixtures("cache")
def test_a_tree_of_the_users_is_looked_at_each_time(tmp_path, generated):
    root = tmp_path / "mine"
    root.mkdir()
    for name in ("a.c", "a.h"):
        (root / name).write_text("1")
    slot(root, generated).fill(compiled(root, generated))
    assert slot(root, generated).is_filled()
    (root / "a.h").write_text("2")
    assert not slot(root, generated).is_filled()


def test_a_compiler_that_fails_leaves_nothing(grown, generated):
    root = grown("first")

    def fail(folder):
        (folder / "unit.o").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slot(root, generated).fill(fail)
    assert not slot(root, generated).is_filled()
    assert not any(slot(root, generated).folder.parent.iterdir())


def test_a_damaged_note_is_an_empty_slot(grown, generated):
    root = grown("first")
    slot(root, generated).fill(compiled(root, generated))
    (slot(root, generated).folder / "used.json").write_text('{"root": 1}')
    assert not slot(root, generated).is_filled()


def test_only_trees_that_never_change_are_remembered(grown, tmp_path):
    @in_tree
    def size(name: str, root: Path) -> int:
        return len((root / name).read_text())

    kept = grown("first")
    assert size("a.h", kept) == 7
    (kept / "a.h").write_text("")
    assert size("a.h", kept) == 7
    (tmp_path / "a.h").write_text("1")
    assert size("a.h", tmp_path) == 1
    (tmp_path / "a.h").write_text("12")
    assert size("a.h", tmp_path) == 2
