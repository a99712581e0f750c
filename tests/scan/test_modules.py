"""Modules, whose branches only relocations know, against objdump -dr and readelf."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from oddtoc.image.elf import Image
from oddtoc.scan import scan_image

from .conftest import PREFIX

_INSTRUCTION = re.compile(r"^ +([0-9a-f]+):\t(.*)$")
_RELOCATION = re.compile(r"^\t+([0-9a-f]+): (R_PPC64_REL(?:24|14)\w*)\t(\S+?)(?:\+0x([0-9a-f]+))?$")
_JUMP = re.compile(r"b(?!\w*l[+-]?\s|\w*[lc]t?r)")
_RESOLVED = re.compile(r" <([^+>]*)>$")
_LABEL = re.compile(r"^[0-9a-f]+ <(.*)>:$")


def test_sibling_calls_are_those_that_objdump_shows(modules: list[Path]):
    found: Counter[str] = Counter()
    for path in modules:
        jumps = scan_image(Image.open(path)).jumps
        rows = zip(*map(jumps.plain, ("function", "kind", "to", "callee")), strict=True)
        ours = {(function, to, callee) for function, kind, to, callee in rows if kind in ("b", "bc")}
        same = {name: others[0] for others in aliases(path).values() for name in others} | {"": ""}
        assert renamed(ours, same) == renamed(sibling_calls(path), same), path
        found.update(to for _, to, _ in ours)
    assert found["local"] > 300 and found["outside"] == 0


def renamed(calls: set[tuple[str, str, str]], same: dict[str, str]) -> set[tuple[str, str, str]]:
    """With one name for each function: init_module is another one for what the source calls init_something."""
    return {(same[function], to, same[callee]) for function, to, callee in calls}


def sibling_calls(path: Path) -> set[tuple[str, str, str]]:
    """Jumps to another function: by relocation, or resolved by the assembler where it has one entry."""
    defined = {name: local for name, _, local in functions(path)}
    calls: set[tuple[str, str, str]] = set()
    for function, callee in jumps(run("objdump", "-dr", "--no-show-raw-insn", path)):
        if callee != function:
            to = "outside" if callee not in defined else "local" if defined[callee] else "global"
            calls.add((function, to, callee if callee in defined else ""))
    return calls


def aliases(path: Path) -> dict[str, list[str]]:
    """The names of functions by the section and address that they stand for."""
    found: dict[str, list[str]] = {}
    for name, place, _ in functions(path):
        found.setdefault(place, []).append(name)
    return found


def jumps(text: str) -> Iterator[tuple[str, str]]:
    """Function and callee of every jump to the beginning of a function or to a symbol."""
    function, jump = "", ""
    for line in text.splitlines():
        if match := _RELOCATION.match(line):
            if jump:
                yield function, match[3]
            jump = ""
            continue
        if match := _RESOLVED.search(jump):
            yield function, match[1]
        jump = ""
        if match := _LABEL.match(line):
            function = match[1]
        elif (match := _INSTRUCTION.match(line)) and _JUMP.match(match[2]):
            jump = match[2]


def functions(path: Path) -> list[tuple[str, str, int]]:
    """Name, section and address, and bytes to the local entry."""
    rows = re.findall(
        r"^ *\d+: ([0-9a-f]+) +\w+ FUNC +\w+ +\w+ +(?:\[<localentry>: (\d+)\])? +(?!UND)(\S+) (\S+)$",
        run("readelf", "-sW", path),
        re.M,
    )
    return [(name, f"{section} {value}", int(local or 0)) for value, local, section, name in rows]


def run(program: str, *words: object) -> str:
    command = [f"{PREFIX}{program}", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_jump_labels_and_tables_of_modules_are_obstacles(modules: list[Path]):
    """Jump labels as readelf shows them: the first word of each record of __jump_table."""
    seen: Counter[str] = Counter()
    for path in modules:
        functions = scan_image(Image.open(path)).functions
        labels = jump_labels(path)
        rows = zip(*map(functions.plain, ("branch", "obstacle")), strict=True)
        for branch, obstacle in rows:
            seen[obstacle] += 1
            if obstacle in ("none", "jump label"):
                assert (branch in labels) == (obstacle == "jump label")
    assert seen["jump label"] > 0 and seen["init"] > 100 and seen["none"] > 10_000


def jump_labels(path: Path) -> set[int]:
    """As offsets in the file, which is what a module's addresses are."""
    sections = re.findall(r"^ +\[ *\d+\] (\S+) +\S+ +[0-9a-f]{16} ([0-9a-f]+) ", run("readelf", "-SW", path), re.M)
    offsets = {name: int(offset, 16) for name, offset in sections}
    relocations = run("readelf", "-rW", path)
    table = re.search(r"'\.rela__jump_table'.*?(?=\nRelocation|\Z)", relocations, re.S)
    rows = re.findall(r"^([0-9a-f]{16}) .*R_PPC64_REL32 +\S+ (\S+) \+ ([0-9a-f]+)$", table[0] if table else "", re.M)
    return {
        offsets[name] + int(addend, 16) for place, name, addend in rows if int(place, 16) % 16 == 0 and name in offsets
    }
