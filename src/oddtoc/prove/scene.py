"""The unknowns of a patched call, and the facts about them that hold for every call.

A caller M calls the patched function C, perhaps through others. What M finds when it goes on is compared with what an
unpatched C would have left. M's frame header is at r1 (ELFv2 ABI, 2.2.2.1, minimum stack frame):

    0(r1)   back chain
    8(r1)   CR save word: a callee may use it
    12(r1)  reserved word: nobody may modify it
    16(r1)  LR save doubleword: a callee may use it
    24(r1)  TOC pointer doubleword: M's, and that of the call stubs that work for M
    32(r1)  parameters, where there is room for them: a callee may use it
"""

from __future__ import annotations

from dataclasses import dataclass

import z3

from oddtoc import isa
from oddtoc.prove.bits import Term, number
from oddtoc.prove.machine import Registers
from oddtoc.prove.memory import Memory, Range, Region, Unknown
from oddtoc.prove.storage import ThreadStack
from oddtoc.prove.subject import HELPER_BLOCK_SIZE, EntryKind, Subject

CR_SAVE, RESERVED_WORD, LR_SAVE, TOC_SAVE, HEADER_SIZE = 8, 12, 16, 24, 32
PARAMETERS_SIZE = 64
"""Bytes from 32(r1) on that a callee may take for the home of its register parameters."""
BELOW = 512
"""Bytes below r1 that a trampoline may use as it likes, where it needs a frame."""
_REACH = 1 << 15


@dataclass(frozen=True, eq=False)
class Fact:
    """What is taken for granted about every call: a sentence, and a z3 Boolean where it is not built in."""

    sentence: str
    holds: Term = True


class Scene:
    """The unknowns of one call of a subject.

    Attributes:
        subject: the trampoline.
        registers: at the trampoline's first word.
        memory: at the same moment.
        thread_stack: the thread's stack of return states, for mechanisms that use one.
        caller_toc: M's TOC pointer.
        home: where M goes on. LR holds this address, or that of a tracer's trampoline which knows it.
        r13_after: r13 once the replacement is back: a kernel thread may go on on another processor.
        through_entry: the call came through C's global entry.
        helper_in_lr: LR is the return helper of another patched function, which waits for what its frame header holds.
        wide_cr_save: the replacement saves CR with a 64-bit store at 8(r1), which the ABI does not allow.
        memory_parameters: the replacement has parameters in M's frame, from 32(r1) on.
        leaves: the replacement does not return: a longjmp in it brings M back to an earlier call.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.registers = Registers()
        self.r1, self.r2, self.r12, self.r13, self.lr = (
            self.registers.named(name) for name in ("r1", "r2", "r12", "r13", "LR")
        )
        self.caller_toc = z3.BitVec("caller_toc", 64)
        self.home = z3.BitVec("home", 64)
        self.r13_after = self.r13 if subject.process else z3.BitVec("r13_after", 64)
        self.through_entry, self.helper_in_lr, self.wide_cr_save, self.memory_parameters, self.leaves = z3.Bools(
            "through_entry helper_in_lr wide_cr_save memory_parameters leaves"
        )
        self.toc = z3.BitVecVal(subject.toc, 64)
        self.odd_toc = z3.BitVecVal(subject.toc | 1, 64)
        initial = Unknown("memory")
        for slot in self.toc_slots:
            initial.know(slot.address, number(subject.toc, 8))
        storage = subject.mechanism.storage
        has_stack = storage is not None and storage.thread_stack
        self.thread_stack = ThreadStack(subject, self.r13, self.r13_after, initial) if has_stack else None
        self.memory = Memory(initial, tuple(self._regions()))
        self.reserved = self.initial(self.r1 + RESERVED_WORD, 4)
        self.saved = self.initial(self.r1 + TOC_SAVE, 8)

    def _regions(self) -> list[Region]:
        return [
            Region("stack", self.r1, -BELOW, HEADER_SIZE + PARAMETERS_SIZE),
            Region("code", self.lr, 0, 4),
            Region("code", self.home, 0, 4),
            Region("behind r13", self.r13, -_REACH, _REACH),
            Region("behind r13", self.r13_after, -_REACH, _REACH),
            *(self.thread_stack.regions if self.thread_stack else ()),
        ]

    def initial(self, address: Term, size: int) -> Term:
        """What stands in memory before the trampoline runs."""
        return self.memory.initial.read(address, size).term

    def reloads(self, address: Term) -> Term:
        """Whether the word at an address is ld r2,24(r1)."""
        return self.initial(address, 4) == isa.TOC_RELOAD

    def near(self, address: Term) -> Term:
        """Whether the distance of an address from the patched object's TOC pointer fits 32 bits, signed."""
        return _fits(self.toc - address, 32)

    def within_a_branch(self) -> Term:
        """Whether a `bl` reaches from the caller to C."""
        return _fits(self.lr - self.subject.global_entry, 26)

    def delta_fits(self) -> Term:
        """Whether r2 - LR fits 32 bits, signed."""
        return _fits(self.r2 - self.lr, 32)

    def in_helper_block(self, address: Term) -> Term:
        """Whether an address lies in the block of return helpers."""
        return z3.ULT(address - self.subject.helper_block, HELPER_BLOCK_SIZE)

    @property
    def unpatched_r2(self) -> Term:
        """What r2 holds when an unpatched function returns."""
        return self.toc if self.subject.entry is EntryKind.WITH_TOC else self.r2

    @property
    def toc_slots(self) -> tuple[Range, ...]:
        """Where a kernel's TOC pointer can be loaded from, before and behind the replacement."""
        if self.subject.process:
            return ()
        return Range(self.r13 + self.subject.toc_slot, 8), Range(self.r13_after + self.subject.toc_slot, 8)

    @property
    def code(self) -> tuple[Range, Range]:
        """The words of M's code that matter."""
        return Range(self.lr, 4), Range(self.home, 4)

    def facts(self) -> list[Fact]:
        """What holds for every call."""
        same_word = self.initial(self.lr, 4) == self.initial(self.home, 4)
        in_trampoline = z3.ULT(self.home - self.subject.start, 4 * len(self.subject.words))
        facts = [
            Fact("stack, code, what lies behind r13, the task and a stack of return states do not overlap"),
            Fact("code does not change during the call, and one address holds one word",
                 z3.Implies(self.lr == self.home, same_word)),
            Fact("code is aligned to 4 bytes; no caller's code lies in the trampoline",
                 z3.And(self.lr & 3 == 0, self.home & 3 == 0, z3.Not(in_trampoline))),
            Fact("a TOC pointer is a multiple of 4", self.caller_toc & 3 == 0),
            Fact("code that reloads r2 from 24(r1) belongs to an object, within 2 GiB of the object's TOC pointer",
                 z3.Implies(self.reloads(self.home), _fits(self.caller_toc - self.home, 32))),
            Fact("it has that TOC pointer there", z3.Implies(self.reloads(self.home), self.saved == self.caller_toc)),
            Fact("the replacement keeps to the ABI"),
        ]  # fmt: skip
        if not self.subject.process:
            facts.append(Fact("every processor's PACA holds the kernel's TOC pointer and the running task"))
        if self.thread_stack:
            facts.append(Fact("the thread's stack of return states has room"))
        return facts


def _fits(distance: Term, bits: int) -> Term:
    return z3.SignExt(64 - bits, z3.Extract(bits - 1, 0, distance)) == distance
