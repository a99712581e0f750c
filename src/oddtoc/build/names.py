"""What the names in a new unit stand for in the running kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from oddtoc.build.canonical import Meanings, plain_name
from oddtoc.build.compare import object_named
from oddtoc.build.objectfile import NewSymbol, ObjectFile
from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.link.fidelity import Fidelity
from oddtoc.link.unitobject import LOCAL, UnitObject, UnitSymbol


@dataclass(frozen=True)
class Found:
    """Something of the running kernel.

    Attributes:
        name: as the image or the old unit has it.
        address: where it is.
        other: st_other, which tells a function's local entry.
        unique: whether its name stands once in the image.
        is_of_kernel: whether it is of the kernel proper, for a file of a module.
    """

    name: str
    address: int
    other: int = 0
    unique: bool = False
    is_of_kernel: bool = False


class KernelNames:
    """Resolves names of one unit.

    Args:
        image: the running kernel.
        fidelity: its old source, compared with the code that runs.
        old: the old unit, with each object in a section of its own.

    Attributes:
        beside: names that the running kernel's functions keep, while a fix has others (oddtoc.build.beside).
    """

    def __init__(self, image: Image, fidelity: Fidelity, old: UnitObject) -> None:
        self.image = image
        self.fidelity = fidelity
        self.old = old
        self.old_functions = {symbol.name for symbol in old.functions}
        self.beside: set[str] = set()
        self._outside: dict[str, Found | None] = {}

    def placed(self, target: ObjectFile, name: str, found: Found) -> NewSymbol:
        """The symbol of a patch that stands for a place in the running kernel.

        Args:
            target: the patch.
            name: what the symbol is called.
            found: the place.
        """
        return target.absolute(name, found.address, found.other)

    def outside(self, name: str) -> Found | None:
        """A global name of another file; None if there is none."""
        if name in self.beside:
            return None
        if name not in self._outside:
            self._outside[name] = self.look_up(name)
        return self._outside[name]

    def look_up(self, name: str) -> Found | None:
        """What `outside` gives, once for each name."""
        return global_of(self.image.symbols.find(name))

    def function(self, name: str) -> Found | None:
        """A function of the old unit, where its code was found to run."""
        if name in self.beside:
            return None
        address = self.fidelity.addresses.get(name)
        if address is None:
            return self.outside(name) if name in self.fidelity.overridden else None
        return Found(name, address)

    def is_known_variable(self, symbol: UnitSymbol) -> bool:
        """Whether the old unit has a variable of that plain name."""
        return plain_name(symbol.name) in self._variables

    def variable(self, symbol: UnitSymbol, new: Meanings) -> Found | None:
        """The old unit's variable that a new unit's one is.

        Args:
            symbol: in the new unit.
            new: that unit. Static variables of the same name are told apart by what refers to them.
        """
        name = plain_name(symbol.name)
        same = self._variables.get(name, [])
        if len(same) != 1 or len(object_named(new.unit, name)) != 1:
            users = new.users[symbol.name]
            same = [other for other in same if self.meanings.users[other.name] == users]
        if len(same) != 1 or same[0].size != symbol.size:
            return None
        return self._running(same[0])

    def _running(self, symbol: UnitSymbol) -> Found | None:
        if symbol.binding != LOCAL:
            return self.outside(symbol.name)
        name = plain_name(symbol.name)
        # the numbers behind names must be the same in both compilations of the old source
        if _sizes(self.fidelity.unit, name) != _sizes(self.old, name):
            return None
        address = self.fidelity.address_of(symbol.name)
        if address is None:
            unique = {s.address for s in self.image.symbols.find(symbol.name)}
            address = unique.pop() if len(unique) == 1 else None
        return Found(name, address) if address is not None else None

    @cached_property
    def meanings(self) -> Meanings:
        """What the old unit's relocations mean."""
        return Meanings(self.old)

    @cached_property
    def _variables(self) -> dict[str, list[UnitSymbol]]:
        found: dict[str, list[UnitSymbol]] = defaultdict(list)
        for symbol in self.old.objects:
            found[plain_name(symbol.name)].append(symbol)
        return found


def global_of(symbols: Iterable[Symbol]) -> Found | None:
    """The first that other files can name, of the symbols of one name; None if there is none."""
    known = list(symbols)
    chosen = next((symbol for symbol in known if symbol.binding != "local"), None)
    unique = len({symbol.address for symbol in known}) == 1
    return Found(chosen.name, chosen.address, chosen.other, unique) if chosen else None


def _sizes(unit: UnitObject, name: str) -> dict[str, int]:
    return {symbol.name: symbol.size for symbol in object_named(unit, name)}
