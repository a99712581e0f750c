"""One run: a guest whose processors all call patched functions, and operations on the patches meanwhile.

The guest checks every call itself (guest/driver.c, guest/caller.c). Here patches are applied, stacked, replaced,
reverted in any order and collected, by chance, until there were enough operations.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from oddtoc.build.compile import compile_patch, tool
from oddtoc.errors import BusyError
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.target.guest import Guest

GUEST = Path(__file__).parent / "guest"
_PROGRAMS = Path(__file__).parents[1] / "tests/live/programs"
VERSIONS = 4
_OPERATIONS = (*["apply"] * 8, *["revert"] * 7, "replace")
_BUSY_SECONDS = 30.0
_BETWEEN_LOOKS = 50
_LATE = "hrtimer: interrupt took"
"""What a kernel says, once, of a stop of more than a few milliseconds."""
_COLLECTIONS = 0.25
"""How often memory is collected, per operation."""
_DRIVEN_BY = ("shared-toc", "guarded/slot")
"""One driver calls from the kernel's own TOC, the other from another one."""


@dataclass
class Result:
    """What came of a run.

    Attributes:
        operations: how many of each kind there were; `busy`: given up, a thread stood in the way all the time.
        patched, errors, bpf_patched, bpf_errors: calls that patches answered, and wrong ones, by the guest.
        seconds: how long it took.
        records: how many there were at the end, after a last collection.
        kept: bytes of memory that payloads held then.
        dmesg: what the kernel said.
    """

    operations: dict[str, int] = field(default_factory=dict)
    patched: int = 0
    errors: int = 0
    bpf_patched: int = 0
    bpf_errors: int = 0
    seconds: float = 0.0
    records: int = 0
    kept: int = 0
    dmesg: str = ""

    @property
    def count(self) -> int:
        """All operations that were carried out."""
        return sum(number for name, number in self.operations.items() if name != "busy")

    @property
    def right(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.errors or self.bpf_errors or self.records or self.kept or self.dmesg)


class Stress:
    """A guest under load.

    Args:
        guest: with `caller` in its /bin.
        mechanism: for the patches that come and go.
        processes: how many call.
        seed: of the choices.
    """

    def __init__(self, guest: Guest, mechanism: str, *, processes: int, seed: int = 1) -> None:
        self.guest = guest
        self.mechanism = mechanism
        self.processes = processes
        self.result = Result()
        self._random = random.Random(seed)
        self._applied: list[str] = []

    def run(self, operations: int, tell: Callable[[Result], None] = lambda _: None) -> Result:
        """Make operations while the guest calls.

        Args:
            operations: at least so many.
            tell: told of the result so far, now and then.
        """
        start = time.monotonic()
        self.guest.run("dmesg -c > /dev/null")
        with tempfile.TemporaryDirectory(prefix="oddtoc-soak-") as folder:
            patches = _Patches(Path(folder), bpf=self.mechanism != "odd-toc/cr4")
            with Session.open(f"guest:{self.guest.name}") as session:
                self._apply_drivers(session, patches)
                self._start_callers()
                while self.result.count < operations:
                    self._operate(session, patches)
                    self.result.seconds = time.monotonic() - start
                    if self.result.count % _BETWEEN_LOOKS == 0:
                        tell(self.result)
                self._stop_callers()
                for status in session.status():
                    session.revert(status.record.name)
                session.gc()
                journal = session.journal()
                self.result.records, self.result.kept = len(journal.patches), sum(span.size for span in journal.spans)
        said = self.guest.run("dmesg").stdout.decode(errors="replace").splitlines()
        self.result.dmesg = "\n".join(line for line in said if _LATE not in line)
        return self.result

    def _operate(self, session: Session, patches: _Patches) -> None:
        free = [patch for patch in patches.versions if patch.name not in self._applied]
        kind = self._random.choice(_OPERATIONS)
        if not free:
            kind = "revert"
        elif kind == "revert" and not self._applied:
            kind = "apply"
        try:
            if kind == "revert":
                name = self._random.choice(self._applied)
                session.revert(name, timeout=_BUSY_SECONDS)
                self._applied.remove(name)
            elif kind == "apply":
                patch = self._random.choice(free)
                session.apply(session.plan(patch, mechanism=self.mechanism), timeout=_BUSY_SECONDS)
                self._applied.append(patch.name)
            else:
                self._replace(session, patches)
        except BusyError:
            kind = "busy"
        self._count(kind)
        if self._random.random() < _COLLECTIONS:
            session.gc()
            self._count("gc")

    def _replace(self, session: Session, patches: _Patches) -> None:
        """All patches go for one, and the drivers come back on top of it: one of them has to be on the kernel's TOC."""
        patch = self._random.choice([patch for patch in patches.cumulative if patch.name not in self._applied])
        session.apply(session.plan(patch, mechanism=self.mechanism, replace=True), timeout=_BUSY_SECONDS)
        self._applied = [patch.name]
        self._apply_drivers(session, patches)

    def _apply_drivers(self, session: Session, patches: _Patches) -> None:
        for patch, mechanism in zip(patches.drivers, _DRIVEN_BY, strict=True):
            session.apply(session.plan(patch, mechanism=mechanism), timeout=_BUSY_SECONDS)
            self._count("apply")

    def _count(self, kind: str) -> None:
        self.result.operations[kind] = self.result.operations.get(kind, 0) + 1

    def _start_callers(self) -> None:
        started = self.guest.run(
            f"rm -f /calls; (setsid caller {self.processes} </dev/null >/calls 2>&1 &); "
            "for n in $(seq 600); do [ -s /calls ] && break; usleep 100000; done; cat /calls"
        )
        assert started.stdout == b"calling\n", started

    def _stop_callers(self) -> None:
        ended = self.guest.run(
            "kill $(cat /proc/[0-9]*/stat | sed -n 's/^\\([0-9]*\\) (caller).*/\\1/p' | sort -n | head -1); "
            "for n in $(seq 600); do [ $(wc -l < /calls) = 2 ] && break; usleep 100000; done; cat /calls"
        )
        counts = ended.stdout.decode().split()
        assert len(counts) == 5, ended
        result = self.result
        result.patched, result.errors, result.bpf_patched, result.bpf_errors = (int(count) for count in counts[1:])


def build_caller(folder: Path) -> Path:
    """The program that calls in the guest, compiled.

    Raises:
        BuildError: the cross compiler is missing.
    """
    program = folder / "caller"
    command = [tool("gcc"), "-static", "-O2", "-Wall", "-Werror", "-I", str(_PROGRAMS), "-o", str(program)]
    subprocess.run([*command, str(GUEST / "caller.c")], check=True)
    return program


class _Patches:
    """The patch objects of a run, compiled."""

    def __init__(self, folder: Path, *, bpf: bool) -> None:
        def build(source: str, name: str, *flags: str) -> PatchObject:
            return compile_patch(GUEST / source, folder / f"{name}.o", name=name, flags=flags)

        more = ["-DWITH_BPF"] if bpf else []
        numbers = range(1, VERSIONS + 1)
        self.versions = [build("version.c", f"v{n}", f"-DVERSION={n}", *more) for n in numbers]
        self.cumulative = [build("cumulative.c", f"c{n}", f"-DVERSION={n}", *more) for n in numbers]
        calls = (("sched_yield", "driver-local"), ("munlockall", "driver-global"))
        self.drivers = [build("driver.c", name, f"-DSYSTEM_CALL=sys_{call}") for call, name in calls]
