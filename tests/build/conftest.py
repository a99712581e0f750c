"""The source of the 6.1 kernel, prepared once, and its files compiled."""

import difflib

import pytest

from oddtoc.build.tree import prepare_tree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.debian.sources import fetch_source
from oddtoc.image.elf import Image
from oddtoc.link.unitobject import UnitObject


@pytest.fixture(scope="session")
def kernel(kernels):
    return kernels["6.1"]


@pytest.fixture(scope="session")
def image(kernel):
    return Image.open(kernel.vmlinux)


@pytest.fixture(scope="session")
def tree(kernel):
    return prepare_tree(fetch_source("6.1", kernel.version), kernel.config, release=kernel.release)


@pytest.fixture(scope="session")
def running(tree):
    """Compiles a file as the kernel was built."""
    return lambda file: UnitObject(compile_unit(tree, file, Flavour.RUNNING))


@pytest.fixture
def diff(tree, tmp_path):
    """A diff of texts that take the places of others: `diff((file, old, new), ...)`."""

    def get(*changes):
        texts = {}
        for file, old, new in changes:
            text = texts.setdefault(file, (tree.source / file).read_text())
            assert old in text
            texts[file] = text.replace(old, new, 1)
        place = tmp_path / "newer.patch"
        place.write_text(
            "".join(_unified(file, (tree.source / file).read_text(), text) for file, text in texts.items())
        )
        return place

    return get


def _unified(file, old, new):
    lines = difflib.unified_diff(*(text.splitlines(keepends=True) for text in (old, new)), f"a/{file}", f"b/{file}")
    return "".join(lines)
