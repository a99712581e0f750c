"""Having a kernel give memory near one of its modules, before the first patch of that module is planned.

Its own allocator does it, called by one of its own threads, as a callback (see `callbacks`) of a patch that redirects
nothing and that every patch for a module carries. What was given stays, and serves other modules too
(`oddtoc.kernel.arena`). Killed anywhere, this leaves a record that the next operation settles.
"""

from __future__ import annotations

from collections.abc import Callable

from oddtoc.errors import OddtocError, PatchError, RoomError
from oddtoc.kernel.arena import FIRST
from oddtoc.kernel.module import LoadedModule
from oddtoc.kernel.running import RunningKernel
from oddtoc.link.object import PatchObject
from oddtoc.live.callbacks import Callbacks, Turn
from oddtoc.live.journal import Journal
from oddtoc.live.plan import plan_apply
from oddtoc.live.running import Running, Target, Threads
from oddtoc.live.store import State, state_write
from oddtoc.live.writing import check_empty, write_intent

_WHEN = "pre_patch"
_MOST_ARENAS = 8
"""Nobody gives them back."""


def lacks_room(running: Running, patch: PatchObject) -> bool:
    """Whether a patch changes a module that there is no room near yet; False for one that can't be planned at all."""
    if not isinstance(running, RunningKernel):
        return False
    try:
        subject = running.subject(patch.images)
    except OddtocError:
        # planning it says why, and that is logged
        return False
    return isinstance(subject, LoadedModule) and not subject.has_room


def make_room(
    target: Target,
    kernel: RunningKernel,
    threads: Threads,
    journal: Callable[[], Journal],
    patch: PatchObject,
    *,
    timeout: float,
) -> None:
    """Have the kernel give room where it loads modules.

    Args:
        target: where the kernel runs.
        kernel: it.
        threads: its threads.
        journal: reads what is in force.
        patch: the patch that wants it.
        timeout: seconds to wait for the kernel.

    Raises:
        PatchError: the patch does not say how.
        BusyError: no thread came by to do it.
        RoomError: the kernel has no such memory.
    """
    if patch.room is None:
        raise PatchError(f"{patch.name} is for a module and was built for something else", advice="build it again")
    if len(kernel.arenas) >= _MOST_ARENAS:
        raise RoomError(
            f"the kernel has given room for patches of modules {_MOST_ARENAS} times, and none is near",
            address=kernel.arenas[0].start,
            advice="its mapped memory is crowded: load the module anew, perhaps it comes to another place",
        )
    first, _ = FIRST.unpack(kernel.read_many([(kernel.arena_list, FIRST.size)])[0])
    target.write_many([(kernel.arena_list, FIRST.pack(first, kernel.page_size))])
    plan = plan_apply(kernel, journal(), patch.room)
    check_empty(target, plan)
    target.write_many(plan.settling)
    write_intent(target, plan, kernel.journal)
    try:
        allocating = Turn(plan.record, (_WHEN, "", ""), plan.record.hooks)
        with Callbacks(target, kernel, threads, journal, [allocating], timeout) as callbacks:
            said = callbacks.run(allocating, _WHEN)
    finally:
        target.write_many([state_write(plan.journal_address, State.REVERTED)])
    if said:
        raise RoomError(f"the kernel has no memory for patches of modules: error {said}")
