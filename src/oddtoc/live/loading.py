"""Applying a patch of a module when that is loaded, before any of its code has run.

A breakpoint stands at `do_init_module` (kernel/module/main.c), which a loading thread enters when the module is in
place, relocated and known to the tracer, and before its init function is called; its argument is the `struct module`.
The guest stands still there until the patch is applied: nobody has been in the module yet, so nobody is in the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from oddtoc.errors import PatchError, TargetError
from oddtoc.link.notes import callbacks_of
from oddtoc.link.object import KERNEL, PatchObject
from oddtoc.live.parts import Applied, apply_parts, module_of
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
) -> Applied:
    """Apply a patch of modules: now to those that are loaded, to others when they are, before their code runs.

    Args:
        session: with the kernel.
        patch: the patch object.
        mechanism, which: as in `Session.plan`.
        wait: seconds to wait for each module.
        timeout: seconds to wait for threads, before that.
        note: told, in a line, when from now on the modules will not come unnoticed.
        give_up: asked a few times a second whether nobody wants it any longer.

    Returns:
        What was planned, and what came of it.

    Raises:
        PatchError: the patch changes no module, or it has callbacks for one that is not loaded.
        TargetError: a module was not loaded in time. Those parts of the patch that are in force stay.
        GaveUpError: nobody wants it any longer.
        OddtocError: what plan and apply raise; the module goes on without the patch.
    """
    if all(part.images[0] == KERNEL for part in patch.parts):
        raise PatchError(f"{patch.name} changes the kernel proper, which is there", advice="use oddtoc apply")
    kernel = session.kernel
    loaded = kernel.modules.all()
    missing = {name: part for part in patch.parts if (name := module_of(part)) and name not in loaded}
    applied = Applied()
    if len(missing) < len(patch.parts):
        applied = apply_parts(session, patch, mechanism=mechanism, which=which, timeout=timeout)
    if not missing:
        return applied
    _check_callbacks(missing.values())
    session.settle(timeout=timeout)
    if not kernel.arenas:
        session.make_room(next(iter(missing.values())), timeout=timeout)
    with session.guest.stopped() as stopped:
        stepper = stopped.stepper()
        with stepper.prepared():
            stepper.stop_at(kernel.function(_ENTRY).local_entry)
            note(f"waiting for the module {' or '.join(sorted(missing))}")
            while True:
                name, cpu = _wait_for(missing, session, stepper, wait, give_up)
                with session.guest.staying():
                    plan = session.plan(missing.pop(name), mechanism=mechanism, which=which)
                    applied.done.append((plan, session.apply(plan, timeout=0, unused=True)))
                if not missing:
                    return Applied(applied.done)
                stepper.step(cpu)


def _check_callbacks(parts: Iterable[PatchObject]) -> None:
    """A thread that is loading a module can't be stopped and let others run, which callbacks need."""
    for part in parts:
        if callbacks_of(part):
            raise PatchError(
                f"{part.name} has callbacks, which can't run before the code of the module does",
                advice="load the module first, then oddtoc apply; init code of the module has run then",
            )


def _wait_for(
    names: Collection[str], session: Session, stepper: Stepper, wait: float, give_up: Callable[[], bool]
) -> tuple[str, str]:
    """Let the guest run until one of some modules is loaded: which, and on which vCPU.

    It stands still then, without breakpoints.
    """
    entry = session.kernel.function(_ENTRY).local_entry
    limit = time.monotonic() + wait
    while True:
        stepper.stop_at(entry)
        cpu = stepper.run(limit - time.monotonic(), give_up)
        if cpu is None:
            wanted = " or ".join(sorted(names))
            if give_up():
                raise GaveUpError(f"nobody waits for the module {wanted} any longer")
            raise TargetError(f"the module {wanted} was not loaded within {wait:g} s", advice="wait longer with --wait")
        stepper.clear()
        with session.guest.staying():
            module = session.kernel.modules.at(stepper.registers(cpu)[_ARGUMENT])
        if module.name in names:
            return module.name, cpu
        stepper.step(cpu)
