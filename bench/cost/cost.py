"""One figure: what a mechanism adds to a call."""

from __future__ import annotations

from dataclasses import dataclass

from bench.cost.calls import Call


@dataclass(frozen=True)
class Cost:
    """What one mechanism adds to one call, in executed instructions.

    Attributes:
        kernel: the series, or `user mode`.
        mechanism: its name.
        call: the kind of call.
        functions: how many functions are patched.
        into: on the way in: patched, from the call to the replacement's first instruction; unpatched, from the call to
            the first instruction behind the function's ftrace words; the difference.
        back: on the way out: from the return instruction to the one behind the call; the difference.
        refused: why the mechanism does not take the function; empty when it does.
    """

    kernel: str
    mechanism: str
    call: str
    functions: int
    into: int = 0
    back: int = 0
    refused: str = ""

    @property
    def total(self) -> int:
        """Both ways."""
        return self.into + self.back

    @classmethod
    def between(cls, kernel: str, mechanism: str, call: str, functions: int, plain: Call, patched: Call) -> Cost:
        """The difference between an unpatched and a patched call."""
        into, back = patched.into - plain.into, patched.back - plain.back
        return cls(kernel, mechanism, call, functions, into, back)
