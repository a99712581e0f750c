"""Where each part of a payload goes: trampolines, stubs, code and constants in one area, data in another.

Three areas, because a target has three kinds of room: executable memory within a branch of the sites (`text`, which
also takes the constants), the block of return helpers (`helpers`), writable memory (`data`). Where text and helpers are
farther away than a branch reaches, a fourth takes what has to be near the sites (`islands`): for each function the
island that its branch goes to (`stubs.island`), and the ways back into originals, behind the displaced word, which may
have set any register. Calls of the object's own functions are long branches then (`stubs.long_branch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from oddtoc.errors import PatchError
from oddtoc.image.entry import Entry
from oddtoc.link.object import PatchObject, Replacement, Section
from oddtoc.link.original import can_move, displaced_word, original_of
from oddtoc.link.relocations import RECIPES, Base
from oddtoc.link.stubs import ISLAND_SIZE, LONG_BRANCH_SIZE, STUB_SIZE
from oddtoc.link.unwind import HEADER, Stretch, entries, frames_of
from oddtoc.mechanism.catalog import Mechanism

SLOT_SIZE = 8
STRAIGHTEN = "straighten"
BASE_ALIGNMENT = 128
"""Areas start at a multiple of this many bytes: a cache line, and enough for what gcc asks for."""


class Area(Enum):
    """The kinds of room in a target."""

    TEXT = "text"
    HELPERS = "helpers"
    DATA = "data"
    ISLANDS = "islands"


@dataclass(frozen=True)
class Redirect:
    """One function of the target, what replaces it, and how.

    Attributes:
        replacement: the record in the patch object.
        entry: the function's entry in the target.
        mechanism: how calls get there and back.
        displaced: the word of the original function that the branch takes the place of; None where nobody needs it.
        process: the target is a process and not a kernel.
    """

    replacement: Replacement
    entry: Entry
    mechanism: Mechanism
    displaced: int | None = None
    process: bool = False

    @property
    def storage(self) -> str:
        """The name of the storage that its return helper uses; empty where there is none."""
        return self.mechanism.storage.name if self.mechanism.storage else ""

    @property
    def template(self) -> str | None:
        """The trampoline template, None where the site branches straight to the replacement."""
        uses_toc = self.replacement.symbol.local_offset > 0
        name = self.mechanism.template(self.entry, replacement_uses_toc=uses_toc)
        return None if name is None else self.flavoured(name)

    def flavoured(self, template: str) -> str:
        """The name of a template in the target's flavour (mechanism/trampoline.h)."""
        return f"process.{template}" if self.process else template


@dataclass
class Layout:
    """Offsets (bytes) from the start of an area.

    Attributes:
        sections: section index to its area and offset.
        trampolines: function name to its area and offset.
        islands: function name to the offset, in the area of islands, of the one that its branch goes to; empty where
            the branch reaches the text area.
        originals: function name to area and offset of the stub that enters its original.
        straighteners: function name to the offset, in the text area, of what its trampoline becomes during a revert;
            none where there are islands.
        stubs: name of a function outside to the offset of its call stub, in the text area.
        far: the same names in a process, where objects are anywhere: to the offset of the doubleword that holds the
            function's address, in the text area.
        long_branches: name of a function outside that runs on the payload's TOC pointer, or enters an original, where
            no branch reaches it, to the offset of the way there in the text area.
        slots: symbol index to the offset of the doubleword that holds its address, in the text area.
        frames: the offset of the unwind information in the text area (`unwind.py`); None without any.
        sizes: bytes that each area needs.
    """

    sections: dict[int, tuple[Area, int]] = field(default_factory=dict)
    trampolines: dict[str, tuple[Area, int]] = field(default_factory=dict)
    islands: dict[str, int] = field(default_factory=dict)
    originals: dict[str, tuple[Area, int]] = field(default_factory=dict)
    straighteners: dict[str, int] = field(default_factory=dict)
    stubs: dict[str, int] = field(default_factory=dict)
    far: dict[str, int] = field(default_factory=dict)
    long_branches: dict[str, int] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    frames: int | None = None
    sizes: dict[Area, int] = field(default_factory=lambda: dict.fromkeys(Area, 0))

    def reserve(self, area: Area, size: int, alignment: int) -> int:
        """Append `size` bytes to an area and return their offset."""
        start = -(-self.sizes[area] // alignment) * alignment
        self.sizes[area] = start + size
        return start


def lay_out(
    patch: PatchObject,
    redirects: Sequence[Redirect],
    *,
    own_toc: bool,
    is_foreign: Callable[[str], bool] = lambda _name: False,
    near: bool = True,
) -> Layout:
    """Decide where everything goes, from nothing but the object: addresses come later.

    Args:
        patch: the object.
        redirects: its functions, each with its mechanism.
        own_toc: the payload has a TOC pointer of its own, so calls to the outside need stubs.
        is_foreign: whether a function runs on another TOC pointer than the patched object's, so that calls of it need
            a stub in any case; only asked for functions of a process.
        near: a branch leads from the functions to the text area and to the helpers, and back.

    Raises:
        PatchError: a trampoline is missing in the object; an original is called that can't be.
    """
    layout = Layout()
    for redirect in redirects:
        _reserve_way(layout, patch, redirect, near=near)
    for redirect in _originals(patch, redirects):
        size = len(patch.template(redirect.flavoured(original_template(own_toc))).data)
        area = Area.TEXT if near else Area.ISLANDS
        layout.originals[redirect.entry.function] = area, layout.reserve(area, size, 4)
    process = any(redirect.process for redirect in redirects)
    for name in dict.fromkeys(_outside_calls(patch)):
        if own_toc or (process and is_foreign(name)):
            _reserve_stub(layout, name, process=process)
        elif not near:
            layout.long_branches[name] = layout.reserve(Area.TEXT, LONG_BRANCH_SIZE, 4)
    for name in [] if near else dict.fromkeys(_calls_of_originals(patch)):
        layout.long_branches[name] = layout.reserve(Area.TEXT, LONG_BRANCH_SIZE, 4)
    for section in sorted(patch.loaded, key=_order):
        area = Area.DATA if section.writable else Area.TEXT
        layout.sections[section.index] = area, layout.reserve(area, len(section.data), section.alignment)
    for symbol in dict.fromkeys(_slot_symbols(patch)):
        layout.slots[symbol] = layout.reserve(Area.TEXT, SLOT_SIZE, SLOT_SIZE)
    _reserve_frames(layout, patch, redirects)
    return layout


def _reserve_way(layout: Layout, patch: PatchObject, redirect: Redirect, *, near: bool) -> None:
    """Room for what calls of a function pass on their way to its replacement."""
    function = redirect.entry.function
    if template := redirect.template:
        area = Area.HELPERS if redirect.mechanism.helper_block else Area.TEXT
        layout.trampolines[function] = area, layout.reserve(area, len(patch.template(template).data), 4)
    if not near:
        layout.islands[function] = layout.reserve(Area.ISLANDS, ISLAND_SIZE, 4)
    elif template and redirect.displaced is not None and can_move(redirect):
        size = len(patch.template(redirect.flavoured(STRAIGHTEN)).data)
        layout.straighteners[function] = layout.reserve(Area.TEXT, size, 4)


def _reserve_stub(layout: Layout, name: str, *, process: bool) -> None:
    layout.stubs[name] = layout.reserve(Area.TEXT, STUB_SIZE, 4)
    if process:
        layout.far[name] = layout.reserve(Area.TEXT, SLOT_SIZE, SLOT_SIZE)


def _reserve_frames(layout: Layout, patch: PatchObject, redirects: Sequence[Redirect]) -> None:
    """Room for unwind information: the compiler's, behind it that of trampolines, of all text, and of islands."""
    frames = frames_of(patch)
    if frames is None or not any(redirect.process for redirect in redirects):
        return
    templates = [(redirect.template, redirect.storage) for redirect in redirects]
    stretches = [Stretch(0, patch.template(name).data, storage) for name, storage in templates if name]
    whole = [Stretch(0, b"")] * (2 if layout.islands else 1)
    own = entries(0, [*stretches, *whole], 0)
    layout.frames = layout.reserve(Area.TEXT, HEADER.size + len(frames.data) + len(own), 8)
    layout.sections[frames.index] = Area.TEXT, layout.frames + HEADER.size


def original_template(own_toc: bool) -> str:
    """The template of the stub that enters an original."""
    return "original" if own_toc else "original.shared"


def _originals(patch: PatchObject, redirects: Sequence[Redirect]) -> Iterator[Redirect]:
    """The functions whose originals the object refers to."""
    known = {redirect.entry.function: redirect for redirect in redirects}
    used = (patch.symbols[relocation.symbol] for section in patch.loaded for relocation in section.relocations)
    names = dict.fromkeys(original_of(symbol.name) for symbol in used if not symbol.defined)
    for function in names:
        if function is None:
            continue
        if function not in known:
            raise PatchError(
                f"{patch.name} calls the original of {function}, which it does not replace", function=function
            )
        displaced_word(known[function])
        yield known[function]


def _order(section: Section) -> tuple[bool, bool, int]:
    """Code first, then constants; initialised data before zeroed data."""
    return not section.executable, not any(section.data), section.index


def _outside_calls(patch: PatchObject) -> Iterator[str]:
    return (name for name in _undefined_calls(patch) if original_of(name) is None)


def _calls_of_originals(patch: PatchObject) -> Iterator[str]:
    return (name for name in _undefined_calls(patch) if original_of(name) is not None)


def _undefined_calls(patch: PatchObject) -> Iterator[str]:
    for section in patch.loaded:
        for relocation in section.relocations:
            recipe = RECIPES.get(relocation.type)
            symbol = patch.symbols[relocation.symbol]
            if recipe is not None and recipe.is_call and not symbol.defined:
                yield symbol.name


def _slot_symbols(patch: PatchObject) -> Iterator[int]:
    for section in patch.loaded:
        for relocation in section.relocations:
            recipe = RECIPES.get(relocation.type)
            if recipe is not None and recipe.base is Base.PLT_SLOT:
                yield relocation.symbol
