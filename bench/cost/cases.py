"""What is called: one read of /proc/cmdline makes every kind of call that is counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.cost.calls import Call, calls_of, usual
from bench.cost.plugin import Event

from oddtoc import isa
from oddtoc.image.elf import Image
from oddtoc.image.symbols import Symbol
from oddtoc.kernel.place import branch_place
from oddtoc.places import Span

PATCHES = Path(__file__).with_name("patches")
COMMAND = "for i in 0 1 2 3 4 5 6 7 8 9; do cat /proc/cmdline; done > /dev/null"
"""Run in the guest, it makes each call ten times or more."""


@dataclass(frozen=True)
class Case:
    """One kind of call.

    Attributes:
        name: as the table shows it.
        caller: the function that makes the call.
        callees: names of the function that is called; the first that the kernel has.
        functions: how many functions are patched in all.
        define: what selects the replacements in patches/replacements.h.
    """

    name: str
    caller: str
    callees: tuple[str, ...]
    functions: int
    define: str

    def callee(self, image: Image) -> Symbol:
        """The function that is called, in one kernel."""
        return next((found[0] for name in self.callees if (found := image.symbols.find(name))), None) or (
            image.symbols.one(self.callees[0], functions_only=True)
        )

    def flag(self, image: Image) -> str:
        """The compiler's flag that selects the replacements."""
        return f"-D{self.define}={self.callee(image).name}"


GLOBAL = "global"
GLOBAL_UNMARKED = "global, no TOC set-up"
LOCAL = "local"
LOCAL_UNMARKED = "local, no TOC set-up"
CASES = (
    *(Case(GLOBAL, "seq_read_iter", ("cmdline_proc_show",), number, f"SHOW_{number}") for number in (1, 2, 5, 9)),
    Case(GLOBAL_UNMARKED, "seq_read_iter", ("single_next",), 1, "NEXT"),
    Case(LOCAL, "cmdline_proc_show", ("seq_puts", "__seq_puts"), 1, "PUTS"),
    Case(LOCAL_UNMARKED, "cmdline_proc_show", ("seq_putc",), 1, "PUTC"),
)


@dataclass(frozen=True)
class UserCase:
    """One kind of call in user mode.

    Attributes:
        name: as the table shows it.
        flags: what selects it in patches/user.S.
        replacement_uses_toc: whether the replacement expects its TOC pointer in r2, as that of the same kernel case.
    """

    name: str
    flags: tuple[str, ...]
    replacement_uses_toc: bool


USER_CASES = (
    UserCase(GLOBAL, ("-DGLOBAL",), True),
    UserCase(GLOBAL_UNMARKED, ("-DGLOBAL", "-DNO_TOC"), False),
    UserCase(LOCAL, (), True),
    UserCase(LOCAL_UNMARKED, ("-DNO_TOC",), True),
)


class Probe:
    """One case in one kernel: which addresses to watch, and what the events say.

    Args:
        case: the case.
        image: the kernel.
    """

    def __init__(self, case: Case, image: Image) -> None:
        self.case = case
        self.callee = callee = case.callee(image)
        self.call_sites = _call_sites(image, image.symbols.one(case.caller, functions_only=True), callee)
        self.body = Span(branch_place(image, callee, image.entry(callee)), callee.address + callee.size)

    @property
    def watches(self) -> list[Span]:
        """The call instructions, those behind them, and the body of the unpatched function."""
        return [*(Span(call, call + 8) for call in sorted(self.call_sites)), self.body]

    def call(self, events: list[Event], body: Span | None = None) -> Call:
        """The usual call, of the function itself or of a replacement that stands in `body`."""
        return usual(calls_of(events, self.call_sites, body or self.body), self.callee.name)


def _call_sites(image: Image, caller: Symbol, callee: Symbol) -> set[int]:
    """In the caller, the direct calls of the callee; where there are none, the calls through a pointer."""
    words = image.words(caller.address, caller.size // 4)
    indices, targets = isa.branch_targets(caller.address, words)
    direct = indices[isa.is_link(words[indices]) & np.isin(targets, [callee.address, callee.local_entry])]
    found = direct if direct.size else np.flatnonzero(words == isa.BCTRL)
    return {caller.address + 4 * int(index) for index in found}
