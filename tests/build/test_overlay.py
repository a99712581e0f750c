"""Changed trees: real files where they differ, and links elsewhere, which all of them share."""

import os
from pathlib import Path

import pytest

from oddtoc.build.overlay import take_files

FILES = ("include/linux/a.h", "include/linux/b.h", "fs/one/one.c", "fs/one/one.h", "fs/one/deep/deep.c", "fs/two.c")


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return grown(tmp_path / "old", *FILES)


def grown(root, *files, text="int a;\n"):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    return root


def content(root):
    """All files, and what they say."""
    folders = os.walk(root, followlinks=True)
    paths = [Path(folder, name) for folder, _, names in folders for name in names]
    return {str(path.relative_to(root)): path.read_text() for path in paths}


def links(root):
    """All links: path -> inode."""
    paths = [Path(folder, name) for folder, inner, names in os.walk(root) for name in (*inner, *names)]
    return {str(path.relative_to(root)): path.lstat().st_ino for path in paths if path.is_symlink()}


def test_a_changed_tree_says_what_the_old_one_does_but_for_what_changes(old, tmp_path):
    new = grown(tmp_path / "new", "fs/one/one.h", "include/linux/new.h", text="int b;\n")
    root = take_files(old, new, ["fs/one/one.h", "include/linux/new.h"]).root
    assert content(root) == content(old) | {"fs/one/one.h": "int b;\n", "include/linux/new.h": "int b;\n"}
    assert {*links(root)} == {
        "fs/two.c",
        "fs/one/one.c",
        "fs/one/deep/deep.c",
        "include/linux/a.h",
        "include/linux/b.h",
    }
    assert (root / "fs/one/one.c").resolve() == old / "fs/one/one.c"
    # from a folder beside a changed header the way up leads to that
    assert (root / "fs/one/deep/../one.h").read_text() == "int b;\n"


def test_trees_share_their_links(old, tmp_path):
    news = [grown(tmp_path / f"new{number}", "fs/two.c", text=f"int {number};\n") for number in (1, 2)]
    first, second = (links(take_files(old, new, ["fs/two.c"]).root) for new in news)
    assert first == second == {"include": first["include"], "fs/one": first["fs/one"]}


def test_where_links_can_have_no_other_names_they_are_made(old, tmp_path, monkeypatch):
    def fail(*_words, **_options):
        raise OSError("too many links")

    monkeypatch.setattr("oddtoc.build.overlay.os.link", fail)
    root = take_files(old, grown(tmp_path / "new", "fs/two.c", text="int b;\n"), ["fs/two.c"]).root
    assert content(root) == content(old) | {"fs/two.c": "int b;\n"}
    assert {*links(root)} == {"include", "fs/one"}
