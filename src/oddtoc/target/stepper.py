"""Breakpoints, and single steps of one vCPU while the others stand still.

QEMU keeps breakpoints and the modes of a connection after its client has gone: whoever uses this clears up behind
itself. Interrupts and timers do not come while a vCPU is stepped (`qemu.sstep`, gdbstub.c of QEMU).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oddtoc.errors import FaultError, TargetError
from oddtoc.target.awaiting import SLICE, slices
from oddtoc.target.registers import Layout, decode_core
from oddtoc.target.rsp import Connection

_ATTEMPTS = 3
"""Steps tried until one is made: a late stop of another vCPU may come before it."""
_NO_INTERRUPTS = 7
"""SSTEP_ENABLE, SSTEP_NOIRQ and SSTEP_NOTIMER."""
_THREAD = re.compile(rb"thread:([0-9a-f]{1,8});")
_SIGNAL_TRAP = b"05"


class Stepper:
    """Runs a stopped target a little; made by `Stopped.stepper`, valid inside its `stopped` block, and
    to be used inside a `prepared` one.
    """

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection = connection
        self._layout = layout
        self._breakpoints: set[int] = set()

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Without interrupts and timers while stepping; afterwards as before, and without breakpoints."""
        (mode,) = self._connection.exchange([b"qqemu.sstep"])
        try:
            if mode != b"0x%x" % _NO_INTERRUPTS:
                self._demand(b"Qqemu.sstep=%x" % _NO_INTERRUPTS, "steps without interrupts")
            yield
        finally:
            self.clear()
            self._let_late_stop_pass()
            if mode != b"0x%x" % _NO_INTERRUPTS:
                self._demand(b"Qqemu.sstep=%b" % mode.removeprefix(b"0x"), "its old mode of stepping")

    def stop_at(self, *addresses: int) -> None:
        """Breakpoints at these addresses, and nowhere else."""
        for address in self._breakpoints - set(addresses):
            self._demand(b"z1,%x,4" % address, "breakpoints")
            self._breakpoints.discard(address)
        self._connection.has_breakpoints = bool(addresses)
        for address in set(addresses) - self._breakpoints:
            self._breakpoints.add(address)
            self._demand(b"Z1,%x,4" % address, "breakpoints")

    def clear(self) -> None:
        """Remove all breakpoints."""
        self.stop_at()

    def step(self, cpu: str) -> None:
        """Run one instruction of one vCPU, a breakpoint on it or not; breakpoints are gone then.

        Raises:
            TargetError: the target does not step.
        """
        self.clear()
        before = self.registers(cpu)["pc"]
        for _ in range(_ATTEMPTS):
            (reply,) = self._connection.exchange([b"vCont;s:" + cpu.encode()])
            # a late stop has no step made, whoever it names; only where a branch goes to itself the place stays
            if reply[1:3] == _SIGNAL_TRAP and self.registers(cpu)["pc"] != before:
                return
        if reply[1:3] == _SIGNAL_TRAP and _stopped_cpu(reply) == cpu:
            return
        raise TargetError(f"vCPU {cpu} does not step: the target says {reply[:40]!r}")

    def run(
        self, seconds: float, give_up: Callable[[], bool], prefers: Callable[[str], bool] = lambda _: True
    ) -> str | None:
        """As `Stepping.run`; the target stands still again in any case."""
        del prefers  # they arrive one by one
        self._connection.resume()
        for left in slices(seconds, give_up):
            reply = self._connection.next_stop(left)
            if reply is None:
                continue
            cpu = _stopped_cpu(reply)
            if self.registers(cpu)["pc"] in self._breakpoints:
                return cpu
            self._connection.resume()
        self._connection.stop()
        return None

    def run_to(self, name: str, address: int, stack: int, seconds: float, give_up: Callable[[], bool]) -> str | None:
        """As `Stepping.run_to`."""
        del name  # it may come back on another one
        limit = time.monotonic() + seconds
        while True:
            self.stop_at(address)
            found = self.run(limit - time.monotonic(), give_up)
            if found is None or self.registers(found)["r1"] == stack:
                self.clear()
                return found
            self.step(found)

    def can_step(self, word: int) -> bool:
        """Whether an instruction can be stepped: QEMU keeps reservations."""
        del word
        return True

    def registers(self, cpu: str) -> dict[str, int]:
        """The general registers of a vCPU."""
        selected, core = self._connection.exchange([b"Hg" + cpu.encode(), b"g"])
        if selected != b"OK":
            raise TargetError(f"vCPU {cpu} can't be selected: {selected[:20]!r}")
        return decode_core(self._layout, core)

    def read(self, cpu: str, address: int, size: int) -> bytes:
        """Memory as a vCPU sees it, mapped in whatever way: modules and stacks too.

        Raises:
            FaultError: it sees none there.
        """
        requests = [b"Hg" + cpu.encode(), b"Qqemu.PhyMemMode:0", b"m%x,%x" % (address, size), b"Qqemu.PhyMemMode:1"]
        reply = self._connection.exchange(requests)[2]
        try:
            data = bytes.fromhex(reply.decode("ascii"))
        except ValueError:
            data = b""
        if len(data) != size:
            raise FaultError(f"vCPU {cpu} sees no {size} bytes at {address:#x}", address=address, size=size)
        return data

    def _let_late_stop_pass(self) -> None:
        """A vCPU that met a breakpoint while another one's stopped the target stops it again when it has run on."""
        self._connection.resume()
        if self._connection.next_stop(SLICE) is None:
            self._connection.stop()

    def _demand(self, request: bytes, what: str) -> None:
        (reply,) = self._connection.exchange([request])
        if reply != b"OK":
            raise TargetError(f"the target refuses {what}: {reply[:20]!r}")


def _stopped_cpu(reply: bytes) -> str:
    match = _THREAD.search(reply)
    if match is None:
        raise TargetError(f"the target does not say which vCPU stopped: {reply[:40]!r}")
    return match[1].decode("ascii")
