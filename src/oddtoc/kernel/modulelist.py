"""The modules that are loaded in a running kernel, and the symbols that each has in memory.

`modules` heads a list of `struct module` (include/linux/module.h), which begins with its state (32 bits), the list and
the name. What else is needed is its member `core_kallsyms`: the addresses of its symbols (in the layout of ELF), their
number, and the addresses of their names and types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddtoc.errors import FaultError, NotLoadedError, RecordError
from oddtoc.image.elf import Image
from oddtoc.image.layout import SYMBOL, string_at
from oddtoc.kernel.offsets import ReadMany

SUFFIX = ".ko"
_HEADER = struct.Struct("<I4xQQ56s")
"""State, next, previous, name (MODULE_NAME_LEN)."""
_NODE = 8
_UP = (0, 1)
"""MODULE_STATE_LIVE, and MODULE_STATE_COMING: in place, and its init function runs or is about to."""
_STATES = {2: "is being removed", 3: "is being loaded"}
_MOST_MODULES = 4096
_MOST_SYMBOLS = 1 << 20
_MOST_STRINGS = 16 << 20


@dataclass(frozen=True)
class LoadedAt:
    """A module in the kernel's list: its name, and the address of its `struct module`."""

    name: str
    address: int


@dataclass(frozen=True)
class LiveSymbols:
    """The symbols of a module in memory: entries in `image.layout.SYMBOL` whose values are addresses, and names."""

    records: npt.NDArray[Any]
    strings: bytes

    def __iter__(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, number of its section, address and size of each."""
        for record in self.records:
            name = string_at(self.strings, int(record["name"]))
            yield name, int(record["shndx"]), int(record["value"]), int(record["size"])

    def exported(self, name: str) -> tuple[int, int] | None:
        """Address and st_other of what other modules may reach by a name; None if there is nothing."""
        for record in self.records[self.records["info"] >> 4 != 0]:
            if string_at(self.strings, int(record["name"])) == name:
                return int(record["value"]), int(record["other"])
        return None


def plain_name(name: str) -> str:
    """A module's name as the kernel writes it: `dm_mod` for ``dm-mod.ko``."""
    return name.removesuffix(SUFFIX).replace("-", "_")


class ModuleList:
    """The modules of one kernel.

    Args:
        image: the kernel's image.
        read_many: reads live memory, that of modules too.
    """

    def __init__(self, image: Image, read_many: ReadMany) -> None:
        heads = image.symbols.find("modules")
        self._head = heads[0].address if heads else 0
        self._read_many = read_many

    def all(self) -> dict[str, tuple[LoadedAt, int]]:
        """Every module by its name, with its state.

        Raises:
            RecordError: the list makes no sense.
        """
        found: dict[str, tuple[LoadedAt, int]] = {}
        node = self._pointer(self._head) if self._head else 0
        while node != self._head:
            if len(found) >= _MOST_MODULES:
                raise RecordError("the kernel's list of modules does not end", address=node)
            state, following, _, name = _HEADER.unpack(self._read_many([(node - _NODE, _HEADER.size)])[0])
            module = LoadedAt(_text(name, node), node - _NODE)
            found[module.name] = module, state
            node = following
        return found

    def find(self, name: str) -> LoadedAt:
        """The module of that name, which is in place.

        Raises:
            NotLoadedError: it is not loaded, or not yet, or not for much longer.
        """
        module, state = self.all().get(plain_name(name), (None, 0))
        if module is None or state not in _UP:
            raise NotLoadedError(
                f"the module {plain_name(name)} {_STATES.get(state, 'is not loaded')}",
                advice="load it and apply the patch again; or have oddtoc watch wait for it",
            )
        return module

    def is_up(self, module: LoadedAt, read_many: ReadMany | None = None) -> bool:
        """Whether a module that was found earlier is still in place.

        Args:
            module: it.
            read_many: reads live memory, inside of a stop perhaps.
        """
        try:
            memory = (read_many or self._read_many)([(module.address, _HEADER.size)])[0]
            state, following, before, name = _HEADER.unpack(memory)
            links = (read_many or self._read_many)([(following + 8, 8), (before, 8)])
        except FaultError:
            return False
        node = struct.pack("<Q", module.address + _NODE)
        return state in _UP and links == [node, node] and name.split(b"\0")[0] == module.name.encode()

    def at(self, address: int) -> LoadedAt:
        """The module whose `struct module` is at an address."""
        _, _, _, name = _HEADER.unpack(self._read_many([(address, _HEADER.size)])[0])
        return LoadedAt(_text(name, address), address)

    def symbols(self, module: LoadedAt, size: int) -> LiveSymbols:
        """Its symbols in memory.

        Args:
            module: it.
            size: bytes of its `struct module`.

        Raises:
            RecordError: they can't be found.
        """
        words = struct.unpack(f"<{size // 8}Q", self._read_many([(module.address, size - size % 8)])[0])
        for index in range(len(words) - 3):
            table, count, strings, types = words[index : index + 4]
            if 0 < count <= _MOST_SYMBOLS and _are_together(table, count, strings, types):
                records, names = self._read_many([(table, count * SYMBOL.itemsize), (strings, types - strings)])
                return LiveSymbols(np.frombuffer(records, SYMBOL), names)
        raise RecordError(
            f"the symbols of the module {module.name} can't be found in memory",
            address=module.address,
            advice="the kernel was built without CONFIG_KALLSYMS, or the module's file is another one",
        )

    def _pointer(self, address: int) -> int:
        return int.from_bytes(self._read_many([(address, 8)])[0], "little")


def _are_together(table: int, count: int, strings: int, types: int) -> bool:
    """Whether three addresses are those of symbols, names and types, in a row (kernel/module/kallsyms.c)."""
    return table + count * SYMBOL.itemsize == strings and 0 < types - strings <= _MOST_STRINGS


def _text(name: bytes, place: int) -> str:
    text = name.split(b"\0")[0]
    if not text or not text.isascii() or not text.decode("ascii").isprintable():
        raise RecordError("the kernel's list of modules makes no sense: a name is none", address=place)
    return text.decode("ascii")
