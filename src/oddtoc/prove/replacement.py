"""The replacement: any function that keeps to the ABI, and what it may change before it returns.

ELFv2 ABI 2.2.1 (registers) and 2.2.2 (stack frame). It returns to the LR it was given, with r1, r14 to r31, CR2 to CR4
and the r2 of its local entry. All else is unknown afterwards, r13 too: a thread of a kernel may come back on another
processor. In memory it may change everything but the words of its caller's frame header that are not its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from oddtoc.prove.bits import Bits, Term
from oddtoc.prove.machine import UNITS, Machine, Registers
from oddtoc.prove.memory import Havoc, Possible, Range, Unknown, constant
from oddtoc.prove.scene import HEADER_SIZE, PARAMETERS_SIZE, RESERVED_WORD, TOC_SAVE, Scene

KEPT = ("r1", "r2", *(f"r{n}" for n in range(14, 32)), "CR2", "CR3", "CR4")
"""Registers that come back as they went in."""


def run_replacement(machine: Machine, scene: Scene, possible: Possible) -> Machine:
    """The machine when the replacement returns."""
    before = machine.registers
    after = Registers("returned ", {UNITS[name]: before.unit(UNITS[name]) for name in KEPT})
    after.units[UNITS["r13"]] = Bits(8, scene.r13_after)
    always = z3.BoolVal(True)
    kept = [
        *_header(before.named("r1"), scene),
        *((range_, always) for range_ in (*scene.toc_slots, *scene.code)),
    ]
    if scene.thread_stack:
        kept += [(range_, always) for range_ in scene.thread_stack.kept(machine.memory, possible)]
    memory = machine.memory.after(Havoc(tuple(kept), Unknown("returned memory")))
    return Machine(after, memory, machine.accesses)


def _header(r1: Term, scene: Scene) -> Iterator[tuple[Range, Term]]:
    """What is kept of the frame that the replacement was called with, and of M's below it."""
    always = z3.BoolVal(True)
    yield Range(r1, 8), always
    yield Range(r1 + RESERVED_WORD, 4), z3.Not(scene.wide_cr_save)
    yield Range(r1 + TOC_SAVE, 8), always
    pushed = constant(scene.r1 - r1)
    if pushed is not None and pushed > 0:
        own = HEADER_SIZE + PARAMETERS_SIZE
        yield Range(r1 + own, max(pushed - own, 0)), always
        yield Range(scene.r1, HEADER_SIZE), always
