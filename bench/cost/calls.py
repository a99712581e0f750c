"""From events to calls: what a call executes on its way in and on its way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from bench.cost.plugin import Event

from oddtoc.errors import TargetError
from oddtoc.places import Span


@dataclass(frozen=True)
class Call:
    """One call of a function, in executed instructions.

    Attributes:
        into: from the call instruction, included, to the first instruction of the body, not included.
        back: from the last instruction of the body, included, to the instruction behind the call, not included.
        entered: address of the body's first instruction that was executed.
    """

    into: int
    back: int
    entered: int


def calls_of(events: Iterable[Event], call_sites: Collection[int], body: Span) -> Iterator[Call]:
    """The calls that went through a body.

    Args:
        events: of one or more vCPUs, in the order of the log.
        call_sites: addresses of the call instructions; the instructions behind them must be watched as well.
        body: code that counts as the function's own: all of it must be watched.
    """
    open_calls: dict[int, list[Event]] = {}
    for event in events:
        if event.address in call_sites:
            open_calls[event.cpu] = [event]
            continue
        inside = open_calls.get(event.cpu)
        if inside is None:
            continue
        if event.address == inside[0].address + 4:
            steps = [step for step in inside if step.address in body]
            if steps:
                yield Call(steps[0].count - inside[0].count, event.count - steps[-1].count, steps[0].address)
            del open_calls[event.cpu]
        else:
            inside.append(event)


def usual(calls: Iterable[Call], function: str) -> Call:
    """The call of a function that an interrupt did not lengthen: the shortest, way in and way back.

    Raises:
        TargetError: there was no call, or most calls were longer: then something else than interrupts is at work.
    """
    seen = Counter(calls)
    if not seen:
        raise TargetError(f"{function} was not called while instructions were counted", function=function)
    shortest = min(seen, key=lambda call: (call.into + call.back, call.entered))
    if seen[shortest] * 2 < seen.total():
        found = ", ".join(f"{number} x {call.into}+{call.back}" for call, number in seen.most_common(4))
        raise TargetError(f"calls of {function} differ: {found}", function=function, advice="is the machine very busy?")
    return shortest
