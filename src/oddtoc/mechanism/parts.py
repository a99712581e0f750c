"""The two halves of a mechanism: who restores r2 (detection), and where the return state waits (storage)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Detection:
    """How a trampoline tells whether the caller restores r2 itself.

    Attributes:
        name: first half of a mechanism's name.
        summary: one line for help texts.
        fails: when it is wrong, in words.
        marks: the global entry is marked while the function is redirected.
        rfc_guards: the mark is found by the RFC's search, with its guards.
        needs_mark: a function without TOC set-up, which can't be marked, leaves it nothing to go by.
    """

    name: str
    summary: str
    fails: str
    marks: bool = False
    rfc_guards: bool = False
    needs_mark: bool = False


@dataclass(frozen=True)
class Storage:
    """Where a trampoline keeps what the way back needs.

    Attributes:
        name: second half of a mechanism's name.
        summary: one line for help texts.
        fails: when it is wrong, in words.
        overwrites_toc_save: it destroys 24(r1), which a caller in another object relies on: detection has to be right.
        helper_block: its trampolines must stand in the block that the emergency exit recognises.
        thread_stack: the target has to offer a stack of return states for each thread.
        moves_arguments: the replacement does not find arguments that its caller passed in memory.
    """

    name: str
    summary: str
    fails: str
    overwrites_toc_save: bool = False
    helper_block: bool = False
    thread_stack: bool = False
    moves_arguments: bool = False


ALWAYS = Detection("always", "every call gets a return helper", "never, but every call pays")
HEURISTIC = Detection(
    "heuristic", "r12 is the entry, or LR is farther than a bl reaches", "r12 is stale; a far caller expects r2 back"
)
ODD_TOC = Detection(
    "odd-toc",
    "the mark: r2 is odd",
    "a sibling call ends a chain from another object; a global caller does not reload r2",
    marks=True,
    rfc_guards=True,
    needs_mark=True,
)
RETURN_SITE = Detection("return-site", "the word at LR is ld r2,24(r1)", "something has replaced LR")
GUARDED = Detection(
    "guarded",
    "the mark, else the word at LR",
    "LR replaced, sibling chain and another object all at once; a global caller does not reload r2",
    marks=True,
)

FRAME = Storage(
    "frame",
    "a stack frame in between",
    "arguments in memory: more than 8, large structures, varargs",
    moves_arguments=True,
)
CR4 = Storage(
    "cr4",
    "r2 in 24(r1), r2 - LR in 12(r1)",
    "LR farther than 2 GiB from r2; CR saved with a 64-bit store",
    helper_block=True,
)
SLOT = Storage("slot", "the return address in 24(r1)", "a longjmp out leaves it in the slot", overwrites_toc_save=True)
LR_STACK = Storage(
    "lr-stack", "the return address on a stack per thread", "overflow; a longjmp out of the call", thread_stack=True
)
LIVEPATCH_STACK = Storage(
    "livepatch-stack",
    "r2, return address and a magic number on a stack per thread (Linux 4.7)",
    "overflow; a longjmp out of the call",
    thread_stack=True,
)

DETECTIONS = (HEURISTIC, ODD_TOC, RETURN_SITE, GUARDED, ALWAYS)
STORAGES = (FRAME, CR4, SLOT, LR_STACK, LIVEPATCH_STACK)
