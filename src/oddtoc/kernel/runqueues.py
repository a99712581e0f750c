"""The lists of tasks that wait for a CPU, where those are still found that have left all other lists.

A task that exits takes itself off the lists of tasks (`release_task`, kernel/exit.c) some way before it stops running.
When it is preempted on that way it is on no list but that of its run queue: `cfs_tasks` of the per-CPU variable
`runqueues` (kernel/sched/sched.h), through the member `group_node` of its scheduling entity. Real-time tasks are on
others.

Both offsets come from BTF; without it from `set_next_task_fair` (kernel/sched/fair.c), which moves the entity of its
second argument in the list of its first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oddtoc.errors import ImageError, SymbolError
from oddtoc.image.btf import Btf
from oddtoc.image.elf import Image
from oddtoc.isa import sign_extend

_ADDI = 14
_QUEUE, _TASK = 3, 4
"""The registers of the first two arguments."""
_APART = 4
"""Words between the two offsets."""


@dataclass(frozen=True)
class RunQueues:
    """Where they are.

    Attributes:
        heads: addresses of the lists, one for each CPU.
        node: where `task_struct` hangs in them, bytes.
    """

    heads: tuple[int, ...]
    node: int


def find_run_queues(image: Image, distances: Sequence[int]) -> RunQueues | None:
    """Find the run queues; None where the kernel does not tell where they are.

    Args:
        image: the kernel's image.
        distances: from a per-CPU variable's address to that of each CPU's own one (`__per_cpu_offset`), bytes.
    """
    offsets = _from_types(image) or _from_code(image)
    queues = image.symbols.find("runqueues")
    if offsets is None or len(queues) != 1:
        return None
    head, node = offsets
    return RunQueues(tuple(queues[0].address + distance + head for distance in distances), node)


def _from_types(image: Image) -> tuple[int, int] | None:
    try:
        btf = Btf.of(image)
        node = btf.offset("task_struct", "se") + btf.offset("sched_entity", "group_node")
        return btf.offset("rq", "cfs_tasks"), node
    except (ImageError, SymbolError):
        return None


def _from_code(image: Image) -> tuple[int, int] | None:
    functions = image.symbols.find("set_next_task_fair")
    if len(functions) != 1:
        return None
    words = [int(word) for word in image.words(functions[0].address, functions[0].size // 4)]
    heads = [index for index, word in enumerate(words) if _addi_base(word) == _QUEUE]
    if len(heads) != 1:
        return None
    near = words[max(0, heads[0] - _APART) : heads[0] + _APART]
    nodes = [sign_extend(word, 16) for word in near if _addi_base(word) == _TASK]
    return (sign_extend(words[heads[0]], 16), nodes[0]) if len(nodes) == 1 else None


def _addi_base(word: int) -> int | None:
    """The base register of `addi rX,base,offset` with another rX; None of anything else."""
    base = word >> 16 & 31
    return base if word >> 26 == _ADDI and word >> 21 & 31 != base else None
