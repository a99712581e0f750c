"""One program of the laboratory: all objects and patches in memory, linked and planted with one mechanism.

The patches are linked by oddtoc's own linker and planted as in a live target: trampolines, marks and one branch behind
each site. Only that it happens before the program starts, since qemu-user keeps code that it has translated.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from oddtoc import isa
from oddtoc.errors import ImageError, MechanismError, NoSiteError, OddtocError, RelocationError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry, read_entry
from oddtoc.image.symbols import Symbol
from oddtoc.lab.objects import PATCHED_AT, Objects
from oddtoc.link.ground import TOC_ALIGNMENT, Ground
from oddtoc.link.layout import Area, Redirect, lay_out
from oddtoc.link.object import PatchObject
from oddtoc.link.payload import Payload, link
from oddtoc.mechanism.catalog import Mechanism
from oddtoc.mechanism.mark import marked

CLOSING, AGAIN, INTERRUPTED = "closing", "again", "interrupted_"

_PATCH_SPACING = 1 << 20
_TEXT_AT = PATCHED_AT + (16 << 20)
_HELPERS_AT = PATCHED_AT + (20 << 20)
_SLOTS_AT = PATCHED_AT + (22 << 20)
_DATA_AT = PATCHED_AT + (24 << 20)
_BEYOND = 3 << 30

# places in struct context (machine/context.h), from r13
_TOC_SLOT, _CURRENT, _THREAD_STACK = 4288, 4296, 4304

_PAGE = 1 << 16
_MAGIC = 0x62616C636F74646F
_FACTS, _MOST_SEGMENTS, _MOST_TRAPS = 16, 32, 64


@dataclass
class Program:
    """What `laboratory` maps and runs.

    Attributes:
        mechanism: what all its patched functions are redirected with.
        image: the file that machine/system.c reads.
        payloads: the linked patches, in the order in which they are applied.
        refused: function to the reason why the mechanism can't carry it; its site leads to the original.
        memory: the parts of the address space.
    """

    mechanism: Mechanism
    image: bytes = b""
    payloads: list[Payload] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    memory: Memory = field(default_factory=lambda: Memory())


class Memory:
    """Words at addresses, in pages of 64 KiB that are either executable or writable."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.executable: set[int] = set()

    def write(self, address: int, data: bytes, *, executable: bool) -> None:
        """Put bytes there; pages come into being as needed."""
        for start in range(address - address % _PAGE, address + len(data), _PAGE):
            page = self.pages.setdefault(start, bytearray(_PAGE))
            low, high = max(start, address), min(start + _PAGE, address + len(data))
            page[low - start : high - start] = data[low - address : high - address]
            if executable:
                self.executable.add(start)

    def word(self, address: int) -> int:
        """The word at an address."""
        (word,) = struct.unpack_from("<I", self.pages[address - address % _PAGE], address % _PAGE)
        return int(word)

    def put(self, address: int, word: int) -> None:
        """Change one word of code."""
        self.write(address, struct.pack("<I", word), executable=True)


class _Names:
    def __init__(self, image: Image) -> None:
        self.image = image

    def resolve(self, name: str) -> Symbol:
        return self.image.symbols.one(name)


def build_program(objects: Objects, mechanism: Mechanism, *, process: bool = True) -> Program:
    """Link and plant all patches with one mechanism.

    Args:
        objects: made by `build_objects`.
        mechanism: for every function.
        process: take the templates of processes; those of kernels otherwise, with r13 as their PACA.

    Raises:
        OddtocError: something in the laboratory itself does not fit; functions that the mechanism can't carry are
            noted in `refused`.
    """
    program = Program(mechanism)
    for image in objects.linked:
        for section in image.sections:
            if section.is_allocated and section.size:
                program.memory.write(section.address, image.contents(section), executable=section.is_executable)
    helpers = _helper_block(objects)
    again = 0
    for number, patch in enumerate(objects.patches):
        ground = _ground(objects, number, mechanism, helpers)
        payload = _apply(program, objects.patched, patch, ground, process=process)
        program.payloads.append(payload)
        helpers = max(helpers, _end(payload, Area.HELPERS))
        again = again or payload.targets.get(AGAIN, 0)
    closing = _close(program, objects.patched)
    traps = _set_traps(program, _trampoline_size(objects, mechanism, process=process))
    facts = [_toc(objects.patched), _toc(objects.other), _toc(objects.near), *(p.toc for p in program.payloads)]
    program.image = _pack(program.memory, [*facts, again, closing, int(mechanism.marks)], traps)
    return program


def link_far(objects: Objects, mechanism: Mechanism) -> str | None:
    """Why a payload beyond 2 GiB can't be planted; None if it can."""
    ground = _ground(objects, 0, mechanism, _helper_block(objects), distance=_BEYOND)
    try:
        _apply(Program(mechanism), objects.patched, objects.patches[-1], ground, process=True)
    except RelocationError as error:
        return error.message
    return None


def _toc(image: Image) -> int:
    if image.toc is None:
        raise ImageError(f"{image.path.name} has no TOC pointer")
    return image.toc


def _helper_block(objects: Objects) -> int:
    """The start of a block that mechanism/storage/cr4.S recognises."""
    return _HELPERS_AT + (_toc(objects.patched) + 1 - _HELPERS_AT) % TOC_ALIGNMENT


def _ground(objects: Objects, number: int, mechanism: Mechanism, helpers: int, *, distance: int = 0) -> Ground:
    text = _TEXT_AT + number * _PATCH_SPACING + distance
    data = _DATA_AT + number * _PATCH_SPACING + distance
    areas = {Area.TEXT: text, Area.HELPERS: -(-helpers // 128) * 128, Area.DATA: data}
    toc = _toc(objects.patched)
    block = _helper_block(objects)
    return Ground(toc, _TOC_SLOT, areas, mechanism.own_toc, block, thread_stack=_THREAD_STACK, current=_CURRENT)


def _apply(program: Program, image: Image, patch: PatchObject, ground: Ground, *, process: bool) -> Payload:
    """Link one patch, write it, and lead the sites of its functions to it."""
    mechanism = program.mechanism
    redirects = []
    for replacement in patch.replacements:
        entry = _entry(image, replacement.function)
        try:
            mechanism.check(entry, thread_stack=True)
        except MechanismError as error:
            program.refused[entry.function] = error.message
            continue
        word = image.word(_behind(entry))
        redirects.append(Redirect(replacement, entry, mechanism, displaced=word, process=process))
    layout = lay_out(patch, redirects, own_toc=mechanism.own_toc)
    payload = link(patch, redirects, layout, ground, _Names(image))
    for redirect in redirects:
        _lead(program, redirect.entry, payload.targets[redirect.entry.function])
    for area, (address, data) in payload.segments.items():
        program.memory.write(address, data, executable=area is not Area.DATA)
    return payload


def _entry(image: Image, function: str) -> Entry:
    """Told by the words alone: the laboratory's objects have no table of sites."""
    return read_entry(image.symbols.one(function), image.word)


def _behind(entry: Entry) -> int:
    if entry.behind is None:
        raise NoSiteError(f"{entry.function} has no site", function=entry.function)
    return entry.behind


def _lead(program: Program, entry: Entry, target: int) -> None:
    place = _behind(entry)
    try:
        branch = isa.branch(place, target)
    except OverflowError:
        raise RelocationError(
            f"the payload at {target:#x} is {target - place:+#x} bytes from {entry.function}, beyond one branch",
            address=place,
            function=entry.function,
        ) from None
    program.memory.put(place, branch)
    mark = program.mechanism.mark(entry, program.memory.word)
    if mark is not None:
        program.memory.put(mark, marked(program.memory.word(mark), mark))


def _end(payload: Payload, area: Area) -> int:
    start, data = payload.segments.get(area, (0, b""))
    return start + len(data)


def _close(program: Program, image: Image) -> int:
    """Begin to take back the patch of `closing`: its trampoline goes on in the original, its entry is unmarked."""
    payload = program.payloads[0]
    entry = _entry(image, CLOSING)
    place = payload.targets[CLOSING]
    if CLOSING not in payload.straighteners:
        program.memory.put(_behind(entry), image.word(_behind(entry)))
        return _behind(entry)
    program.memory.put(place, isa.branch(place, payload.straighteners[CLOSING]))
    if entry.mark is not None:
        program.memory.put(entry.mark, image.word(entry.mark))
    return place


def _trampoline_size(objects: Objects, mechanism: Mechanism, *, process: bool) -> int:
    """Bytes of the trampoline of an interrupted function; 0 where sites lead straight to replacements."""
    patch, image = objects.patches[0], objects.patched
    replacement = next(r for r in patch.replacements if r.function.startswith(INTERRUPTED))
    template = Redirect(replacement, _entry(image, replacement.function), mechanism, process=process).template
    return len(patch.template(template).data) if template else 0


def _set_traps(program: Program, size: int) -> list[tuple[int, int, int]]:
    """Trap the instruction n of the n-th interrupted function's trampoline.

    Returns:
        For each its address, the word that was there, and the address of a copy that goes on behind it.
    """
    places = program.payloads[0].targets
    names = sorted(name for name in places if name.startswith(INTERRUPTED))
    if size // 4 > len(names):
        raise OddtocError(f"{program.mechanism.name} is longer than the laboratory has functions to interrupt")
    traps = []
    for number in range(size // 4):
        address = places[names[number]] + 4 * number
        slot = _SLOTS_AT + 8 * number
        word = program.memory.word(address)
        program.memory.put(address, isa.TRAP)
        program.memory.put(slot, word)
        program.memory.put(slot + 4, isa.branch(slot + 4, address + 4))
        traps.append((address, word, slot))
    return traps


def _pack(memory: Memory, facts: list[int], traps: list[tuple[int, int, int]]) -> bytes:
    """struct image of machine/lab.h, and the segments behind it."""
    addresses = sorted(memory.pages)
    if len(addresses) > _MOST_SEGMENTS or len(traps) > _MOST_TRAPS:
        raise OddtocError(f"{len(addresses)} pages or {len(traps)} traps are more than the laboratory can map")
    offset = _HEADER_SIZE
    segments = []
    for address in addresses:
        segments.append((address, _PAGE, offset, int(address in memory.executable)))
        offset += _PAGE
    header = [_MAGIC, len(segments), len(traps)]
    words = [*header, *_padded(facts, _FACTS), *_flat(segments, 4 * _MOST_SEGMENTS), *_flat(traps, 3 * _MOST_TRAPS)]
    return struct.pack(f"<{len(words)}Q", *words) + b"".join(bytes(memory.pages[address]) for address in addresses)


_HEADER_SIZE = 8 * (3 + _FACTS + 4 * _MOST_SEGMENTS + 3 * _MOST_TRAPS)


def _padded(values: list[int], size: int) -> list[int]:
    return values + [0] * (size - len(values))


def _flat(rows: Iterable[tuple[int, ...]], size: int) -> list[int]:
    return _padded([value for row in rows for value in row], size)
