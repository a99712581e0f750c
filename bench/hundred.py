"""A patch that replaces a hundred functions of a kernel, each by one that calls the original."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oddtoc.build.compile import compile_patch
from oddtoc.errors import NoSiteError
from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.kernel.place import branch_place
from oddtoc.link.object import PatchObject

_REPLACEMENT = """
long ODDTOC_ORIGINAL({name})(void *, void *, void *, void *);
static long my_{name}(void *a, void *b, void *c, void *d) {{ return ODDTOC_ORIGINAL({name})(a, b, c, d); }}
ODDTOC_REPLACE(vmlinux, {name}, my_{name});
"""


def hundred_functions(image: Image, folder: Path, count: int = 100) -> PatchObject:
    """Build it, for the first functions of /proc, /sys and the like that can be replaced: few arguments, rarely called.

    Args:
        image: the kernel.
        folder: where the source and the object go.
        count: how many functions.
    """
    names = [symbol.name for symbol, _ in zip(_shows(image), range(count), strict=False)]
    assert len(names) == count
    source = folder / "hundred.c"
    source.write_text("#include <oddtoc.h>\n" + "".join(_REPLACEMENT.format(name=name) for name in names))
    return compile_patch(source, folder / "hundred.o")


def _shows(image: Image) -> Iterator[Symbol]:
    for symbol in image.symbols:
        if symbol.is_function and symbol.name.endswith("_show") and len(image.symbols.find(symbol.name)) == 1:
            try:
                branch_place(image, symbol, image.entry(symbol))
            except NoSiteError:
                continue
            if symbol.name.isidentifier():
                yield symbol
