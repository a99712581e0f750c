"""Memory of a mechanism's own: the stack of return states that a thread has for itself.

Its pointer is found from r13: in a process at a fixed distance, in a kernel through the running task. The pointer
stands behind the newest entry. A replacement, and whatever it calls, leaves the stack as high as it found it, and the
entries below the pointer as they were; room above is anybody's.
"""

from __future__ import annotations

import z3

from oddtoc.prove.bits import Bits, Term
from oddtoc.prove.memory import Memory, Possible, Range, Region, Unknown, constant
from oddtoc.prove.subject import Subject

_REACH = 1 << 15
_ROOM = 256
"""Bytes above the pointer that a trampoline may use; that they are there is taken for granted."""


class ThreadStack:
    """The stack of return states of the thread that calls.

    Attributes:
        pointers: where the pointer is found, before and behind the replacement, and what leads there.
        top: the pointer's value at the trampoline's first word.
    """

    def __init__(self, subject: Subject, r13: Term, r13_after: Term, initial: Unknown) -> None:
        self.top = z3.BitVec("thread_stack_top", 64)
        owner = r13
        self.regions: list[Region] = []
        self.steps: list[Range] = []
        if not subject.process:
            owner = z3.BitVec("task", 64)
            for cpu in (r13, r13_after):
                initial.know(cpu + subject.current, Bits(8, owner))
                self.steps.append(Range(cpu + subject.current, 8))
            self.regions.append(Region("task", owner, -_REACH, _REACH))
        self.pointer = Range(owner + subject.thread_stack, 8)
        initial.know(self.pointer.address, Bits(8, self.top))
        self.regions.append(Region("stack of return states", self.top, -_ROOM, _ROOM))

    def height(self, memory: Memory, possible: Possible) -> Term:
        """The pointer at some moment."""
        return memory.read(self.pointer.address, 8, possible).term

    @property
    def writable(self) -> tuple[Range, ...]:
        """What a trampoline may write."""
        return self.pointer, Range(self.top, _ROOM)

    @property
    def readable(self) -> tuple[Range, ...]:
        """What a trampoline may read."""
        return (*self.steps, *self.writable)

    def kept(self, memory: Memory, possible: Possible) -> list[Range]:
        """What the replacement leaves alone: what leads to the stack, its pointer, and the entries below that."""
        entries = constant(self.height(memory, possible) - self.top)
        return [*self.steps, self.pointer, Range(self.top, max(entries or 0, 0))]
