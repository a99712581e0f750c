"""Stacks made up word by word: interrupts, broken chains, and callers that our own helpers hide."""

import numpy as np
import pytest

from oddtoc.image.elf import Image
from oddtoc.kernel.contexts import Context
from oddtoc.kernel.hidden import Hideouts
from oddtoc.kernel.room import rooms
from oddtoc.kernel.stacks import MARKERS, Walker
from oddtoc.kernel.tasks import Task
from oddtoc.places import Span

OWN, INTERRUPTS = 0xC000000004000000, 0xC000000005000000
SIZE = 0x1000
STALE, HIDDEN, INTERRUPTED = 0xC000000000111114, 0xC000000000222224, 0xC000000000333334
NOTHING = np.empty(0, np.uint64)


@pytest.fixture(scope="module")
def kernel(kernels):
    image = Image.open(kernels["6.1"].vmlinux)
    room = rooms(image)
    return image, Walker(image, Hideouts.of(image, (room.helpers, room.text)))


class Stack:
    def __init__(self, base):
        self.base, self.words = base, np.zeros(SIZE // 8, np.uint64)

    def put(self, address, *words):
        for index, word in enumerate(words):
            self.words[(address - self.base) // 8 + index] = word

    def frame(self, address, size, returns_to=0):
        """A frame whose back chain leads `size` bytes up, and the LR that its function saved there."""
        self.put(address, address + size)
        self.put(address + size + 16, returns_to)


def walk(walker, sp, *stacks, registers=()):
    spans = tuple(Span(sp if sp and sp in Span(s.base, s.base + SIZE) else s.base, s.base + SIZE) for s in stacks)
    memory = [s.words[(span.start - s.base) // 8 :] for s, span in zip(stacks, spans, strict=True)]
    context = Context(Task(0, "made up", 1, OWN, sp or 0), "", sp, spans, registers)
    return walker.walk(context, memory, NOTHING).words


def call_in(image, name):
    """A return address in a function and the size of its frame."""
    symbol = image.symbols.one(name)
    words = image.words(symbol.address, symbol.size // 4)
    made = next(int(word) for word in words if int(word) & 0xFFFF0003 == 0xF8210001)
    return symbol.address + 64, 0x10000 - (made & 0xFFFC)


def sleeper(image, above):
    """A thread that gave up its CPU in vfs_read, and what is above that."""
    returns_to, size = call_in(image, "vfs_read")
    stack, switch = Stack(OWN), 496
    sp = OWN + 0x200
    stack.frame(sp, switch, returns_to)
    stack.frame(sp + switch, size, above)
    stack.put(sp + switch + 48, STALE)
    return stack, sp, sp + switch + size


def test_what_earlier_calls_left_in_a_frame_does_not_count(kernel):
    image, walker = kernel
    stack, sp, top = sleeper(image, call_in(image, "ksys_read")[0])
    stack.put(top, 0)
    assert STALE not in walk(walker, sp, stack)
    stack.put(sp + 496, top + 16)
    assert STALE in walk(walker, sp, stack), "a frame of a size that the function does not make"


def test_a_chain_that_breaks_lets_everything_above_count(kernel):
    image, walker = kernel
    stack, sp, top = sleeper(image, call_in(image, "ksys_read")[0])
    stack.put(top, OWN - 64)
    stack.put(top + 0x300, INTERRUPTED)
    assert INTERRUPTED in walk(walker, sp, stack)
    assert INTERRUPTED in walk(walker, None, stack), "no chain at all"


def test_an_interrupt_stack_leads_on_to_the_task(kernel):
    _, walker = kernel
    own, inner = Stack(OWN), Stack(INTERRUPTS)
    sp, exception = INTERRUPTS + SIZE - 64, OWN + 0x400
    inner.put(sp, exception)
    own.frame(exception, 496)
    own.put(exception + 96, MARKERS[0])
    own.put(exception + 112 + 36 * 8, INTERRUPTED)
    own.put(exception + 496, 0)
    assert INTERRUPTED in walk(walker, sp, inner, own, registers=(1,)), "link of what was interrupted"
    inner.put(sp, 0)
    assert INTERRUPTED in walk(walker, sp, inner, own, registers=(1,)), "the chain ends on the wrong stack"


def test_registers_of_user_mode_do_not_count(kernel):
    _, walker = kernel
    for msr, counts in ((0x800000000000D033, False), (0x8000000000009033, True)):
        stack = Stack(OWN)
        sp, entry = OWN + 0x200, OWN + SIZE - 496
        stack.frame(sp, entry - sp)
        stack.put(sp + 96, 0)
        stack.put(entry, 0x7FFF0000)
        stack.put(entry + 96, MARKERS[0])
        stack.put(entry + 112 + 5 * 8, INTERRUPTED)
        stack.put(entry + 112 + 33 * 8, msr)
        assert (INTERRUPTED in walk(walker, sp, stack, registers=(1,))) == counts


def test_callers_behind_our_helpers_count(kernel):
    image, walker = kernel
    helper = rooms(image).helpers.start + 0x40
    stack, sp, caller = sleeper(image, helper)
    stack.put(caller, caller + 0x80)
    stack.put(caller + 24, HIDDEN)
    assert HIDDEN in walk(walker, sp, stack), "slot"
    stack.put(caller + 24, image.toc)
    stack.put(caller + 8, ((image.toc - HIDDEN) & 0xFFFFFFFF) << 32 | 0x24000000)
    assert HIDDEN in walk(walker, sp, stack), "cr4"
    assert HIDDEN in walk(walker, None, stack), "cr4, where every place may be a frame"
