"""What a trace puts into its target: a trampoline for each function, return stubs, and data; made by gcc and ld.

The trampolines are macros (passage.h). The source of one trace has a few lines for each function.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oddtoc.build.compile import tool
from oddtoc.errors import BuildError
from oddtoc.image.elf import Image
from oddtoc.image.layout import Section
from oddtoc.places import Span
from oddtoc.trace.choice import Traced
from oddtoc.trace.displaced import lines
from oddtoc.trace.layout import DataLayout

_ASSEMBLE = ("-m64", "-mlittle-endian", "-mcpu=power8", "-Wa,-mregnames", f"-I{Path(__file__).parent}")


@dataclass(frozen=True)
class Ground:
    """What a trampoline finds in its target.

    Attributes:
        toc: the kernel's TOC pointer, and the offset from r13 where it can be loaded; None where that is of no use.
        current: offset from r13 of the pointer to the running task; None in a process.
    """

    toc: tuple[int, int] | None = None
    current: int | None = None


@dataclass(frozen=True)
class Code:
    """The code of a trace at its place.

    Attributes:
        start: its address.
        content: its bytes.
        trampolines: the address of each function's.
        stubs: return stubs; empty where returns are not watched.
    """

    start: int
    content: bytes
    trampolines: tuple[int, ...]
    stubs: Span


def make_code(functions: Sequence[Traced], data: DataLayout, ground: Ground, place: Callable[[int], int]) -> Code:
    """The code that some functions pass through.

    Args:
        functions: what they are.
        data: where the data of the trace goes.
        ground: what the target offers.
        place: says where so many bytes can go, within a branch of all functions.

    Raises:
        BuildError: no compiler for ppc64le is installed; or a function is too far away.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-trace-") as folder:
        source, assembled, linked, symbols = (Path(folder, f"trace.{end}") for end in ("S", "o", "elf", "symbols"))
        text, targets = _source(functions)
        source.write_text(text)
        symbols.write_text("\n".join(f"--defsym={name}={address:#x}" for name, address in targets.items()))
        defined = (f"-D{name}={value:#x}" for name, value in _definitions(data, ground).items())
        _run([tool("gcc"), *_ASSEMBLE, *defined, "-c", str(source), "-o", str(assembled)])
        start = place(_text(Image.open(assembled)).size)
        _run([tool("ld"), "-e", "0", f"-Ttext={start:#x}", f"@{symbols}", "-o", str(linked), str(assembled)])
        image = Image.open(linked)
        content = image.contents(_text(image))
        found = {symbol.name: symbol.address for symbol in image.symbols}
    trampolines = tuple(found[f"trace_{number}"] for number in range(len(functions)))
    stubs = found.get("trace_stubs", start + len(content))
    return Code(start, content, trampolines, Span(stubs, start + len(content)))


def _source(functions: Sequence[Traced]) -> tuple[str, dict[str, int]]:
    source = ['#include "passage.h"']
    symbols: dict[str, int] = {}
    for number, function in enumerate(functions):
        words, targets = lines(function.word, function.behind, number)
        source += [f"FUNCTION {number}", *words]
        symbols |= targets
    return "\n".join(source) + "\n", symbols


def _definitions(data: DataLayout, ground: Ground) -> dict[str, int]:
    defined = {"HEADER": data.header.start, "ROWS": data.rows.start}
    if ground.toc is not None:
        defined |= dict(zip(("TOC", "TOC_SLOT"), ground.toc, strict=True))
    if ground.current is not None:
        defined["CURRENT"] = ground.current
    if data.ring_bits is not None:
        defined |= {"EVENTS": 1, "RING": data.ring.start, "RING_BITS": data.ring_bits}
    if data.slot_bits is not None:
        defined |= {"RETURNS": 1, "SLOTS": data.slots.start, "SLOT_BITS": data.slot_bits}
    return defined


def _text(image: Image) -> Section:
    section = image.section(".text")
    assert section is not None
    return section


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        first = (result.stderr.splitlines() or [f"status {result.returncode}"])[0]
        raise BuildError(f"the code of the trace can't be made: {first}", output=result.stderr)
