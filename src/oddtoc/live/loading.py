"""Applying a patch of a module when that is loaded, before any of its code has run.

A breakpoint stands at `do_init_module` (kernel/module/main.c), which a loading thread enters when the module is in
place, relocated and known to the tracer, and before its init function is called; its argument is the `struct module`.
The guest stands still there until the patch is applied: nobody has been in the module yet, so nobody is in the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from oddtoc.errors import PatchError, TargetError
from oddtoc.kernel.modulelist import plain_name
from oddtoc.link.object import KERNEL, PatchObject
from oddtoc.live.outcome import Outcome
from oddtoc.live.plan import Plan, images_of
from oddtoc.live.session import Session
from oddtoc.mechanism.catalog import AUTO
from oddtoc.target.interrupts import GaveUpError
from oddtoc.target.stepper import Stepper

_ENTRY = "do_init_module"
_ARGUMENT = "r3"


def watch(
    session: Session,
    patch: PatchObject,
    *,
    mechanism: str = AUTO,
    which: Mapping[str, str] | None = None,
    wait: float,
    timeout: float,
    note: Callable[[str], None] = lambda _line: None,
    give_up: Callable[[], bool] = lambda: False,
) -> tuple[Plan, Outcome]:
    """Apply a patch of a module: now if that is loaded, otherwise when it is, before its code runs.

    Args:
        session: with the kernel.
        patch: the patch object.
        mechanism, which: as in `Session.plan`.
        wait: seconds to wait for the module.
        timeout: seconds to wait for threads, before that.
        note: told, in a line, when from now on the module will not come unnoticed.
        give_up: asked a few times a second whether nobody wants it any longer.

    Returns:
        What was planned, and what came of it.

    Raises:
        PatchError: the patch changes no module.
        TargetError: the module was not loaded in time.
        GaveUpError: nobody wants it any longer.
        OddtocError: what plan and apply raise; the module goes on without the patch.
    """
    name = images_of(patch)[0]
    if name == KERNEL:
        raise PatchError(f"{patch.name} changes the kernel proper, which is there", advice="use oddtoc apply")
    kernel = session.kernel
    if plain_name(name) in kernel.modules.all():
        session.prepare(patch, timeout=timeout)
        plan = session.plan(patch, mechanism=mechanism, which=which)
        return plan, session.apply(plan, timeout=timeout)
    session.settle(timeout=timeout)
    if not kernel.arenas:
        session.make_room(patch, timeout=timeout)
    with session.guest.stopped() as stopped:
        stepper = stopped.stepper()
        with stepper.prepared():
            stepper.stop_at(kernel.function(_ENTRY).local_entry)
            note(f"waiting for the module {plain_name(name)}")
            _wait_for(plain_name(name), session, stepper, wait, give_up)
            with session.guest.staying():
                plan = session.plan(patch, mechanism=mechanism, which=which)
                return plan, session.apply(plan, timeout=0, unused=True)


def _wait_for(name: str, session: Session, stepper: Stepper, wait: float, give_up: Callable[[], bool]) -> None:
    """Let the guest run until the module of that name is loaded; it stands still then, without breakpoints."""
    entry = session.kernel.function(_ENTRY).local_entry
    limit = time.monotonic() + wait
    while True:
        stepper.stop_at(entry)
        cpu = stepper.run(limit - time.monotonic(), give_up)
        if cpu is None and give_up():
            raise GaveUpError(f"nobody waits for the module {name} any longer")
        if cpu is None:
            raise TargetError(f"the module {name} was not loaded within {wait:g} s", advice="wait longer with --wait")
        stepper.clear()
        with session.guest.staying():
            module = session.kernel.modules.at(stepper.registers(cpu)[_ARGUMENT])
        if module.name == name:
            return
        stepper.step(cpu)
