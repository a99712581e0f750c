"""Code that runs on a kernel's side, of the kernel proper or of a module: what is asked of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from oddtoc.errors import NoSiteError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.flow import flow_of
from oddtoc.image.live import known_entries, live_entries
from oddtoc.image.symbols import Symbol, SymbolTable
from oddtoc.kernel.place import branch_place
from oddtoc.places import Span, Zone


class KernelCode(ABC):
    """One image of a running kernel.

    Attributes:
        image: with the addresses that it has there.
    """

    image: Image

    @property
    def proper(self) -> Image:
        """The image of the kernel proper."""
        return self.image

    @abstractmethod
    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Live memory, (address, size in bytes) each."""

    def entries(self, symbols: Iterable[Symbol]) -> list[Entry]:
        """The entries of functions, told from the live words, all read at once.

        Raises:
            NoSiteError: the words at an entry are those of no known shape.
        """
        return live_entries(self.image, self.read_many, symbols)

    def known_entries(self, symbols: Iterable[Symbol]) -> list[Entry | NoSiteError]:
        """The entries of functions, with an error for each whose words are of no known shape."""
        return known_entries(self.image, self.read_many, symbols)

    @property
    def tables(self) -> Sequence[SymbolTable]:
        """All symbols that are known."""
        return [self.image.symbols]

    def branch_place(self, symbol: Symbol, entry: Entry, *, compiled: bool = False) -> int:
        """The word that takes the branch. See `oddtoc.kernel.place`."""
        return branch_place(self.image, symbol, entry, compiled=compiled)

    def is_jumped_to(self, entry: int, place: int) -> bool:
        """Whether a word is reached in mid-course of a function."""
        del entry
        return flow_of(self.image).is_branch_target(place)

    def body(self, name: str, entry: int, behind: int) -> Iterator[Zone]:
        """The code of a function, with the parts that the compiler has put elsewhere.

        Its first word is none of it: an address there is a pointer to the function, and who goes there enters it.

        Args:
            name: of the function.
            entry: its global entry.
            behind: the word that takes the branch.
        """
        symbols = self.image.symbols
        functions = symbols.functions()
        ends = functions.ends[functions.starts == entry]
        yield Zone(Span(entry + 4, max((int(end) for end in ends), default=behind + 4)), name)
        for kind in (".cold", ".part."):
            for part in symbols.starting_with(name + kind):
                yield Zone(Span(part.address, part.address + max(part.size, 4)), part.name)
