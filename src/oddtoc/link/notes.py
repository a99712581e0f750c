"""What a patch object says about itself beside its replacements: callbacks and states.

Sections `.oddtoc.callback` and `.oddtoc.state`, records laid out by `oddtoc_callbacks.h` and `oddtoc_state.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from oddtoc.errors import PatchError
from oddtoc.link.object import PatchObject, Section

CALLBACKS = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")
CALLBACK_SECTION = ".oddtoc.callback"

_CALLBACK = struct.Struct("<24s8x")
_FUNCTION_OFFSET = 24
_STATE = struct.Struct("<QI4x")
_ADDR64 = 38


def states_of(patch: PatchObject) -> dict[int, int]:
    """The states that a patch knows how to handle, by id, each with its version.

    Raises:
        PatchError: the section is malformed, or a state stands there twice.
    """
    states: dict[int, int] = {}
    for _, record, _ in _records(patch, ".oddtoc.state", _STATE):
        number, version = _STATE.unpack(record)
        if number in states:
            raise PatchError(f"{patch.name} names state {number:#x} twice")
        states[number] = version
    return states


def callbacks_of(patch: PatchObject) -> dict[str, tuple[int, int]]:
    """The callbacks of a patch by when they run, each with the section and the offset of its global entry.

    Raises:
        PatchError: the section is malformed, or two want to run at the same time.
    """
    callbacks: dict[str, tuple[int, int]] = {}
    for section, record, offset in _records(patch, CALLBACK_SECTION, _CALLBACK):
        when = record[:_FUNCTION_OFFSET].split(b"\0", 1)[0].decode("ascii", "replace")
        if when not in CALLBACKS:
            raise PatchError(f"{patch.name} has a callback for {when!r}", advice=f"known: {', '.join(CALLBACKS)}")
        if when in callbacks:
            raise PatchError(f"{patch.name} has two callbacks for {when}")
        targets = {r.offset: r for r in section.relocations if r.type == _ADDR64}
        relocation = targets.get(offset + _FUNCTION_OFFSET)
        symbol = patch.symbols[relocation.symbol] if relocation else None
        code = patch.sections.get(symbol.section) if symbol and symbol.section is not None else None
        if not (relocation and symbol and code and code.executable):
            raise PatchError(f"{patch.name}: the callback for {when} is not a function of this object")
        callbacks[when] = code.index, symbol.value + relocation.addend
    return callbacks


def _records(patch: PatchObject, name: str, layout: struct.Struct) -> Iterator[tuple[Section, bytes, int]]:
    """Each record of the sections of that name, with its section and its offset there."""
    for section in patch.sections.values():
        if section.name != name:
            continue
        if len(section.data) % layout.size:
            raise PatchError(f"{patch.name}: {name} is no multiple of {layout.size} bytes")
        for offset in range(0, len(section.data), layout.size):
            yield section, section.data[offset : offset + layout.size], offset
