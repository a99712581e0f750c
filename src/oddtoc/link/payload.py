"""Linking: a patch object at its final addresses, on the patched object's TOC or on its own.

One object, both ways. With a TOC of its own, a call to the outside goes through a stub that saves r2 at 24(r1), and
the nop behind the call becomes its reload (ELFv2 ABI 2.3.6.1 and 4.2.5.3). On the patched object's TOC a call goes
straight to the local entry.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from oddtoc import isa
from oddtoc.errors import PatchError, RelocationError, SymbolError
from oddtoc.link.ground import Ground as Ground
from oddtoc.link.ground import template_parameters
from oddtoc.link.layout import STRAIGHTEN, Area, Layout, Redirect, original_template
from oddtoc.link.object import ObjectSymbol, PatchObject, Relocation, Section
from oddtoc.link.original import original_of
from oddtoc.link.relocations import Base, Recipe, apply, recipe_for
from oddtoc.link.stubs import Words, call_stub, far_call_stub, island, long_branch
from oddtoc.link.unwind import HEADER, Stretch, entries, frames_of, header


class Outside(Protocol):
    """A function or variable of the target."""

    @property
    def address(self) -> int:
        """Its address; of a function the global entry."""

    @property
    def local_entry(self) -> int:
        """Of a function, where calls on the same TOC go."""

    @property
    def other(self) -> int:
        """st_other of its symbol."""


class Resolver(Protocol):
    """Where names that the object does not define come from."""

    def resolve(self, name: str) -> Outside:
        """The symbol of that name; SymbolError where there is none or more than one."""


@dataclass(frozen=True)
class Payload:
    """A linked patch object.

    Attributes:
        segments: per area its start address and bytes, empty ones left out.
        toc: the TOC pointer that its code runs on.
        targets: function name to the address that its site branches to, by an island where there is one.
        islands: function name to the address of its island.
        replacements: function name to the address of the replacement's local entry.
        straighteners: function name to the address that its trampoline has to branch to during a revert; only where
            the word that the branch displaced was given.
    """

    segments: Mapping[Area, tuple[int, bytes]]
    toc: int
    targets: Mapping[str, int]
    replacements: Mapping[str, int]
    straighteners: Mapping[str, int]
    islands: Mapping[str, int]


def link(
    patch: PatchObject, redirects: Sequence[Redirect], layout: Layout, ground: Ground, resolver: Resolver
) -> Payload:
    """Give a patch object its addresses.

    Args:
        patch: the object.
        redirects: what replaces what, with each function's mechanism.
        layout: made by `lay_out` for the same redirects.
        ground: where the areas start, and the TOC pointer they stand on.
        resolver: the target's symbols.

    Raises:
        SymbolError: a name is not in the target, or there more than once.
        RelocationError: a value does not fit its field; a call that needs a TOC reload has no nop behind it.
        PatchError: a section or symbol can't be part of a payload.
    """
    return _Linker(patch, layout, ground, resolver).link(redirects)


class _Linker:
    def __init__(self, patch: PatchObject, layout: Layout, ground: Ground, resolver: Resolver) -> None:
        self.patch = patch
        self.layout = layout
        self.ground = ground
        self.resolver = resolver
        self.toc = ground.payload_toc
        self.memory = {area: bytearray(size) for area, size in layout.sizes.items() if size}

    def link(self, redirects: Sequence[Redirect]) -> Payload:
        for index, (area, offset) in self.layout.sections.items():
            section = self.patch.sections[index]
            self.memory[area][offset : offset + len(section.data)] = section.data
            self.relocate(section, area, offset, {})
        self.write_stubs()
        self.write_slots()
        replacements = {r.entry.function: self.local_entry(r) for r in redirects}
        targets = {r.entry.function: self.write_trampoline(r, replacements[r.entry.function]) for r in redirects}
        self.write_passages(redirects)
        self.write_frames(redirects)
        islands = self.write_islands(targets)
        straighteners = {name: self.address((Area.TEXT, at)) for name, at in self.layout.straighteners.items()}
        segments = {area: (self.ground.areas[area], bytes(memory)) for area, memory in self.memory.items()}
        return Payload(segments, self.toc, targets, replacements, straighteners, islands)

    def address(self, place: tuple[Area, int]) -> int:
        return self.ground.areas[place[0]] + place[1]

    def local_entry(self, redirect: Redirect) -> int:
        replacement = redirect.replacement
        start = self.address(self.layout.sections[replacement.section])
        return start + replacement.offset + replacement.symbol.local_offset

    def write_trampoline(self, redirect: Redirect, new: int) -> int:
        name = redirect.template
        if name is None:
            return new
        place = self.layout.trampolines[redirect.entry.function]
        self.write_template(redirect, name, place, new)
        return self.address(place)

    def write_passages(self, redirects: Sequence[Redirect]) -> None:
        """The ways into originals, for replacements that call them and for threads that arrive during a revert."""
        straighteners = {name: (Area.TEXT, offset) for name, offset in self.layout.straighteners.items()}
        templates = {STRAIGHTEN: straighteners, original_template(self.ground.own_toc): self.layout.originals}
        for redirect in redirects:
            for name, places in templates.items():
                if redirect.entry.function in places:
                    place = places[redirect.entry.function]
                    self.write_template(redirect, redirect.flavoured(name), place, 0)

    def write_islands(self, targets: Mapping[str, int]) -> dict[str, int]:
        for name, offset in self.layout.islands.items():
            self.write_words((Area.ISLANDS, offset), island(targets[name]))
        return {name: self.address((Area.ISLANDS, offset)) for name, offset in self.layout.islands.items()}

    def write_template(self, redirect: Redirect, name: str, place: tuple[Area, int], new: int) -> None:
        template = self.patch.template(name)
        area, offset = place
        self.memory[area][offset : offset + len(template.data)] = template.data
        self.relocate(template, area, offset, template_parameters(redirect, self.ground, self.toc, new))

    def write_frames(self, redirects: Sequence[Redirect]) -> None:
        if self.layout.frames is None or (frames := frames_of(self.patch)) is None:
            return
        place = self.address((Area.TEXT, self.layout.frames))
        stretches = []
        for redirect in redirects:
            if name := redirect.template:
                start = self.address(self.layout.trampolines[redirect.entry.function])
                stretches.append(Stretch(start, self.patch.template(name).data, redirect.storage))
        whole = [Stretch(self.ground.areas[Area.TEXT], bytes(self.layout.frames))]
        if self.layout.islands:
            whole.append(Stretch(self.ground.areas[Area.ISLANDS], bytes(self.layout.sizes[Area.ISLANDS])))
        behind = HEADER.size + len(frames.data)
        own = entries(place + behind, [*stretches, *whole], self.ground.toc)
        memory = self.memory[Area.TEXT]
        memory[self.layout.frames : self.layout.frames + HEADER.size] = header(place + HEADER.size)
        memory[self.layout.frames + behind : self.layout.frames + behind + len(own)] = own

    def write_stubs(self) -> None:
        for name, offset in self.layout.stubs.items():
            if name in self.layout.far:
                self.write_far_stub(name, offset)
                continue
            distance = self.resolver.resolve(name).address - self.toc
            self.write_words((Area.TEXT, offset), call_stub(name, distance))
        for name, offset in self.layout.long_branches.items():
            self.write_words((Area.TEXT, offset), long_branch(name, self.near_entry(name) - self.toc))

    def near_entry(self, name: str) -> int:
        """Where a call goes that keeps the TOC pointer, or enters an original."""
        if (function := original_of(name)) is not None:
            return self.address(self.layout.originals[function])
        outside = self.resolver.resolve(name)
        if outside.other >> 5 == 1:
            raise RelocationError(
                f"{name}, which the payload calls, may return with another TOC", address=outside.address, function=name
            )
        return outside.local_entry

    def write_far_stub(self, name: str, offset: int) -> None:
        slot = self.layout.far[name]
        struct.pack_into("<Q", self.memory[Area.TEXT], slot, self.resolver.resolve(name).address)
        self.write_words((Area.TEXT, offset), far_call_stub(self.ground.areas[Area.TEXT] + slot - self.toc))

    def write_words(self, place: tuple[Area, int], words: Words) -> None:
        struct.pack_into(f"<{len(words)}I", self.memory[place[0]], place[1], *words)

    def write_slots(self) -> None:
        for index, offset in self.layout.slots.items():
            struct.pack_into("<Q", self.memory[Area.TEXT], offset, self.value(self.patch.symbols[index], {}))

    def value(self, symbol: ObjectSymbol, parameters: Mapping[str, int]) -> int:
        if symbol.name == ".TOC." and not symbol.defined:
            return self.toc
        if symbol.name in parameters and not symbol.defined:
            return parameters[symbol.name]
        if symbol.section is not None:
            if symbol.section not in self.layout.sections:
                raise PatchError(f"{self.patch.name} refers to {symbol.name}, in a section that is not loaded")
            return self.address(self.layout.sections[symbol.section]) + symbol.value
        if symbol.defined:
            return symbol.value
        if (function := original_of(symbol.name)) is not None:
            return self.address(self.layout.originals[function])
        try:
            return self.resolver.resolve(symbol.name).address
        except SymbolError:
            if symbol.weak:
                return 0
            raise

    def relocate(self, section: Section, area: Area, start: int, parameters: Mapping[str, int]) -> None:
        for relocation in section.relocations:
            place = f"{section.name}+{relocation.offset:#x}"
            recipe = recipe_for(relocation.type, place)
            if recipe.base is Base.ENTRY:
                self.shorten_entry(area, start + relocation.offset, section, relocation)
            if recipe.size == 0:
                continue
            if relocation.offset + recipe.size > len(section.data):
                raise PatchError(f"{self.patch.name}: the relocation at {place} is longer than its section")
            symbol = self.patch.symbols[relocation.symbol]
            offset = start + relocation.offset
            if recipe.is_call:
                value = self.call(section, area, offset, relocation, parameters)
            else:
                value = self.formula(recipe, symbol, relocation, self.ground.areas[area] + offset, parameters)
            field = memoryview(self.memory[area])[offset : offset + recipe.size]
            apply(recipe, field, value, symbol=symbol.name, place=place)

    def formula(
        self, recipe: Recipe, symbol: ObjectSymbol, relocation: Relocation, place: int, parameters: Mapping[str, int]
    ) -> int:
        if recipe.base is Base.TOC_POINTER:
            return self.toc
        if recipe.base is Base.PLT_SLOT:
            return self.ground.areas[Area.TEXT] + self.layout.slots[relocation.symbol] - self.toc
        value = self.value(symbol, parameters) + relocation.addend
        if recipe.base is Base.RELATIVE:
            return value - place
        if recipe.base is Base.TOC:
            return value - self.toc
        return value

    def shorten_entry(self, area: Area, offset: int, section: Section, relocation: Relocation) -> None:
        """Turn `ld r2,-8(r12); add r2,r2,r12` into addis and addi where the TOC pointer is within 2 GiB."""
        if relocation.offset + 8 > len(section.data):
            raise PatchError(f"{self.patch.name}: the entry at {section.name}+{relocation.offset:#x} is cut off")
        memory = self.memory[area]
        first, second = struct.unpack_from("<II", memory, offset)
        distance = self.toc - (self.ground.areas[area] + offset)
        loads = first & isa.OPCODE_AND_REGISTERS == isa.LD_R2_R12 and second == isa.ADD_R2_R2_R12
        if loads and -(1 << 31) <= distance < (1 << 31) - 0x8000:
            pair = isa.ADDIS_R2_R12 | isa.high_adjusted(distance), isa.ADDI_R2_R2 | isa.low(distance)
            struct.pack_into("<II", memory, offset, *pair)

    def call(
        self, section: Section, area: Area, offset: int, relocation: Relocation, parameters: Mapping[str, int]
    ) -> int:
        """The displacement of a branch; mends the word behind it where the TOC has to be reloaded."""
        symbol = self.patch.symbols[relocation.symbol]
        place = self.ground.areas[area] + offset
        if symbol.name in parameters:
            return parameters[symbol.name] + relocation.addend - place
        if symbol.defined:
            self.check_inside(symbol, f"{section.name}+{relocation.offset:#x}")
            return self.value(symbol, parameters) + symbol.local_offset + relocation.addend - place
        is_original = original_of(symbol.name) is not None
        if symbol.name in self.layout.stubs or (is_original and self.ground.own_toc):
            self.reload_behind(section, area, offset, relocation, symbol)
        for stubs in (self.layout.stubs, self.layout.long_branches):
            if symbol.name in stubs:
                return self.address((Area.TEXT, stubs[symbol.name])) - place
        return self.near_entry(symbol.name) + relocation.addend - place

    def check_inside(self, symbol: ObjectSymbol, place: str) -> None:
        """A function at a fixed address belongs to the patched object, and relies on its TOC pointer."""
        if self.ground.own_toc and symbol.section is None:
            raise RelocationError(
                f"{symbol.name}, called at {place}, is a function of the kernel with its TOC",
                function=symbol.name,
                advice="patches that are built from a diff need --mechanism shared-toc",
            )

    def reload_behind(
        self, section: Section, area: Area, offset: int, relocation: Relocation, symbol: ObjectSymbol
    ) -> None:
        memory = self.memory[area]
        place = f"{section.name}+{relocation.offset:#x}"
        (call,) = struct.unpack_from("<I", memory, offset)
        if not isa.is_link(call):
            raise RelocationError(
                f"the sibling call of {symbol.name} at {place} leaves the payload and would lose its caller's TOC",
                function=symbol.name,
                advice="compile with -fno-optimize-sibling-calls, or use --mechanism shared-toc",
            )
        behind = offset + 4
        last = offset - relocation.offset + len(section.data)
        word = struct.unpack_from("<I", memory, behind)[0] if behind + 4 <= last else None
        if word not in (isa.NOP, isa.TOC_RELOAD):
            raise RelocationError(
                f"the call of {symbol.name} at {place} has no nop behind it for the reload of r2",
                function=symbol.name,
                advice="compile with -mlongcall, or use --mechanism shared-toc",
            )
        struct.pack_into("<I", memory, behind, isa.TOC_RELOAD)
