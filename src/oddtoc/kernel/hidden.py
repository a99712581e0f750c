"""Return addresses that are not on the stack, because somebody has put an address of his own there.

- The graph tracer (and fprobes on top of it) puts `return_to_handler` there and keeps the address in the task's
  `ret_stack` (include/linux/ftrace.h, kernel/trace/fgraph.c).
- kretprobes put `__kretprobe_trampoline` or `arch_rethook_trampoline` there and keep it in a list of instances at the
  task (include/linux/kprobes.h, include/linux/rethook.h): the list's node, a pointer, the address.
- Our own return helpers: `slot` keeps the address in 24(r1) of the caller's frame, `cr4` keeps r2 there and r2 minus
  the address in 12(r1) (mechanism/storage).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddtoc.errors import RecordError
from oddtoc.image.elf import Image
from oddtoc.isa import Addresses
from oddtoc.kernel.offsets import Hidden, ReadMany
from oddtoc.kernel.tasks import Task
from oddtoc.places import Span

_TRAMPOLINES = ("return_to_handler", "__kretprobe_trampoline", "kretprobe_trampoline", "arch_rethook_trampoline")
_LONGEST_TRAMPOLINE = 160
"""Bytes: they are assembly, and not all say their size."""
_LARGEST_RET_STACK = 4096
_NODE_SIZE = 32
_MOST_INSTANCES = 4096


@dataclass(frozen=True)
class Hideouts:
    """Addresses that stand for others.

    Attributes:
        trampolines: of tracers.
        helpers: where our own return helpers may be: all that payloads may hold.
    """

    trampolines: tuple[Span, ...]
    helpers: tuple[Span, ...]

    @classmethod
    def of(cls, image: Image, rooms: Iterable[Span]) -> Hideouts:
        """Those of one kernel.

        Args:
            image: the kernel's image.
            rooms: where code of payloads may be.
        """
        trampolines = [
            Span(symbol.address, symbol.address + max(symbol.size, 4))
            for name in _TRAMPOLINES
            for symbol in image.symbols.find(name)
        ]
        return cls(tuple(_widened(trampolines)), tuple(rooms))


def _widened(spans: Iterable[Span]) -> Iterable[Span]:
    return (Span(span.start, max(span.end, span.start + _LONGEST_TRAMPOLINE)) for span in spans)


def holds_any(words: Addresses, spans: Iterable[Span]) -> npt.NDArray[np.bool_]:
    """Which words, shape (n,), are addresses inside of one of some spans."""
    found = np.zeros(len(words), np.bool_)
    for span in spans:
        found |= words - np.uint64(span.start) < np.uint64(span.size)
    return found


def kept_by_tracers(task: Task, hidden: Hidden, read_many: ReadMany) -> Addresses:
    """What tracers keep of a task's return addresses, and words beside them, shape (n,).

    Raises:
        RecordError: a list of instances does not end.
        FaultError: it leads out of memory.
    """
    memory = _ret_stack(task, hidden, read_many) + b"".join(
        _instances(task, offset, read_many) for offset in hidden.instances
    )
    return np.frombuffer(memory, "<u8")


def _ret_stack(task: Task, hidden: Hidden, read_many: ReadMany) -> bytes:
    if hidden.ret_stack is None:
        return b""
    base = int.from_bytes(read_many([(task.address + hidden.ret_stack, 8)])[0], "little")
    if not base:
        return b""
    size = _LARGEST_RET_STACK
    if hidden.ret_index is not None:
        index = int.from_bytes(read_many([(task.address + hidden.ret_index, 4)])[0], "little", signed=True)
        # whether the index counts entries or names the newest one: one more does no harm
        size = min(max((index + 1) * hidden.ret_entry, 0), size)
    return read_many([(base, size)])[0] if size else b""


def _instances(task: Task, offset: int, read_many: ReadMany) -> bytes:
    memory = b""
    node = int.from_bytes(read_many([(task.address + offset, 8)])[0], "little")
    while node:
        if len(memory) > _MOST_INSTANCES * _NODE_SIZE:
            raise RecordError("a task's list of kretprobe instances does not end", address=task.address)
        memory += (one := read_many([(node, _NODE_SIZE)])[0])
        node = int.from_bytes(one[:8], "little")
    return memory


def behind_helpers(words: Addresses) -> Addresses:
    """What return helpers would return to, for every place of a stack that may be the frame of their caller.

    Args:
        words: a piece of stack, from an address that is a multiple of 16.

    Returns:
        What `cr4` would find from each frame; what `slot` keeps is in `words` itself.
    """
    frames = words[: len(words) - len(words) % 2].reshape(-1, 2)
    if len(frames) < 2:
        return np.empty(0, np.uint64)
    distance = (frames[:-1, 1] >> np.uint64(32)).astype(np.uint32).view(np.int32).astype(np.int64)
    toc: Addresses = frames[1:, 1]
    return toc - distance.view(np.uint64)


def at_frame(word: Sequence[int]) -> tuple[int, int]:
    """What return helpers would return to from one frame: its first four doublewords."""
    distance = word[1] >> 32
    distance -= (distance & 0x80000000) << 1
    return word[3], (word[3] - distance) & 0xFFFFFFFFFFFFFFFF
