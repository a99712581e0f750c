"""Walking a kernel stack: which of its words are return addresses.

ELFv2 ABI, 2.2.2: a frame begins with the back chain at 0(r1), and a function saves LR at 16(r1) of its caller's frame.
What the ABI does not promise is added here, always so that more counts rather than less:

- The words of a frame whose owner can't be told count all together: exception frames (marked "REGS", with the
  registers of what was interrupted: it may not have saved its LR yet) and the one that they interrupted, frames of
  modules, BPF programs, trampolines and payloads, the innermost frame of a thread that runs.
- The frame of a kernel function counts with its return address alone, if it has a size that the function's code
  makes (`stdu r1,-N(r1)`; `stdux rM,r1,rN` makes any size). If it has not, somebody in assembly may keep return
  addresses anywhere: then every word of the stack counts.
- Where the chain ends or breaks, everything above counts, except the registers of user mode at the very top.
- At a frame that a return helper may return to, what the helper would find there counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.isa import Addresses
from oddtoc.kernel.contexts import Context
from oddtoc.kernel.hidden import Hideouts, at_frame, behind_helpers
from oddtoc.places import Span

MARKERS = (0x53474552, 0x7265677368657265)
"""STACK_FRAME_REGS_MARKER, "REGS" and before that "regshere" (arch/powerpc/include/asm/ptrace.h).

With another one exception frames would not be known: their owner, assembly, makes no such frame, and every word counts.
"""
_REGISTERS_BEHIND_MARKER = 2
"""Doublewords, in every layout of an exception frame so far."""
_PC_INDEX, _MSR_INDEX = 32, 33
_MSR_PR = 1 << 14
_NEAR_THE_TOP = 640
"""Bytes: a frame with all registers and what may stand above it."""
_STDU_R1 = 0xF8210001
_STDU_R1_MASK = 0xFFFF0003
_STDUX_R1 = 0x7C01016A
_STDUX_R1_MASK = 0xFC1F07FF
_SMALLEST_FRAME = 32
_MOST_FRAMES = 4096


@dataclass
class Walk:
    """What a walk found.

    Attributes:
        returns: return addresses in order, the innermost first; for people to read.
        words: all that counts.
    """

    returns: list[int] = field(default_factory=list)
    words: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Stack:
    span: Span
    words: Addresses

    def word(self, address: int) -> int:
        """The doubleword at an address; 0 beyond the top."""
        index = (address - self.span.start) // 8
        return int(self.words[index]) if index < len(self.words) else 0

    def between(self, start: int, end: int) -> list[int]:
        first, last = ((address - self.span.start) // 8 for address in (start, end))
        words: list[int] = self.words[first:last].tolist()
        return words


class Walker:
    """Walks stacks of one kernel.

    Args:
        image: the kernel's image.
        hideouts: addresses that stand for others.
    """

    def __init__(self, image: Image, hideouts: Hideouts) -> None:
        self._image = image
        self._hideouts = hideouts
        # who gives up a CPU does it there, and leaves its r1 at the frame made there
        self._switch = image.symbols.one("_switch").address + 8
        self._text = [Span(address, address + 4 * len(words)) for _, address, words in image.text()]

    def walk(self, context: Context, memory: Sequence[Addresses], kept: Addresses) -> Walk:
        """What counts of one thread.

        Args:
            context: the thread.
            memory: the words of each of its `stacks`.
            kept: what tracers keep for it.
        """
        walk = Walk()
        walk.words.update(context.registers, kept.tolist())
        stacks = [_Stack(span, words) for span, words in zip(context.stacks, memory, strict=True)]
        owner = self._switch
        if context.registers and context.sp is not None:
            # what runs may have saved its LR in its caller's frame, and made no frame of its own yet
            self._count_header(stacks[0], context.sp, walk)
            owner = 0
        if context.sp is None or not self._follow(context.sp, owner, stacks, walk):
            for words in memory:
                walk.words.update(words.tolist(), behind_helpers(words).tolist())
        return walk

    def _follow(self, frame: int, owner: int, stacks: Sequence[_Stack], walk: Walk) -> bool:
        """Follow the chain from a frame; False where a frame's shape denies what the chain says.

        Args:
            frame: its address, in the first stack.
            owner: an address in the function that made it, behind its first word; 0 when that is unknown.
            stacks: where it may lead.
            walk: takes what is found.
        """
        for _ in range(_MOST_FRAMES):
            stack = next(stack for stack in stacks if frame in stack.span)
            following = stack.word(frame)
            if not self._is_above(following, frame, stack):
                self._count_rest(stack, frame, walk)
                stack_there = next((one for one in stacks if one is not stack and following in one.span), None)
                if stack_there is None or following % 16:
                    # the end is on the task's own stack, which is the last one; a chain that ends elsewhere is broken
                    return stack is stacks[-1]
                self._count_header(stack_there, following, walk)
                frame, owner = following, 0
                continue
            words = stack.between(frame, following)
            interrupted = self._interrupted(words)
            if interrupted or self._is_opaque(owner):
                walk.words.update(words)
                self._count_header(stack, following, walk)
            elif not self._makes(owner, len(words) * 8):
                return False
            # what was interrupted may not have called anybody from its frame yet: nothing there tells whose it is
            owner = 0 if interrupted else stack.word(following + 16)
            if self._is_opaque(owner):
                # perhaps a helper, in the LR save doubleword of the very frame where it finds where to go on
                self._count_header(stack, following, walk)
            walk.returns.append(interrupted or owner)
            walk.words.add(owner)
            frame = following
        return False

    @staticmethod
    def _is_above(following: int, frame: int, stack: _Stack) -> bool:
        return frame + _SMALLEST_FRAME <= following < stack.span.end and following % 16 == 0

    @staticmethod
    def _count_header(stack: _Stack, frame: int, walk: Walk) -> None:
        header = [stack.word(frame + 8 * index) for index in range(4)]
        walk.words.update((header[2], *at_frame(header)))

    @staticmethod
    def _interrupted(words: Sequence[int]) -> int:
        """The pc in an exception frame; 0 where a frame is none."""
        registers = _registers_in(words[: _NEAR_THE_TOP // 8])
        return registers[_PC_INDEX] if registers else 0

    @staticmethod
    def _count_rest(stack: _Stack, frame: int, walk: Walk) -> None:
        """Everything above a frame, unless those are the registers of user mode, which anybody can choose."""
        rest = stack.between(frame, stack.span.end)
        registers = _registers_in(rest) if len(rest) <= _NEAR_THE_TOP // 8 else ()
        if not registers or not registers[_MSR_INDEX] & _MSR_PR:
            walk.words.update(rest)

    def _is_opaque(self, owner: int) -> bool:
        """Whether a return address says nothing about the frame that it returns to."""
        hidden = (*self._hideouts.trampolines, *self._hideouts.helpers)
        return any(owner in span for span in hidden) or not self.is_kernel(owner)

    def is_kernel(self, address: int) -> bool:
        """Whether an address is in the kernel's own code."""
        return any(address in span for span in self._text)

    def _makes(self, owner: int, size: int) -> bool:
        """Whether the function around a return address makes frames of a size (bytes)."""
        # behind the call, which may be a function's last word
        symbol = self._image.symbols.at(owner - 4)
        if symbol is None:
            return False
        whole = symbol.name.split(".cold")[0]
        parts = [symbol] if whole == symbol.name else [symbol, *self._image.symbols.find(whole)]
        for part in parts:
            words = self._image.words(part.address, self._size(part) // 4)
            fixed = 0x10000 - (words[(words & np.uint32(_STDU_R1_MASK)) == _STDU_R1] & 0xFFFC)
            variable = np.any((words & np.uint32(_STDUX_R1_MASK)) == _STDUX_R1)
            if np.any(fixed == size) or (variable and np.any(fixed <= size)):
                return True
        return False

    def _size(self, function: Symbol) -> int:
        """Bytes; up to the next function for assembly that does not say it."""
        functions = self._image.symbols.functions()
        return function.size or int(functions.ends[functions.starts == function.address].max()) - function.address


def _registers_in(frame: Sequence[int]) -> Sequence[int]:
    """The registers that an exception frame holds, in the order of `struct pt_regs`; empty where a frame is none."""
    for index, word in enumerate(frame):
        if word in MARKERS:
            registers = frame[index + _REGISTERS_BEHIND_MARKER :]
            return registers if len(registers) > _MSR_INDEX else ()
    return ()
