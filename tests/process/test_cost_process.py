"""Instructions that a patched call in a running process executes above an unpatched one, stepped one by one."""

import pytest

from oddtoc.isa import BLR
from oddtoc.link.stubs import ISLAND_SIZE
from oddtoc.live.session import Session
from oddtoc.places import Span
from oddtoc.target.thread import changed, decode_thread

MOST_STEPS = 200
BELOW = 1 << 10
"""Bytes of stack that a lent thread keeps: more than the ELFv2 ABI protects below its stack pointer (2.2.2.4)."""


def stepped(session, entry):
    """The addresses of all instructions that a thread runs from a global entry until the function has returned."""
    with session.target.stopped() as stopped:
        thread = stopped.cpus()[0]
        back = thread.registers["pc"]
        values = {"pc": entry, "r12": entry, "r3": 5, "lr": back, "r1": thread.registers["r1"] - BELOW}
        try:
            stopped._set(thread, changed(stopped._layout, thread, values))
            places = [entry]
            while places[-1] != back and len(places) < MOST_STEPS:
                name = thread.id.encode()
                assert stopped._exchange([b"vCont;s:" + name])[0].startswith(b"T05")
                reply = stopped._exchange([b"Hg" + name, b"g"])[1]
                now = decode_thread(stopped._layout, thread.id, reply)
                places.append(now.registers["pc"])
            assert now.registers["r3"] == 6
            return places[:-1]
        finally:
            stopped.restore(thread)


def cost(session, patch, places):
    """Instructions on the way to the replacement, and on the way back from it."""
    (function,) = session.status()[0].record.replaced
    size = len(patch.template(f"process.{function.mechanism}").data) if "/" in function.mechanism else 0
    way = [Span(function.target, function.target + size)]
    way += [Span(function.island, function.island + ISLAND_SIZE)] if function.island else []
    first = places.index(function.behind)
    new = next(n for n in range(first + 1, len(places)) if not any(places[n] in one for one in way))
    end = next(
        n
        for n in range(new, len(places))
        if session.running.read_many([(places[n], 4)])[0] == BLR.to_bytes(4, "little")
    )
    library = session.running.subject(["libstrained.so.1"]).code
    return new - first, sum(place not in library for place in places[end + 1 :])


@pytest.mark.parametrize(
    ("mechanism", "local", "from_outside"),
    [
        ("shared-toc", (1, 0), (1, 0)),
        # the TOC pointer is a number of five instructions here, and loaded by one in a kernel
        ("guarded/slot", (11, 5 + 4), (6, 0)),
        ("odd-toc/cr4", (12, 5), (6, 0)),
    ],
)
def test_a_patched_call_costs_what_it_costs_in_a_kernel(strained, built, mechanism, local, from_outside):
    patch = built("pace", long_calls="/" in mechanism)
    with Session.open(strained.target) as session:
        library = session.running.subject(["libstrained.so.1"])
        pace, inside = (library.function(name).address for name in ("pace", "pace_inside"))
        session.apply(session.plan(patch, mechanism=mechanism))
        assert cost(session, patch, stepped(session, pace)) == from_outside
        assert cost(session, patch, stepped(session, inside)) == local
        session.revert("pace")
