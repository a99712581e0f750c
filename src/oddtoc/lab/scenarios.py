"""The scenarios by name. What each does stands in machine/calls.c, chains.c and windows.c, under the same names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oddtoc.errors import UsageError

PAYLOAD_FAR = "payload-far"
"""Needs no machine code: the linker refuses it."""


@dataclass(frozen=True)
class Scenario:
    """One way to call a patched function.

    Attributes:
        name: what the user writes.
        summary: one line: who calls whom, and what is special about it.
        needs: functions of machine/patched.s that the mechanism has to be able to carry.
    """

    name: str
    summary: str
    needs: tuple[str, ...] = ()


_NO_TOC = ("bare",)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("local", "called within its object, by bl"),
        Scenario("global-pointer", "called through a pointer within its object"),
        Scenario("global-object", "called from another object"),
        Scenario("no-toc-local", "a function without TOC set-up, called within its object", _NO_TOC),
        Scenario("no-toc-object", "a function without TOC set-up, called from another object", _NO_TOC),
        Scenario("recursion", "30 calls deep, through an unpatched function"),
        Scenario("mutual-recursion", "two patched functions call each other, 40 deep"),
        Scenario("deep-recursion", "3,000 calls deep"),
        Scenario("stack-arguments", "12 arguments: 4 of them in the caller's frame"),
        Scenario("varargs", "12 variable arguments"),
        Scenario("structure", "96 bytes by value, and returned"),
        Scenario("floating-point", "13 floating-point arguments, a complex result"),
        Scenario("vector", "12 vector arguments and a vector result"),
        Scenario("static-chain", "a nested function: r11 is live"),
        Scenario("sibling", "another object calls B, B ends in a jump to the patched C (where the RFC breaks)"),
        Scenario("sibling-near", "the same from a library next door"),
        Scenario("sibling-patched", "a replacement ends in a jump, by way of B, to the patched C (the emergency exit)"),
        Scenario("stacked", "three patches, whose replacements call each other"),
        Scenario("twice", "patched twice while a thread is inside the first replacement"),
        Scenario("original", "the replacement calls the original"),
        Scenario("saves-toc", "a caller saves r2 in its prologue and reloads it behind several local calls"),
        Scenario("no-reload", "assembly calls the global entry by bctrl and does not reload r2"),
        Scenario("stale-r12", "a local call, with the function's address still in r12"),
        Scenario("far-caller", "far memory enters the local entry by bctrl and does not reload r2 (BPF's JIT)"),
        Scenario("delta-within", "r2 - LR is the last that fits 32 bits (a multiple of 8)"),
        Scenario("delta-over", "r2 - LR is 2 GiB, and does not fit 32 bits"),
        Scenario("return-replaced", "a local call whose return address a tracer has replaced"),
        Scenario("return-replaced-object", "the same for a call from another object"),
        Scenario("return-replaced-sibling", "the same at the end of a sibling chain from another object"),
        Scenario("longjmp", "a patched function is left by a longjmp, below another one"),
        Scenario("longjmp-saver", "the same into a function that saved r2 in its prologue and reloads it"),
        Scenario("cr-doubleword", "the replacement saves CR with a 64-bit store at 8(r1)"),
        Scenario("signal-storm", "a timer interrupts; its handler makes a patched call"),
        Scenario("signal-everywhere", "a signal at each instruction of the trampoline and the helper"),
        Scenario("enabling", "a thread passed the global entry before it was marked"),
        Scenario("disabling", "a thread passed the marked global entry and arrives during the revert"),
        Scenario(PAYLOAD_FAR, "the payload lies beyond 2 GiB from the patched object"),
    )
}


def chosen_scenarios(names: Iterable[str]) -> list[Scenario]:
    """The scenarios of these names, all without any.

    Raises:
        UsageError: a name is unknown; the error names those that are known.
    """
    names = list(names)
    for name in names:
        if name not in SCENARIOS:
            raise UsageError(f"unknown scenario {name}", advice=f"known: {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in dict.fromkeys(names)] if names else list(SCENARIOS.values())
