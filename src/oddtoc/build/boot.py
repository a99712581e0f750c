"""Functions that only ran at boot: whether a change loses something with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from oddtoc.build.headers import HeaderChange
from oddtoc.build.items import Item, split_items
from oddtoc.image.elf import Image

_CODE = ("function", "declaration")


def still_there(addresses: Mapping[str, int], image: Image) -> set[str]:
    """Those of some functions that are in memory which boot does not give back.

    `.meminit.text` is among them where memory can be added later (MEM_KEEP in include/asm-generic/vmlinux.lds.h).

    Args:
        addresses: function -> where it is in the image.
        image: the running kernel.
    """
    begin = image.symbols.one("__init_begin").address
    return {name for name, address in addresses.items() if address < begin}


def lost_at_boot(
    functions: Iterable[str], old: Iterable[Path], new: Iterable[Path], taken: Collection[HeaderChange]
) -> list[str]:
    """Those of some functions that a part of a change is in.

    A compiler changes a function with what it calls. One whose own source is the same has called at boot what there was
    then, as all code did; nothing of the change is lost with it. But when it uses a macro, a type or a variable that
    changes, it may have left behind what the new code does not expect.

    Args:
        functions: names of functions that only ran at boot, and whose code differs.
        old, new: the two versions of their file, and of changed ones that it includes.
        taken: what the new one takes of newer headers.
    """
    before, after = (_by_name(_items(paths)) for paths in (old, new))
    changed = {name for name, items in after.items() if not _is_code(items) and _words(items) != _words(before[name])}
    changed |= {change.name for change in taken if change.kind not in _CODE}
    lost = []
    for name in functions:
        same = bool(after[name]) and _words(before[name]) == _words(after[name])
        if not same or any(item.mentions & changed for item in after[name]):
            lost.append(name)
    return lost


def _items(paths: Iterable[Path]) -> Iterator[Item]:
    for path in paths:
        yield from split_items(path.read_text(errors="replace")) if path.exists() else ()


def _by_name(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for name in item.names:
            found[name].append(item)
    return found


def _is_code(items: list[Item]) -> bool:
    """Whether all of them define or declare a function."""
    return all(item.kind == "function" or (item.kind == "declaration" and _is_prototype(item)) for item in items)


def _is_prototype(item: Item) -> bool:
    return "(" in item.plain and "=" not in item.plain and not item.plain.startswith("typedef")


def _words(items: list[Item]) -> list[str]:
    return [item.plain for item in items]
