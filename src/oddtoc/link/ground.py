"""What a payload stands on: TOC pointers, areas, and what a target offers behind r13."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oddtoc.link.layout import Area, Redirect

TOC_ALIGNMENT = 1 << 16
"""An own TOC pointer lies this many bytes, or a multiple, from the patched object's: one addis leads there."""


@dataclass(frozen=True)
class Ground:
    """What the payload stands on.

    Attributes:
        toc: TOC pointer of the patched object.
        toc_slot: offset from r13 where it can be loaded from (PACATOC in a kernel).
        areas: start address of each area that the layout uses.
        own_toc: whether the payload gets a TOC pointer of its own.
        helpers: start of the block of return helpers: 64 KiB, aligned so that TOC - LR, for an LR in the block, has
            one upper half (see mechanism/storage/cr4.S).
        thread_stack: offset of the pointer to the thread's stack of return states: from r13 in a process, from the
            running task in a kernel (see mechanism/storage/thread_stack.S). Only the templates that use one need it.
        current: offset from r13 of the pointer to the running task, in a kernel; needed with `thread_stack`.
    """

    toc: int
    toc_slot: int
    areas: Mapping[Area, int]
    own_toc: bool
    helpers: int
    thread_stack: int = 0
    current: int = 0

    @property
    def payload_toc(self) -> int:
        """The payload's TOC pointer: the patched object's, or one near the payload, 64 KiB or a multiple away."""
        if not self.own_toc:
            return self.toc
        distance = round((self.areas[Area.TEXT] - self.toc) / TOC_ALIGNMENT) * TOC_ALIGNMENT
        return self.toc + (distance or TOC_ALIGNMENT)

    @property
    def helper_distance(self) -> int:
        """The value of oddtoc_helpers: it moves TOC - LR into 0..0xffff for an LR in the block of helpers."""
        return self.helpers + TOC_ALIGNMENT - 1 - self.toc


def template_parameters(redirect: Redirect, ground: Ground, payload_toc: int, new: int) -> dict[str, int]:
    """What the symbols of a template stand for (mechanism/trampoline.h).

    Args:
        redirect: the function and its replacement.
        ground: what the payload stands on.
        payload_toc: the TOC pointer of the payload.
        new: the address of the replacement's local entry; any number for a template that does not go there.
    """
    entry = redirect.entry
    uses_toc = redirect.replacement.symbol.local_offset > 0
    parameters = {
        "oddtoc_new": new,
        "oddtoc_toc": ground.toc,
        "oddtoc_toc_delta": payload_toc - ground.toc if uses_toc else 0,
        "oddtoc_toc_slot": ground.toc_slot,
        "oddtoc_toc_above_entry": ground.toc - entry.global_entry,
        "oddtoc_helpers": ground.helper_distance,
        "oddtoc_current": ground.current,
        "oddtoc_thread_stack": ground.thread_stack,
    }
    if redirect.displaced is not None and entry.behind is not None:
        parameters |= {"oddtoc_displaced": redirect.displaced, "oddtoc_resume": entry.behind + 4}
    return parameters
