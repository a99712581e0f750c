"""The words of a function that change when it is redirected."""

from __future__ import annotations

from collections.abc import Sequence

from oddtoc import isa
from oddtoc.errors import RelocationError
from oddtoc.link.payload import Payload
from oddtoc.live.functions import Function
from oddtoc.live.record import Change, FunctionRecord
from oddtoc.live.running import Subject
from oddtoc.mechanism.catalog import Mechanism
from oddtoc.mechanism.mark import is_marked, marked, unmarked


def function_record(
    subject: Subject, function: Function, mechanism: Mechanism, payload: Payload, *, finder: bool = False
) -> FunctionRecord:
    """What redirects a function.

    Args:
        subject: the image that it is in.
        function: it.
        mechanism: how it is redirected.
        payload: what it is redirected to.
        finder: see `FunctionRecord`.

    Raises:
        RelocationError: the payload is beyond one branch.
    """
    name = function.symbol.name
    target, island = payload.targets[name], payload.islands.get(name, 0)
    try:
        branch = isa.branch(function.behind, island or target)
    except OverflowError:
        raise RelocationError(
            f"the payload at {target:#x} is {target - function.behind:+#x} bytes from {name}, beyond one branch",
            address=function.behind,
            function=name,
        ) from None
    changes = (*_mark_change(subject, function, mechanism), Change(function.behind, function.word, branch, "branch"))
    entry = function.entry.global_entry
    return FunctionRecord(name, mechanism.name, entry, function.behind, target, changes, finder, island)


def _mark_change(subject: Subject, function: Function, mechanism: Mechanism) -> Sequence[Change]:
    """The mark set where the mechanism wants one, and cleared where a patch below has left one."""

    def read_word(address: int) -> int:
        return int.from_bytes(subject.read_many([(address, 4)])[0], "little")

    wanted = mechanism.mark(function.entry, read_word)
    address = wanted if wanted is not None else function.entry.mark
    if address is None:
        return ()
    word = read_word(address)
    if wanted is None and not is_marked(word):
        return ()
    new = marked(word, address) if wanted is not None else unmarked(word)
    return (Change(address, unmarked(word), new, "mark"),)
