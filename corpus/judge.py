"""One file of the corpus: built with what belongs to it, applied, exercised, reverted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from corpus.files import definers
from corpus.guests import NEVER, Guests, exercise_of
from corpus.told import TOLD
from oddtoc.build.fix import Fix, build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.part import build_in_part
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tree import KernelTree
from oddtoc.errors import BusyError, OddtocError, RoomError
from oddtoc.image.elf import Image
from oddtoc.live.parts import apply_parts
from oddtoc.live.session import Session
from oddtoc.target.guest import Guest

EXERCISE = """
cat /proc/mounts /proc/self/smaps /proc/cmdline /proc/self/stat /proc/net/unix > /dev/null
mkdir -p /tmp/x && mount -t tmpfs none /tmp/x && echo a > /tmp/x/f && mv /tmp/x/f /tmp/x/g && ln -s g /tmp/x/l
cat /tmp/x/l; find /proc/sys > /dev/null; umount /tmp/x; echo b | cat; ps > /dev/null
sleep 0.1 & wait; ping -c1 127.0.0.1 > /dev/null 2>&1; true
"""
COMPLAINTS = "dmesg | grep -ciE 'oops|bug:|warning:|call trace|unable to handle' || true"
_MOST_FILES = 6


@dataclass(frozen=True)
class Verdict:
    """What became of a file.

    Attributes:
        file: the file.
        outcome: applied, in part (without what `reason` names), no effect, ran at boot (nothing else changes), refused,
            built (its module can't be loaded), not now (a thread was in the way all the time), or failed.
        reason: ids of refusals, or what went wrong.
        files: all that the patch was made of.
        functions: how many functions were replaced.
        equal, compared: functions of the old source that are the code that runs, of all that were compared.
        seconds: to build it, and to build, apply, exercise and revert it.
        module: that it is part of; empty for the kernel proper.
    """

    file: str
    outcome: str
    reason: str = ""
    files: tuple[str, ...] = ()
    functions: int = 0
    equal: int = 0
    compared: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)
    module: str = ""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Sources:
    """Where files come from.

    Attributes:
        tree: the running kernel's source.
        new: the newer source.
        files: all that differ, each with its module.
        image: the running kernel.
        modules: the folder with its modules.
    """

    tree: KernelTree
    new: Path
    files: Mapping[str, str]
    image: Image
    modules: Path


def judge(file: str, sources: Sources, guests: Guests, folder: Path) -> Verdict:
    """Build a file of the newer source, and try it."""
    started = time.monotonic()
    module = sources.files[file]
    try:
        fix, used = _build(file, sources, folder)
    except RefusedError as error:
        verdict = _refused(file, module, error, started)
        if verdict.outcome != "refused":
            return verdict
        options = {"write_data": TOLD.get(file, ()), "modules": sources.modules}
        try:
            fix = build_in_part(sources.tree, sources.new, [file], sources.image, _output(folder, file), **options)
        except RefusedError:
            return verdict
        return _tried(replace(verdict, outcome="in part", files=(file,)), fix, guests, started)
    return _tried(Verdict(file, "applied", files=used, module=module), fix, guests, started)


def _refused(file: str, module: str, error: RefusedError, started: float) -> Verdict:
    ids = tuple(dict.fromkeys(refusal.id for refusal in error.refusals))
    outcome = {("no-effect",): "no effect", ("boot-only",): "ran at boot"}.get(ids, "refused")
    first = error.refusals[0]
    reason = f"{', '.join(ids)}: {first.file}: {first.subject} {first.reason}"[:200]
    return Verdict(file, outcome, reason, seconds=(time.monotonic() - started,) * 2, module=module)


def _tried(verdict: Verdict, fix: Fix, guests: Guests, started: float) -> Verdict:
    """The verdict on a file that a patch could be made of, when that has been applied and taken back."""
    built = time.monotonic() - started
    module = verdict.module
    outcome, reason = ("built", "") if module in NEVER else _try_with_room(fix, guests, module)
    if outcome != "applied":
        verdict = replace(verdict, outcome=outcome, reason=reason)
    return replace(
        verdict,
        functions=sum(len(part.replacements) for part in fix.patch.parts),
        equal=sum(len(unit.fidelity.addresses) for unit in fix.units),
        compared=sum(len(unit.fidelity.unit.functions) for unit in fix.units),
        seconds=(built, time.monotonic() - started),
    )


def _try_with_room(fix: Fix, guests: Guests, module: str) -> tuple[str, str]:
    """As `_try`; in a guest of its own where earlier patches have left no room."""
    try:
        return _try(fix, guests.of(module), module)
    except RoomError:
        guests.stop()
    try:
        return _try(fix, guests.of(module), module)
    except RoomError as error:
        return "refused", f"room: {error.message}"


def _output(folder: Path, file: str) -> Path:
    return folder / (file.replace("/", "-")[:-2] + ".o")


def _build(file: str, sources: Sources, folder: Path) -> tuple[Fix, tuple[str, ...]]:
    """The file alone; with the files that define what it lacks, or that share prototypes or constants."""
    tree, new, files, image = sources.tree, sources.new, sources.files, sources.image
    wanted = [file]
    while True:
        try:
            overlay = take_newer(tree, new, wanted, image)
            told = [name for one in wanted for name in TOLD.get(one, ())]
            options = {"write_data": told, "modules": sources.modules}
            return build_fix(tree, overlay, image, _output(folder, file), **options), tuple(wanted)
        except RefusedError as error:
            missing = [refusal.subject for refusal in error.refusals if refusal.id == "symbol"]
            more = [one for symbol in missing for one in definers(tree, new, symbol, files)]
            shared = [refusal.file for refusal in error.refusals if refusal.id in ("prototype", "constant")]
            more += [one for one in shared if one in files]
            more = [one for one in dict.fromkeys(more) if one not in wanted]
            if not more or len(wanted) >= _MOST_FILES:
                raise
        wanted += more


def _try(fix: Fix, guest: Guest, module: str) -> tuple[str, str]:
    """What comes of a patch in a guest, and why. Raises RoomError where it does not fit."""
    target = f"guest:{guest.name}"
    before = guest.run(COMPLAINTS).stdout
    try:
        with Session.open(target) as session:
            applied = apply_parts(session, fix.patch)
        try:
            result = guest.run(EXERCISE + exercise_of(module) + "echo c", timeout=300)
        finally:
            with Session.open(target) as session:
                session.revert(fix.patch.name)
                session.gc()
    except RoomError:
        raise
    except BusyError as error:
        return "not now", error.message
    except OddtocError as error:
        return "failed", f"{type(error).__name__}: {error.message}"
    if applied.waiting:
        return "failed", f"{applied.waiting[0].name} waits for its module"
    said = b"a\nb\n" + (b"d\n" if exercise_of(module) else b"") + b"c\n"
    if said not in result.stdout or guest.run(COMPLAINTS).stdout != before:
        return "failed", "the guest complains"
    return "applied", ""
