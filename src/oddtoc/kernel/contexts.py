"""What there is to look at of every thread when the kernel stands still: registers, and the parts of stacks in use.

A task that does not run has its state on its own stack, from the r1 that it saved up to the stack's top. One that runs
has more: the registers of its vCPU, and the interrupt stacks of that CPU (`hardirq_ctx`, `softirq_ctx`,
arch/powerpc/kernel/irq.c). Which vCPU runs which task is told by r13, the PACA in kernel mode; what runs in user mode
uses no kernel stack.

Where anything is doubtful, more counts and not less: a whole stack instead of its used part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oddtoc.image.elf import Image
from oddtoc.kernel.offsets import ReadMany
from oddtoc.kernel.tasks import CpuState, Task, Tasks
from oddtoc.places import Span
from oddtoc.target.qemu import LINEAR_MAP, Cpu

_MSR_PR = 1 << 14
_STACKS = ("hardirq_ctx", "softirq_ctx")
_FRAME_ALIGNMENT = 16


@dataclass(frozen=True)
class Context:
    """One thread.

    Attributes:
        task: whose it is.
        where: what it does, in words.
        sp: where its chain of frames begins; None when that is unknown: then every word counts.
        stacks: the memory that may be in use, the innermost stack first, the task's own one last.
        registers: what its registers hold; empty when it does not run.
    """

    task: Task
    where: str
    sp: int | None
    stacks: tuple[Span, ...]
    registers: tuple[int, ...] = ()


class ContextFinder:
    """Tells for one kernel what to look at.

    Args:
        image: the kernel's image.
        stack_size: of every kernel stack, bytes.
        cpus: how many CPUs there may be.
        read_many: reads live memory.
    """

    def __init__(self, image: Image, stack_size: int, cpus: int, read_many: ReadMany) -> None:
        self._stack_size = stack_size
        arrays = [symbol.address for name in _STACKS for symbol in image.symbols.find(name)]
        memory = read_many([(array, 8 * cpus) for array in arrays])
        self._interrupt_stacks = [struct.unpack(f"<{cpus}Q", one) for one in memory]

    def contexts(self, tasks: Tasks, cpus: Sequence[Cpu]) -> list[Context]:
        """Everything to look at.

        Args:
            tasks: all tasks.
            cpus: all vCPUs, of the same stop.
        """
        by_paca = {state.paca: state for state in tasks.cpus}
        in_kernel = [cpu for cpu in cpus if not cpu.registers["msr"] & _MSR_PR]
        placed = [(cpu, by_paca[cpu.registers["r13"]]) for cpu in in_kernel if cpu.registers["r13"] in by_paca]
        lost = [cpu for cpu in in_kernel if cpu.registers["r13"] not in by_paca]
        taken = {state.paca for _, state in placed}
        left = [state for state in tasks.cpus if state.paca not in taken]
        found = [self._running(cpu, state, tasks.tasks[state.current]) for cpu, state in placed]
        if len(left) != len(cpus) - len(in_kernel):
            # a vCPU whose r13 is not yet, or no longer, the PACA: whatever it runs may be in the kernel
            registers = tuple(value for cpu in lost for value in _registers(cpu))
            found += [
                self._doubtful(tasks.tasks[state.current], state, registers, "entering the kernel") for state in left
            ]
        running = {state.current for state in tasks.cpus}
        found += [self._asleep(task) for task in tasks.tasks.values() if task.stack and task.address not in running]
        return found

    def _running(self, cpu: Cpu, state: CpuState, task: Task) -> Context:
        sp, where = cpu.registers["r1"], f"runs on vCPU {state.number}"
        own, interrupts = self._stack(task.stack), self._interrupts(state)
        around = next((span for span in (own, *interrupts) if sp in span), None)
        if around is None or sp % _FRAME_ALIGNMENT:
            return self._doubtful(task, state, _registers(cpu), where)
        used = Span(sp, around.end)
        others = () if around == own else (*(span for span in interrupts if span != around), own)
        return Context(task, where, sp, (used, *others), _registers(cpu))

    def _doubtful(self, task: Task, state: CpuState, registers: tuple[int, ...], where: str) -> Context:
        return Context(task, where, None, (*self._interrupts(state), self._stack(task.stack)), registers)

    def _asleep(self, task: Task) -> Context:
        stack = self._stack(task.stack)
        if task.ksp not in stack or task.ksp % _FRAME_ALIGNMENT:
            return Context(task, "does not run", None, (stack,))
        return Context(task, "does not run", task.ksp, (Span(task.ksp, stack.end),))

    def _stack(self, base: int) -> Span:
        return Span(base, base + self._stack_size)

    def _interrupts(self, state: CpuState) -> tuple[Span, ...]:
        bases: Iterable[int] = (stacks[state.number] for stacks in self._interrupt_stacks)
        return tuple(self._stack(base) for base in bases if base)

    def is_elsewhere(self, cpu: Cpu, contexts: Sequence[Context]) -> bool:
        """Whether a vCPU in the kernel is on a stack that nobody looks at: between two tasks, or in an emergency."""
        sp = cpu.registers["r1"]
        return (
            not cpu.registers["msr"] & _MSR_PR
            and sp >= LINEAR_MAP
            and not any(sp in span for context in contexts for span in context.stacks)
        )


def _registers(cpu: Cpu) -> tuple[int, ...]:
    return tuple(cpu.registers.values())
