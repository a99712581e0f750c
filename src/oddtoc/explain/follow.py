"""Catch the next call of a patched function in a running target, and follow it, one instruction at a time.

Breakpoints stand at both entries; the vCPU or thread that comes by is stepped: in a guest while all others stand still,
in a process while they run on. Functions that the replacement calls run freely, with a breakpoint where they return,
and so does what is left of a long replacement. Everything is bounded: waiting, running and steps.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from oddtoc import isa
from oddtoc.errors import FaultError, TargetError
from oddtoc.explain.trace import HEADER_SIZE, Call, Map, Moment, State, Trace, read_header
from oddtoc.target.interrupts import GaveUpError
from oddtoc.target.stepping import Stepping

_MOST_STEPS = 400
_MOST_IN_REPLACEMENT = 100
"""Steps, after which the rest of it runs freely."""
_MOST_SECONDS_IN_REPLACEMENT = 10.0
"""After which the rest of it runs freely, too."""
_MOST_SECONDS = 60.0
"""For all of the call, functions that the replacement calls included."""


def follow(
    stepper: Stepping,
    found: Map,
    mechanism: str,
    call: Call | None,
    *,
    where: str,
    wait: float,
    give_up: Callable[[], bool],
) -> Trace:
    """Follow one call of a patched function.

    Args:
        stepper: of the target where the patch is applied.
        found: where the parts of the call are.
        mechanism: that of the function, by name.
        call: what kind of call to wait for; None for the first that comes.
        where: the target in words.
        wait: seconds to wait for it.
        give_up: asked a few times a second whether to stop waiting.

    Raises:
        TargetError: no such call came in time; GaveUpError: nobody wants it any longer.
    """
    return _Follower(stepper, found, mechanism, where, give_up).follow(call, wait)


@dataclass(frozen=True)
class _Replacement:
    """The replacement as it was entered: where it returns to, with which stack pointer; and how far it is stepped."""

    back: int
    stack: int
    last_step: int
    last_moment: float


class _Follower:
    def __init__(self, stepper: Stepping, found: Map, mechanism: str, where: str, give_up: Callable[[], bool]) -> None:
        self.stepper = stepper
        self.map = found
        self.mechanism = mechanism
        self.where = where
        self.give_up = give_up
        self.name = ""
        self.frame = 0
        self.limit = 0.0
        self.moments: list[Moment] = []
        self.replacement: _Replacement | None = None

    def follow(self, wanted: Call | None, wait: float) -> Trace:
        kind = self.catch(wanted, wait)
        state = self.look()
        self.frame, back = state.registers["r1"], state.registers["lr"]
        self.moments = self.call_before(state)
        self.limit = time.monotonic() + _MOST_SECONDS
        stopped = None
        while state.pc != back or self.replacement is None:
            stopped = self.advance(state)
            if stopped is not None:
                break
            state = self.look()
        else:
            self.step(state)
            state = self.look()
        return Trace(self.map, self.mechanism, kind, self.where, tuple(self.moments), state, back, stopped)

    def advance(self, state: State) -> str | None:
        """One instruction, or all that it stands for; why it can't go on from there, in words."""
        if len(self.moments) == _MOST_STEPS or time.monotonic() > self.limit:
            return f"it was not seen to come back within {_MOST_STEPS} instructions and {_MOST_SECONDS:g} s"
        if self.is_known(state.pc):
            self.step(state)
            return None
        registers = state.registers
        if self.replacement is None:
            last = len(self.moments) + _MOST_IN_REPLACEMENT
            last_moment = time.monotonic() + _MOST_SECONDS_IN_REPLACEMENT
            self.replacement = _Replacement(registers["lr"], registers["r1"], last, last_moment)
        inside = self.replacement
        is_long = len(self.moments) >= inside.last_step or time.monotonic() > inside.last_moment
        if is_long or not self.stepper.can_step(self.word(state.pc)):
            self.moments.append(Moment(state, self.word(state.pc), skipped=True))
            return None if self.run_to(inside.back, inside.stack) else "the replacement did not come back in time"
        self.step(state)
        if self.is_call(self.moments[-1]):
            self.moments[-1] = replace(self.moments[-1], skipped=True)
            if not self.run_to(state.pc + 4, registers["r1"]):
                return "a function that the replacement called did not come back in time"
        return None

    def catch(self, wanted: Call | None, wait: float) -> Call:
        """Wait for a call of the wanted kind."""
        limit = time.monotonic() + wait
        while True:
            # who wants a global call has nothing to do with all the others
            self.stepper.stop_at(self.map.global_entry, *([] if wanted is Call.GLOBAL else [self.map.local_entry]))
            name = self.stepper.run(limit - time.monotonic(), self.give_up, lambda name: self.kind(name) is wanted)
            if name is None and self.give_up():
                raise GaveUpError(f"nobody waits for a call of {self.map.function} any longer")
            if name is None:
                kind = f"{wanted} call" if wanted else "call"
                raise TargetError(
                    f"no {kind} of {self.map.function} came in {wait:g} s",
                    function=self.map.function,
                    advice="see to it that it is called meanwhile, or wait longer with --wait",
                )
            self.name = name
            kind_found = self.kind(name)
            if wanted in (None, kind_found):
                self.stepper.clear()
                return kind_found
            self.pass_entry()

    def pass_entry(self) -> None:
        """Step over both entries: who comes from the global one would be taken for a local call at the other."""
        place = self.stepper.registers(self.name)["pc"]
        while self.map.global_entry <= place <= self.map.local_entry:
            self.stepper.step(self.name)
            before, place = place, self.stepper.registers(self.name)["pc"]
            if place <= before:
                return

    def kind(self, name: str) -> Call:
        """What kind of call has just arrived at an entry."""
        registers = self.stepper.registers(name)
        if registers["pc"] == self.map.global_entry != self.map.local_entry:
            return Call.GLOBAL
        place = registers["lr"] - 4
        try:
            word, behind = self.words(name, place)
        except FaultError:
            return Call.LOCAL
        if isa.branch_target(place, word) == self.map.local_entry:
            return Call.LOCAL
        if self.map.global_entry == self.map.local_entry:
            return Call.GLOBAL if behind == isa.TOC_RELOAD else Call.LOCAL
        through_pointer = isa.opcode(word) == 19
        return Call.LOCAL if through_pointer or self.is_stub(name, place, word) else Call.SIBLING

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
        return [Moment(before, word, inferred=True, through_stub=self.is_stub(self.name, place, word))]

    def is_stub(self, name: str, place: int, word: int) -> bool:
        """Whether a call goes to a PLT stub, which jumps to what it has loaded (ELFv2 ABI, 4.2.5.2)."""
        target = isa.branch_target(place, word)
        if target in (None, self.map.global_entry, self.map.local_entry):
            return False
        try:
            words = struct.unpack("<5I", self.stepper.read(name, target or 0, 20))
        except FaultError:
            return False
        return any(pair == (isa.MTCTR_R12, isa.BCTR) for pair in pairwise(words))

    def is_known(self, address: int) -> bool:
        """Whether an address is in the entry or the trampoline."""
        start, end = self.map.trampoline
        return self.map.global_entry <= address <= self.map.behind or start <= address < end

    def is_call(self, moment: Moment) -> bool:
        """Whether an instruction, which was just stepped, called something."""
        place = moment.state.pc
        after = self.stepper.registers(self.name)
        calls = isa.is_link(moment.word) and isa.opcode(moment.word) in (18, 19)
        return calls and after["lr"] == place + 4 != after["pc"]

    def run_to(self, address: int, stack: int) -> bool:
        """Let everything run until this thread, known by its stack pointer, is at an address."""
        name = self.stepper.run_to(self.name, address, stack, self.limit - time.monotonic(), self.give_up)
        self.name = name or self.name
        return name is not None

    def step(self, state: State) -> None:
        self.moments.append(Moment(state, self.word(state.pc)))
        self.stepper.step(self.name)

    def words(self, name: str, address: int) -> tuple[int, int]:
        first, second = struct.unpack("<II", self.stepper.read(name, address, 8))
        return first, second

    def word(self, address: int) -> int:
        return int.from_bytes(self.stepper.read(self.name, address, 4), "little")

    def look(self) -> State:
        registers = self.stepper.registers(self.name)
        frame = self.frame or registers["r1"]
        return State(registers, read_header(self.stepper.read(self.name, frame, HEADER_SIZE)))
