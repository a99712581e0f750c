"""The stage: a caller, a function to be patched and a stand-in for its replacement, linked with a mechanism.

The trampoline is that of the patch object, to the byte, planted by oddtoc's own linker as in a live target. Callers and
replacement are stand-ins, since the real ones need the rest of their kernel.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from oddtoc import isa
from oddtoc.build.compile import INCLUDE, KERNEL_FLAGS, tool
from oddtoc.errors import BuildError, ImageError, NoSiteError
from oddtoc.explain.memory import Memory
from oddtoc.explain.trace import Call, Map
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry, read_entry
from oddtoc.image.symbols import Symbol
from oddtoc.link.ground import TOC_ALIGNMENT, Ground
from oddtoc.link.layout import Area, Redirect, lay_out
from oddtoc.link.object import TRAMPOLINE_PREFIX, PatchObject, Relocation, Replacement, Section
from oddtoc.link.payload import Payload, link
from oddtoc.mechanism.catalog import Mechanism
from oddtoc.mechanism.mark import marked

_MACHINE = Path(__file__).parent / "machine"
_CALLEE = "callee"
_PATCHED_AT = 0x1000_0000_0000
"""Below 2 GiB ld would turn `addis r2,r12` into `lis r2`, and the entry changes shape."""
_OTHER_AT = _PATCHED_AT + (256 << 20)
_TEXT_AT = _PATCHED_AT + (16 << 20)
_HELPERS_AT = _PATCHED_AT + (20 << 20)
_DATA_AT = _PATCHED_AT + (24 << 20)
_THREAD_AT = _PATCHED_AT + (26 << 20)
_FRAME_AT = _PATCHED_AT + (28 << 20) + 0x8000

_TOC_SLOT, _CURRENT, _THREAD_STACK, _STACK = 32, 40, 48, 4096
"""From r13, which is PACA and running task in one: the kernel's TOC pointer, the task, its stack of return states."""


@dataclass(frozen=True)
class Stage:
    """A program that holds one patched call.

    Attributes:
        map: where its parts are.
        registers: what has to be set before the first instruction, by name.
        frame: address of the caller's frame.
        back: address that the call returns to.
        end: address at which the trace ends, a little later.
        memory: what to write to the file.
    """

    map: Map
    registers: dict[str, int]
    frame: int
    back: int
    end: int
    memory: Memory


class _Names:
    def __init__(self, image: Image) -> None:
        self.image = image

    def resolve(self, name: str) -> Symbol:
        return self.image.symbols.one(name)


def build_stage(patch: PatchObject, original: Replacement, mechanism: Mechanism, call: Call) -> Stage:
    """Link one patched call.

    Args:
        patch: where the trampolines come from.
        original: the record of the function, which the stage's own stands in for.
        mechanism: how calls of it are redirected.
        call: who calls it.

    Raises:
        BuildError: a tool is missing.
        PatchError: the object has no such trampoline.
        MechanismError: the mechanism can't carry the function.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-explain-") as name:
        folder = Path(name)
        patched = _object(folder, "patched", _PATCHED_AT)
        other = _object(folder, "caller", _OTHER_AT)
        stand_in = _stand_in(folder)
        memory = Memory()
        for image in (patched, other):
            for section in image.sections:
                if section.is_allocated and section.size:
                    memory.write(section.address, image.contents(section))
        plain = [r for r in stand_in.replacements if bool(r.symbol.local_offset) == bool(original.symbol.local_offset)]
        entry = read_entry(patched.symbols.one(_CALLEE), patched.word)
        mechanism.check(entry, thread_stack=True)
        redirect = Redirect(plain[0], entry, mechanism)
        payload = _plant(memory, patched, with_templates(stand_in, patch), redirect)
        size = len(patch.template(redirect.template).data) if redirect.template else 0
        trampoline = payload.targets[_CALLEE], payload.targets[_CALLEE] + size
        places = Map(
            original.function, entry.global_entry, entry.local_entry, _behind(entry), trampoline, _toc(patched)
        )
        return _set_up(memory, places, patched, other, call)


def with_templates(code: PatchObject, templates: PatchObject) -> PatchObject:
    """The code of one patch object with the trampolines of another."""
    first_symbol, first_section = len(code.symbols), max(code.sections) + 1
    sections = {i: s for i, s in code.sections.items() if not s.name.startswith(TRAMPOLINE_PREFIX)}
    for section in templates.sections.values():
        if section.name.startswith(TRAMPOLINE_PREFIX):
            moved = _moved(section, first_section, first_symbol)
            sections[moved.index] = moved
    # templates refer to undefined symbols only: what these stand for is the linker's business
    symbols = (*code.symbols, *(replace(symbol, section=None) for symbol in templates.symbols))
    return PatchObject(code.name, code.content, sections, symbols, code.replacements)


def _moved(section: Section, first_section: int, first_symbol: int) -> Section:
    relocations = tuple(Relocation(r.offset, r.type, r.symbol + first_symbol, r.addend) for r in section.relocations)
    return replace(section, index=section.index + first_section, relocations=relocations)


def _plant(memory: Memory, image: Image, patch: PatchObject, redirect: Redirect) -> Payload:
    """Link the payload, write it, and lead the function's site to it, as in a live target."""
    mechanism, entry = redirect.mechanism, redirect.entry
    toc = _toc(image)
    helpers = _HELPERS_AT + (toc + 1 - _HELPERS_AT) % TOC_ALIGNMENT
    areas = {Area.TEXT: _TEXT_AT, Area.HELPERS: -(-helpers // 128) * 128, Area.DATA: _DATA_AT}
    ground = Ground(toc, _TOC_SLOT, areas, mechanism.own_toc, helpers, thread_stack=_THREAD_STACK, current=_CURRENT)
    payload = link(patch, [redirect], lay_out(patch, [redirect], own_toc=mechanism.own_toc), ground, _Names(image))
    for address, data in payload.segments.values():
        memory.write(address, data)
    behind = _behind(entry)
    memory.put(behind, isa.branch(behind, payload.targets[_CALLEE]))
    mark = mechanism.mark(entry, memory.word)
    if mark is not None:
        memory.put(mark, marked(memory.word(mark), mark))
    return payload


def _set_up(memory: Memory, places: Map, patched: Image, other: Image, call: Call) -> Stage:
    """Thread, frame and registers of the caller."""
    image, name = (patched, "local") if call is Call.LOCAL else (other, "global")
    called = {Call.LOCAL: 0, Call.GLOBAL: places.global_entry, Call.SIBLING: patched.symbols.one("middle").address}
    memory.write(_THREAD_AT + _TOC_SLOT, struct.pack("<3Q", places.toc, _THREAD_AT, _THREAD_AT + _STACK))
    memory.write(_FRAME_AT, struct.pack("<QQQQ", _FRAME_AT + 0x100, 0, 0, 0))
    start, back, end = (image.symbols.one(f"{name}_{label}").address for label in ("caller", "back", "end"))
    registers = {"r1": _FRAME_AT, "r2": _toc(image), "r12": called[call], "r13": _THREAD_AT, "pc": start}
    return Stage(places, registers, _FRAME_AT, back, end, memory)


def _behind(entry: Entry) -> int:
    if entry.behind is None:
        raise NoSiteError(f"{entry.function} has no site", function=entry.function)
    return entry.behind


def _toc(image: Image) -> int:
    if image.toc is None:
        raise ImageError(f"{image.path.name} has no TOC pointer")
    return image.toc


def _stand_in(folder: Path) -> PatchObject:
    """Code alone: the trampolines come from somewhere else."""
    output = folder / "stand_in.o"
    _run([tool("gcc"), *KERNEL_FLAGS, f"-I{INCLUDE}", "-c", _MACHINE / "stand_in.c", "-o", output])
    return PatchObject.open(output)


def _object(folder: Path, name: str, address: int) -> Image:
    part, output = folder / f"{name}.o", folder / f"{name}.elf"
    _run([tool("gcc"), "-m64", "-mlittle-endian", "-mcpu=power8", "-c", _MACHINE / f"{name}.s", "-o", part])
    place = ["-z", "max-page-size=65536", "-z", "noexecstack", "-e", "0", f"-Ttext-segment={address:#x}"]
    _run([tool("ld"), *place, "-o", output, part])
    return Image.open(output)


def _run(command: Iterable[str | Path]) -> None:
    words = [str(part) for part in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError("the stage does not build", output=result.stderr, advice=f"{words[0]} refused {words[-1]}")
