"""Where the kernel keeps what a look at its tasks needs: members of task_struct and of the PACA, stacks and their size.

Nothing here knows a version. Members are found in the running `init_task`, by values that are known from symbols
(init/init_task.c: `stack` is `init_stack`, `signal` is `init_signals`, `thread_node` hangs in its `thread_head`), and
in the code of functions that do little else than reach for them: `_switch` (arch/powerpc/kernel/entry_64.S) stores r1
into the thread, finds the task from it, makes it the PACA's and rounds the stack down to its size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from oddtoc.errors import FaultError, RecordError
from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.isa import sign_extend

ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reads several (address, size) of live memory at once."""

STACK_END_MAGIC = 0x57AC6E9D
"""The lowest doubleword of every task's stack (include/uapi/linux/magic.h)."""
_COMM = b"swapper"
_TASKS_LOOKED_AT = 3
_STD_R1_R3 = 0xF8230000
_ADDI_R4 = 0x38040000
_STD_R13 = 0xF80D0000
_LD, _STD, _LWZ = 58, 62, 32
_STACK_POINTERS = (1, 2, 13)


@dataclass(frozen=True)
class Hidden:
    """Where a task keeps return addresses that a tracer has taken from its stack; offsets in task_struct, bytes.

    Attributes:
        ret_stack: the pointer to the graph tracer's array; None where the kernel has none.
        ret_index: the 32-bit number of the entry in use that is newest, or of entries.
        ret_entry: bytes that one step of that number stands for.
        instances: heads of lists of kretprobe or rethook instances.
    """

    ret_stack: int | None
    ret_index: int | None
    ret_entry: int
    instances: tuple[int, ...]


@dataclass(frozen=True)
class Offsets:
    """Offsets in bytes: in `task_struct` where nothing else is said.

    Attributes:
        stack, ksp: the lowest address of the kernel stack; r1 of a task that does not run.
        tasks: the list of all processes; `init_task` is its head.
        signal: the pointer to what the threads of a process share.
        thread_node, thread_head: the list of a process's threads; its head, in what `signal` points to.
        comm: 16 bytes of name.
        pid: 32 bits; None when it was not found (it is for display alone).
        current: in the PACA: the running task.
        stack_size: bytes.
        hidden: return addresses that are not on the stack.
    """

    stack: int
    ksp: int
    tasks: int
    signal: int
    thread_node: int
    thread_head: int
    comm: int
    pid: int | None
    current: int
    stack_size: int
    hidden: Hidden


def find_offsets(image: Image, read_many: ReadMany) -> Offsets:
    """Find them all.

    Args:
        image: the kernel's image.
        read_many: reads live memory of the kernel that runs.

    Raises:
        RecordError: one of them can't be found, so that tasks can't be looked at.
        SymbolError: the image lacks a symbol that every kernel has.
    """
    ksp, current, stack_size = _from_switch(image)
    symbol = image.symbols.one("init_task")
    memory = read_many([(symbol.address, symbol.size - symbol.size % 8)])[0]
    words = struct.unpack(f"<{len(memory) // 8}Q", memory)
    stack = _only("its stack", _holding(words, image.symbols.one("init_stack").address))
    shared = image.symbols.one("init_signals")
    signal = _only("its signals", _holding(words, shared.address))
    thread_node, thread_head = _thread_list(words, symbol, shared, read_many)
    comm = memory.find(_COMM)
    if comm < 0:
        raise _lost("its name")
    tasks, others = _task_list(words, symbol.address, stack, stack_size, read_many)
    return Offsets(
        stack=stack,
        ksp=ksp,
        tasks=tasks,
        signal=signal,
        thread_node=thread_node,
        thread_head=thread_head,
        comm=comm,
        pid=_pid(memory, others, read_many),
        current=current,
        stack_size=stack_size,
        hidden=_hidden(image),
    )


def _lost(what: str) -> RecordError:
    return RecordError(
        f"{what} can't be found in this kernel's tasks",
        advice="its threads can't be looked at; --immediate goes without that, where it may",
    )


def _only(what: str, found: Sequence[int]) -> int:
    if len(found) != 1:
        raise _lost(what)
    return found[0]


def _holding(words: Sequence[int], value: int) -> list[int]:
    return [index * 8 for index, word in enumerate(words) if word == value]


def _from_switch(image: Image) -> tuple[int, int, int]:
    """The offsets of the saved r1 and of the running task, and the size of a stack."""
    words = _code(image, "_switch", 100)
    in_thread = [word & 0xFFFC for word in words if word & 0xFFFF0003 == _STD_R1_R3]
    taken = [
        (index, (word >> 21) & 31, -sign_extend(word, 16))
        for index, word in enumerate(words)
        if word & 0xFC1F0000 == _ADDI_R4
    ]
    if len(in_thread) != 1 or len(taken) != 1:
        raise _lost("the saved stack pointer")
    index, register, thread = taken[0]
    stores = [
        word & 0xFFFC
        for word in words[index : index + 8]
        if word & 0xFC1F0003 == _STD_R13 and (word >> 21) & 31 == register
    ]
    cleared = {bits for word in words for bits in _clrrdi(word) if 12 <= bits <= 18}
    if not stores or len(cleared) != 1:
        raise _lost("the running task")
    return thread + in_thread[0], stores[0], 1 << cleared.pop()


def _clrrdi(word: int) -> Iterator[int]:
    """How many low bits `rldicr rA,rS,0,63-n` clears (Power ISA, MD-form)."""
    if word >> 26 == 30 and word & 0x1F == 4 and word & 0xF802 == 0:
        mask_end = (word >> 6 & 31) | (word & 32)
        yield 63 - mask_end


def _thread_list(words: Sequence[int], task: Symbol, shared: Symbol, read_many: ReadMany) -> tuple[int, int]:
    """`thread_node`, alone in its list: next and prev are the head, and the head's are the node."""
    for index in range(len(words) - 1):
        head = words[index]
        if head == words[index + 1] and shared.address < head < shared.address + shared.size - 16:
            node = task.address + index * 8
            if struct.unpack("<QQ", read_many([(head, 16)])[0]) == (node, node):
                return index * 8, head - shared.address
    raise _lost("its list of threads")


def _task_list(
    words: Sequence[int], task: int, stack: int, stack_size: int, read_many: ReadMany
) -> tuple[int, list[int]]:
    """`tasks`, and the first tasks in it: a list whose members, taken for tasks, have stacks."""
    found = []
    for index in range(len(words) - 1):
        following, before, offset = words[index], words[index + 1], index * 8
        if following == before or following == task + offset or not all(map(_may_point, (following, before))):
            continue
        try:
            members = list(_members(task, offset, stack, stack_size, read_many))
        except FaultError:
            continue
        if members:
            found.append((offset, members))
    if len(found) != 1:
        raise _lost("the list of processes")
    return found[0]


def _may_point(word: int) -> bool:
    """Whether a word may be a pointer into the linear map (arch/powerpc/include/asm/page.h): at most 2 PiB of it."""
    return word >> 51 == 0xC000000000000000 >> 51 and word % 8 == 0


def _members(task: int, offset: int, stack: int, stack_size: int, read_many: ReadMany) -> Iterator[int]:
    """The first members of a list that are tasks; none when one is not, or does not point back."""
    before, found = task, []
    for _ in range(_TASKS_LOOKED_AT):
        (node,) = struct.unpack("<Q", read_many([(before + offset, 8)])[0])
        member = node - offset
        back, base = struct.unpack("<QQ", b"".join(read_many([(node + 8, 8), (member + stack, 8)])))
        if back != before + offset or not base or base % stack_size:
            return
        if int.from_bytes(read_many([(base, 8)])[0], "little") != STACK_END_MAGIC:
            return
        found.append(member)
        before = member
    yield from found


def _pid(memory: bytes, others: Sequence[int], read_many: ReadMany) -> int | None:
    """Where `init`, `kthreadd` and `init_task` hold 1, 2 and 0, and behind it the same again (`tgid`)."""
    others = others[:2]
    numbers = [struct.unpack(f"<{len(memory) // 4}I", memory)]
    numbers += [struct.unpack(f"<{len(memory) // 4}I", one) for one in read_many([(o, len(memory)) for o in others])]
    for index in range(len(numbers[0]) - 1):
        if all(task[index] == task[index + 1] == number for number, task in enumerate(numbers)):
            return index * 4
    return None


def _hidden(image: Image) -> Hidden:
    ret_stack = _taken(image, "ftrace_graph_exit_task")
    index, entry = _ret_index(image, ret_stack)
    lists = [_taken(image, name) for name in ("kprobe_flush_task", "rethook_flush_task")]
    return Hidden(ret_stack, index, entry, tuple(offset for offset in lists if offset is not None))


def _taken(image: Image, function: str) -> int | None:
    """The offset of the doubleword that a function of one task reads and then clears; None without such a function."""
    if not image.symbols.find(function):
        return None
    loaded = set()
    for word in _code(image, function, 48):
        base, offset = word >> 16 & 31, word & 0xFFFC
        if base in _STACK_POINTERS:
            continue
        if word >> 26 == _LD and word & 3 == 0:
            loaded.add(offset)
        if word >> 26 == _STD and word & 3 == 0 and offset in loaded and offset > 512:
            return offset
    raise _lost(f"what {function} clears")


def _ret_index(image: Image, ret_stack: int | None) -> tuple[int | None, int]:
    """`curr_ret_stack`, the first thing that ftrace_graph_get_ret_stack reads, and what one step of it stands for."""
    name = "ftrace_graph_get_ret_stack"
    if ret_stack is None or not image.symbols.find(name):
        return None, 0
    words = _code(image, name, 32)
    index = next((word & 0xFFFF for word in words if word >> 26 == _LWZ and word >> 16 & 31 == 3), None)
    shifts = {shift for word in words for shift in _sldi(word)}
    return (index, 1 << shifts.pop()) if index is not None and len(shifts) == 1 else (None, 0)


def _sldi(word: int) -> Iterator[int]:
    """How many bits `rldicr rA,rS,n,63-n` shifts to the left."""
    if word >> 26 == 30 and word & 0x1D == 4:
        shift = word >> 11 & 31 | (word & 2) << 4
        if shift and (word >> 6 & 31 | word & 32) == 63 - shift:
            yield shift


def _code(image: Image, name: str, most: int) -> list[int]:
    symbol = image.symbols.one(name)
    functions = image.symbols.functions()
    ends = functions.ends[functions.starts == symbol.address]
    size = int(ends.max()) - symbol.address if len(ends) else 4 * most
    return [int(word) for word in image.words(symbol.address, min(size // 4, most))]
