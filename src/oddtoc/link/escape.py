"""Whether a pointer into a payload can outlive the payload: then its memory must never be given back.

A timer, a work item or an operations table that a patch fills in holds addresses of the patch's own functions or data
long after it was reverted. Nobody can find all such pointers in a running target, so it is told from the object: a
payload can be given back if no address of its own parts gets out. Addresses are seen as relocations. A direct call,
and a load or store that has the relocation itself, hand out nothing. A constant's address may be passed on to a
function that is known to be done with it when it returns; the instructions in between are followed.
"""

from __future__ import annotations

from collections.abc import Iterator

from oddtoc import isa
from oddtoc.link.fresh import read_fresh
from oddtoc.link.object import ObjectSymbol, PatchObject, Relocation, Section
from oddtoc.link.original import original_of
from oddtoc.link.relocations import RECIPES, Base

BORROWERS = frozenset(
    (
        "__warn_printk",
        "_printk",
        "kasprintf",
        "kmemdup",
        "kstrdup",
        "kstrtobool",
        "kstrtoint",
        "kstrtouint",
        "kstrtoul",
        "kstrtoull",
        "memcmp",
        "memcpy",
        "memmove",
        "printk",
        "scnprintf",
        "seq_printf",
        "seq_puts",
        "seq_write",
        "simple_read_from_buffer",
        "snprintf",
        "sprintf",
        "sscanf",
        "strcasecmp",
        "strcat",
        "strcmp",
        "strcpy",
        "strlcpy",
        "strlen",
        "strncasecmp",
        "strncmp",
        "strncpy",
        "strnlen",
        "strscpy",
        "sysfs_emit",
        "sysfs_emit_at",
        "sysfs_streq",
        "vscnprintf",
        "vsnprintf",
    )
)
"""Kernel functions that keep no pointer that they were given."""

_PARTS_OF_ADDRESSES = frozenset((49, 50))
"""TOC16_HI and TOC16_HA: the low part follows, and tells what the address is for."""
_PLT_CALL = 120
_LOOK_AHEAD = 64
"""Instructions."""
_LONGEST_REASON = 200
_ADDI = 14
_D_FORM = frozenset((*range(7, 16), *range(24, 30), *range(32, 46), 58, 62))
_X_FORM = frozenset((20, 21, 23, 30, 31))
_UPDATES = frozenset((33, 35, 37, 39, 41, 43, 45))
_ACCESSES = frozenset((*range(32, 46), 58, 62))
_ARGUMENTS = range(3, 11)


def why_pinned(patch: PatchObject) -> str:
    """Why the payload of a patch can never be given back, in words; empty if it can."""
    reasons = (reason for section in patch.loaded for reason in _escapes(patch, section))
    found = next(reasons, "")
    return "".join(character if character.isprintable() else "?" for character in found[:_LONGEST_REASON])


def _escapes(patch: PatchObject, section: Section) -> Iterator[str]:
    calls = {r.offset & ~3: r for r in section.relocations if _is_call(r)}
    for relocation in section.relocations:
        symbol = patch.symbols[relocation.symbol]
        if _is_call(relocation) or not _is_own(patch, symbol) or not _is_address(relocation):
            continue
        if not section.executable:
            yield f"{section.name} holds the address of {symbol.name}"
        elif not _is_access(section, relocation):
            yield from _passed_on(patch, section, relocation, calls)


def _passed_on(
    patch: PatchObject, section: Section, relocation: Relocation, calls: dict[int, Relocation]
) -> Iterator[str]:
    """Follow the register that takes an address to the call that it is for."""
    symbol = patch.symbols[relocation.symbol]
    name = _name(patch, symbol, relocation.addend)
    place = relocation.offset & ~3
    word = _word(section, place)
    if isa.opcode(word) != _ADDI or not _is_constant(patch, symbol):
        yield f"it takes the address of {name}"
        return
    register = word >> 21 & 31
    for offset in range(place + 4, min(place + 4 * _LOOK_AHEAD, len(section.data) - 3), 4):
        if offset in calls:
            called = patch.symbols[calls[offset].symbol].name
            if called not in BORROWERS or register not in _ARGUMENTS:
                yield f"it hands the address of {name} to {called}"
            return
        if _mentions(_word(section, offset), register):
            break
    yield f"it takes the address of {name}, and where that goes is not clear"


def _name(patch: PatchObject, symbol: ObjectSymbol, addend: int) -> str:
    """What is found there, for people."""
    place = symbol.section, symbol.value + addend
    names = [s.name for s in patch.symbols if (s.section, s.value) == place and not s.name.startswith(".")]
    return names[0] if names and symbol.section is not None else symbol.name


def _is_call(relocation: Relocation) -> bool:
    recipe = RECIPES.get(relocation.type)
    return relocation.type == _PLT_CALL or (recipe is not None and recipe.is_call)


def _is_own(patch: PatchObject, symbol: ObjectSymbol) -> bool:
    if not symbol.defined:
        return original_of(symbol.name) is not None or read_fresh(symbol.name) is not None
    return symbol.section is not None and symbol.section in patch.sections


def _is_constant(patch: PatchObject, symbol: ObjectSymbol) -> bool:
    if symbol.section is None:
        return False
    section = patch.sections[symbol.section]
    return not section.executable and not section.writable


def _is_address(relocation: Relocation) -> bool:
    """Whether a relocation makes an address, or its low part: not a distance, nor a note for the linker."""
    recipe = RECIPES.get(relocation.type)
    if recipe is None:
        return True
    distance = recipe.base is Base.RELATIVE and recipe.size >= 4
    nothing = recipe.base in (Base.MARKER, Base.ENTRY, Base.TOC_POINTER, Base.PLT_SLOT)
    return not distance and not nothing and relocation.type not in _PARTS_OF_ADDRESSES


def _is_access(section: Section, relocation: Relocation) -> bool:
    """Whether the instruction loads or stores there, and keeps no address."""
    word = _word(section, relocation.offset & ~3)
    opcode = isa.opcode(word)
    updates = opcode in _UPDATES or (opcode in (58, 62) and word & 3 == 1)
    return opcode in _ACCESSES and not updates


def _mentions(word: int, register: int) -> bool:
    """Whether an instruction may read a register, or may jump; True where that is not known."""
    opcode = isa.opcode(word)
    fields = [word >> 21 & 31, word >> 16 & 31]
    if opcode in _X_FORM:
        fields.append(word >> 11 & 31)
    elif opcode not in _D_FORM:
        return True
    return register in fields


def _word(section: Section, offset: int) -> int:
    return int.from_bytes(section.data[offset : offset + 4], "little")
