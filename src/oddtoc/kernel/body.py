"""The code of a function, in a kernel or one of its modules."""

from __future__ import annotations

from collections.abc import Iterator

from oddtoc.image.elf import Image
from oddtoc.places import Span, Zone


def body(image: Image, name: str, entry: int, behind: int) -> Iterator[Zone]:
    """The code of a function, with the parts that the compiler has put elsewhere.

    Its first word is none of it: an address there is a pointer to the function, and who goes there enters it.

    Args:
        image: the function's.
        name: of the function.
        entry: its global entry.
        behind: the word that takes the branch.
    """
    symbols = image.symbols
    functions = symbols.functions()
    ends = functions.ends[functions.starts == entry]
    yield Zone(Span(entry + 4, max((int(end) for end in ends), default=behind + 4)), name)
    for kind in (".cold", ".part."):
        for part in symbols.starting_with(name + kind):
            yield Zone(Span(part.address, part.address + max(part.size, 4)), part.name)
