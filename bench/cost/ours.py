"""oddtoc's mechanisms, counted in a guest that runs an unmodified Debian kernel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from bench.cost.calls import Call
from bench.cost.cases import CASES, COMMAND, PATCHES, Probe
from bench.cost.cost import Cost
from bench.cost.machine import Machine

from oddtoc import isa
from oddtoc.build.compile import compile_patch
from oddtoc.debian.kernels import DebianKernel
from oddtoc.errors import MechanismError, NoSiteError, RelocationError, RoomError
from oddtoc.image.elf import Image
from oddtoc.kernel.room import rooms
from oddtoc.link.layout import Area
from oddtoc.link.object import PatchObject
from oddtoc.live.plan import Plan
from oddtoc.live.session import Session
from oddtoc.mechanism.catalog import MECHANISMS
from oddtoc.places import Span

_BRANCH = 18
"""Primary opcode of `b` and `bl`."""


def costs(kernel: DebianKernel, mechanisms: Sequence[str] = tuple(MECHANISMS)) -> Iterator[Cost]:
    """Mechanisms with every case, in one boot of a kernel."""
    image = Image.open(kernel.vmlinux)
    probes = [Probe(case, image) for case in CASES]
    room = rooms(image)
    watches = [Span(room.helpers.start, room.text.end), *dict.fromkeys(w for probe in probes for w in probe.watches)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Machine(kernel.vmlinux, kernel.busybox, watches) as machine,
        Session.open(machine.target) as session,
    ):
        plain = machine.events_of(COMMAND)
        for probe in probes:
            output = Path(folder, f"{probe.case.define.lower()}.o")
            patch = compile_patch(PATCHES / "patch.c", output, flags=[probe.case.flag(image)])
            for mechanism in mechanisms:
                yield _cost(machine, session, probe, patch, mechanism, kernel.series, probe.call(plain))


def _cost(
    machine: Machine, session: Session, probe: Probe, patch: PatchObject, mechanism: str, kernel: str, plain: Call
) -> Cost:
    case = probe.case
    try:
        plan = session.plan(patch, mechanism=mechanism)
    except (MechanismError, NoSiteError, RelocationError, RoomError) as error:
        return Cost(kernel, mechanism, case.name, case.functions, refused=error.message)
    session.apply(plan)
    patched = probe.call(machine.events_of(COMMAND), _code(session, plan, patch, probe.callee.name))
    session.revert(patch.name)
    return Cost.between(kernel, mechanism, case.name, case.functions, plain, patched)


def _code(session: Session, plan: Plan, patch: PatchObject, function: str) -> Span:
    """Where the code of a function's replacement is: from its entry to the end of the payload's text.

    Trampolines and stubs stand before the code. A trampoline has one way to the replacement, which is the only place
    that it goes to with a `b` or `bl`.
    """
    record = next(record for record in plan.record.functions if record.name == function)
    replacement = next(replacement for replacement in patch.replacements if replacement.function == function)
    (entry,) = session.kernel.entries([session.kernel.function(function)])
    uses_toc = replacement.symbol.local_offset > 0
    text, text_size = next((at, len(data)) for at, data, area in plan.segments if area == Area.TEXT.value)
    start = record.target
    if plan.mechanism.template(entry, replacement_uses_toc=uses_toc):
        start = _way_out(plan, record.target)
    return Span(start, text + text_size)


def _way_out(plan: Plan, trampoline: int) -> int:
    """Where the first `b` or `bl` behind an address of the payload leads to."""
    start, data = next((at, data) for at, data, _ in plan.segments if at <= trampoline < at + len(data))
    words = np.frombuffer(data, "<u4")[(trampoline - start) // 4 :]
    index = int(np.flatnonzero(isa.opcode(words) == _BRANCH)[0])
    target = isa.branch_target(trampoline + 4 * index, int(words[index]))
    assert target is not None
    return target
