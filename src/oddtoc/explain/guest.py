"""Catch the next call of a patched function in a guest, and follow it, one instruction at a time.

Breakpoints stand at both entries; the vCPU that comes by is stepped while all others stand still. Functions that the
replacement calls run freely, with a breakpoint where they return. Everything is bounded: waiting, running and steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from oddtoc import isa
from oddtoc.errors import FaultError, TargetError
from oddtoc.explain.trace import HEADER_SIZE, Call, Map, Moment, State, Trace, read_header
from oddtoc.target.interrupts import GaveUpError
from oddtoc.target.qemu import QemuTarget
from oddtoc.target.stepper import Stepper

_MOST_STEPS = 400
_MOST_SECONDS = 10.0
"""For all steps of the call, functions that the replacement calls included."""


def follow(
    target: QemuTarget, found: Map, mechanism: str, call: Call | None, *, wait: float, give_up: Callable[[], bool]
) -> Trace:
    """Follow one call of a patched function. The guest runs on afterwards, without breakpoints.

    Args:
        target: where the patch is applied.
        found: where the parts of the call are.
        mechanism: that of the function, by name.
        call: what kind of call to wait for; None for the first that comes.
        wait: seconds to wait for it.
        give_up: asked a few times a second whether to stop waiting.

    Raises:
        TargetError: no such call came in time; GaveUpError: nobody wants it any longer.
    """
    with target.stopped() as stopped:
        stepper = stopped.stepper()
        with stepper.prepared():
            return _Follower(stepper, found, mechanism, give_up).follow(call, wait)


class _Follower:
    def __init__(self, stepper: Stepper, found: Map, mechanism: str, give_up: Callable[[], bool]) -> None:
        self.stepper = stepper
        self.map = found
        self.mechanism = mechanism
        self.give_up = give_up
        self.cpu = ""
        self.frame = 0

    def follow(self, wanted: Call | None, wait: float) -> Trace:
        kind = self.catch(wanted, wait)
        state = self.look()
        self.frame, back = state.registers["r1"], state.registers["lr"]
        moments = self.call_before(state)
        limit = time.monotonic() + _MOST_SECONDS
        stopped = None
        in_replacement = False
        while state.pc != back or not in_replacement:
            if len(moments) == _MOST_STEPS or time.monotonic() > limit:
                stopped = f"it was not seen to come back within {_MOST_STEPS} instructions and {_MOST_SECONDS:g} s"
                break
            in_replacement = in_replacement or not self.is_known(state.pc)
            moments.append(Moment(state, self.word(state.pc)))
            self.stepper.step(self.cpu)
            after = self.look()
            if in_replacement and self.is_call(moments[-1], after):
                if not self.run_to(state.pc + 4, limit):
                    stopped = "a function that the replacement called did not come back in time"
                    break
                moments[-1] = replace(moments[-1], skipped=True)
                after = self.look()
            state = after
        else:
            moments.append(Moment(state, self.word(state.pc)))
            self.stepper.step(self.cpu)
            state = self.look()
        return Trace(self.map, self.mechanism, kind, "the guest", tuple(moments), state, back, stopped)

    def catch(self, wanted: Call | None, wait: float) -> Call:
        """Wait for a call of the wanted kind."""
        limit = time.monotonic() + wait
        while True:
            self.stepper.stop_at(self.map.global_entry, self.map.local_entry)
            cpu = self.stepper.run(limit - time.monotonic(), self.give_up)
            if cpu is None and self.give_up():
                raise GaveUpError(f"nobody waits for a call of {self.map.function} any longer")
            if cpu is None:
                kind = f"{wanted} call" if wanted else "call"
                raise TargetError(
                    f"no {kind} of {self.map.function} came in {wait:g} s",
                    function=self.map.function,
                    advice="make the guest call it meanwhile, or wait longer with --wait",
                )
            self.cpu = cpu
            kind_found = self.kind()
            if wanted in (None, kind_found):
                self.stepper.clear()
                return kind_found
            self.stepper.step(cpu)

    def kind(self) -> Call:
        """What kind of call has just arrived at an entry."""
        registers = self.stepper.registers(self.cpu)
        if registers["pc"] == self.map.global_entry != self.map.local_entry:
            return Call.GLOBAL
        place = registers["lr"] - 4
        try:
            word = self.word(place)
        except FaultError:
            return Call.LOCAL
        if isa.branch_target(place, word) == self.map.local_entry:
            return Call.LOCAL
        through_pointer = isa.opcode(word) == 19
        if self.map.global_entry == self.map.local_entry:
            return Call.GLOBAL if self.word(place + 4) == isa.TOC_RELOAD else Call.LOCAL
        return Call.LOCAL if through_pointer else Call.SIBLING

    def call_before(self, state: State) -> list[Moment]:
        """The instruction that called, told from LR: it had run when the call was caught."""
        place = state.registers["lr"] - 4
        try:
            word = self.word(place)
        except FaultError:
            return []
        if not isa.is_link(word) or isa.opcode(word) not in (18, 19):
            return []
        before = State({**state.registers, "pc": place}, state.header)
        return [Moment(before, word, inferred=True)]

    def is_known(self, address: int) -> bool:
        """Whether an address is in the entry or the trampoline."""
        start, end = self.map.trampoline
        return self.map.global_entry <= address <= self.map.behind or start <= address < end

    def is_call(self, moment: Moment, after: State) -> bool:
        """Whether an instruction of the replacement called something."""
        place = moment.state.pc
        calls = isa.is_link(moment.word) and isa.opcode(moment.word) in (18, 19)
        return calls and not self.is_known(place) and after.registers["lr"] == place + 4 != after.pc

    def run_to(self, address: int, limit: float) -> bool:
        """Let everything run until this thread, known by its stack pointer, is at an address."""
        stack = self.stepper.registers(self.cpu)["r1"]
        while True:
            self.stepper.stop_at(address)
            cpu = self.stepper.run(limit - time.monotonic(), self.give_up)
            if cpu is None:
                return False
            if self.stepper.registers(cpu)["r1"] == stack:
                self.cpu = cpu
                self.stepper.clear()
                return True
            self.stepper.step(cpu)

    def word(self, address: int) -> int:
        return int.from_bytes(self.stepper.read(self.cpu, address, 4), "little")

    def look(self) -> State:
        registers = self.stepper.registers(self.cpu)
        frame = self.frame or registers["r1"]
        return State(registers, read_header(self.stepper.read(self.cpu, frame, HEADER_SIZE)))
