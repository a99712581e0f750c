"""What every mechanism comes to in every scenario: the whole matrix, expected failures included.

A scenario that is not listed is passed by all. Patterns are those of fnmatch, several separated by blanks.
"""

from fnmatch import fnmatchcase

_THREAD_STACKS = "*/lr-stack */livepatch-stack"

FAILURES = {
    # nothing to mark, so 24(r1) of a caller in another object can't be told from a free one
    "no-toc-local": {"refused": "odd-toc/slot"},
    "no-toc-object": {"refused": "odd-toc/slot"},
    # one page for each thread: 512 return addresses, or 170 entries of three doublewords
    "deep-recursion": {"crash": _THREAD_STACKS},
    # the replacement looks for them in the frame that was slipped in
    "stack-arguments": {"lost argument": "*/frame"},
    "varargs": {"lost argument": "*/frame"},
    "structure": {"lost argument": "*/frame"},
    # where the RFC breaks: r2 is even at the end of the chain, and 24(r1) of the first caller is overwritten
    "sibling": {"wrong r2": "odd-toc/cr4 odd-toc/slot"},
    # a library within reach of a bl looks like the object itself
    "sibling-near": {"wrong r2": "odd-toc/cr4 odd-toc/slot heuristic/cr4 heuristic/slot"},
    # cr4 has the emergency exit; guarded and return-site take a helper for a caller that reloads
    "sibling-patched": {"crash": "odd-toc/slot heuristic/slot"},
    # entered globally, and not reloaded: only the word at LR tells, or a helper for everybody
    "no-reload": {"wrong r2": "odd-toc/* guarded/* heuristic/*"},
    "stale-r12": {"wrong r2": "heuristic/*"},
    # r2 - LR is cut to 32 bits; the heuristic takes a far caller for a foreign one
    "far-caller": {"wrong return": "odd-toc/cr4 return-site/cr4 guarded/cr4", "wrong r2": "heuristic/*"},
    "delta-within": {"wrong r2": "heuristic/*"},
    "delta-over": {"crash": "odd-toc/cr4 return-site/cr4 guarded/cr4", "wrong r2": "heuristic/*"},
    # a replaced LR hides the caller; it matters where 24(r1) is overwritten
    "return-replaced-object": {"wrong r2": "return-site/cr4 return-site/slot"},
    "return-replaced-sibling": {
        "wrong r2": "odd-toc/cr4 odd-toc/slot guarded/cr4 guarded/slot return-site/cr4 return-site/slot "
        "heuristic/cr4 heuristic/slot"
    },
    "longjmp": {"crash": _THREAD_STACKS},
    "longjmp-saver": {"wrong r2": "*/slot", "crash": _THREAD_STACKS},
    "cr-doubleword": {"crash": "*/cr4"},
    # even, although it came through the global entry; and the RFC looks no further
    "enabling": {"wrong r2": "odd-toc/cr4 odd-toc/slot"},
    "payload-far": {"refused": "*"},
}


def expected(mechanism, scenario):
    """The outcome, as tables show it."""
    for outcome, patterns in FAILURES.get(scenario, {}).items():
        if any(fnmatchcase(mechanism, pattern) for pattern in patterns.split()):
            return outcome
    return "ok"
