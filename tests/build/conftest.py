"""The source of the 6.1 kernel, prepared once, and its files compiled."""

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
