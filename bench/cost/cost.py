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
        back: on the way out: from the replacement's return to the instruction behind the call, above the return
            instruction itself.
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
        """What a patched call executes more than an unpatched one.

        An unpatched call comes back with one instruction, the return, whoever executes it: some functions end with a
        sibling call, so that it is not their own.
        """
        return cls(kernel, mechanism, call, functions, patched.into - plain.into, patched.back - 1)
