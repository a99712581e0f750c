"""One file of the corpus: built with what belongs to it, applied, exercised, reverted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from corpus.files import definers
from corpus.guests import NEVER, Guests, exercise_of
from corpus.told import CONFINED, IN_PADDING, TOLD
from oddtoc.build.fix import Fix, build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.part import NotWholeError, build_in_part
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tree import KernelTree
from oddtoc.errors import BusyError, OddtocError, RoomError
from oddtoc.image.elf import Image
from oddtoc.link.object import KERNEL, MODULE_SUFFIX
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
_ITS_OWN = ("layout", "data-changed", "init-code", "static-local", "no-site")
"""Refusals that stay, whatever changes with a file."""
_MOST_FILES = 6
"""Beside those of the file's own module, of which all may be in a set."""


@dataclass(frozen=True)
class Verdict:
    """What became of a file.

    Attributes:
        file: the file.
        outcome: applied, in part (without what `reason` names), no effect, ran at boot (nothing else changes), refused,
            built (not applied: its module can't be loaded, or there are no guests), not now (a thread was in the way
            all the time) or failed.
        reason: ids of refusals, or what went wrong.
        files: all that the patch was made of.
        functions: how many functions were replaced.
        equal, compared: functions of the old source that are the code that runs, of all that were compared.
        seconds: to build it, and to build, apply, exercise and revert it.
        module: that it is part of; empty for the kernel proper.
        refusals: id, file and subject of each, also of those that made it a patch in part.
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
    refusals: tuple[tuple[str, str, str], ...] = ()

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
        included: C files that differ and are part of others.
        together: what became of files that changed with another one, in one patch with all that is theirs.
        sets: what became of sets of files of which not all can be changed as a whole, and of parts of these.
    """

    tree: KernelTree
    new: Path
    files: Mapping[str, str]
    image: Image
    modules: Path
    included: Sequence[str] = ()
    together: dict[str, Verdict] = field(default_factory=dict)
    sets: dict[tuple[str, frozenset[str]], Fix | RefusedError] = field(default_factory=dict)


def judge(file: str, sources: Sources, guests: Guests | None, folder: Path) -> Verdict:
    """Build a file of the newer source, and try it where there are guests."""
    started = time.monotonic()
    module = sources.files[file]
    if file in sources.together:
        return replace(sources.together[file], file=file, module=module, seconds=(0.0, 0.0))
    attempt = Attempt(file, sources, _output(folder, file))
    try:
        fix = attempt.whole()
    except RefusedError as error:
        verdict = _refused(file, module, error, started)
        if verdict.outcome != "refused":
            return verdict
        try:
            fix = attempt.in_part(error)
        except RefusedError:
            return verdict
        if any(left.file == file for left in fix.left_out):
            return _tried(replace(verdict, outcome="in part", files=(file,)), fix, guests, started)
    verdict = _tried(Verdict(file, "applied", files=tuple(attempt.files), module=module), fix, guests, started)
    if verdict.outcome in ("applied", "built") and not fix.left_out:
        sources.together.update({other: verdict for other in attempt.files})
    return verdict


def _refused(file: str, module: str, error: RefusedError, started: float) -> Verdict:
    ids = tuple(dict.fromkeys(refusal.id for refusal in error.refusals))
    outcome = {("no-effect",): "no effect", ("boot-only",): "ran at boot"}.get(ids, "refused")
    first = error.refusals[0]
    reason = f"{', '.join(ids)}: {first.file}: {first.subject} {first.reason}"[:200]
    refusals = tuple((one.id, one.file, one.subject) for one in error.refusals)
    return Verdict(file, outcome, reason, seconds=(time.monotonic() - started,) * 2, module=module, refusals=refusals)


def _tried(verdict: Verdict, fix: Fix, guests: Guests | None, started: float) -> Verdict:
    """The verdict on a file that a patch could be made of, when that has been applied and taken back."""
    built = time.monotonic() - started
    module = verdict.module
    outcome, reason = "built", ""
    if guests is not None and module not in NEVER:
        outcome, reason = _try_with_room(fix, guests, module)
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
    modules = [unit.subject.name.removesuffix(MODULE_SUFFIX) for unit in fix.units if unit.subject.name != KERNEL]
    try:
        return _try(fix, guests.of(module, modules), module)
    except RoomError:
        guests.stop()
    try:
        return _try(fix, guests.of(module, modules), module)
    except RoomError as error:
        return "refused", f"room: {error.message}"


def _output(folder: Path, file: str) -> Path:
    return folder / (file.replace("/", "-")[:-2] + ".o")


class Attempt:
    """A patch for one file, and for those that have to change with it.

    Attributes:
        files: all of them, the file first. Some may not differ: they are compiled with the newer headers.
    """

    def __init__(self, file: str, sources: Sources, output: Path) -> None:
        self.files = [file]
        self._sources = sources
        self._output = output
        self._confined: dict[str, tuple[str, ...]] = {}
        self._in_padding: dict[str, tuple[str, ...]] = {}

    def whole(self) -> Fix:
        """With the files that define what it lacks, or that share prototypes, constants or members.

        Raises:
            RefusedError: no such patch can be made.
        """
        while True:
            try:
                return self._once("whole", self._build)
            except RefusedError as error:
                if self._is_hopeless(error) or not self._widen(error):
                    raise

    def in_part(self, refused: RefusedError) -> Fix:
        """All of the file, and what can be had of the others; or a part of the file alone.

        Args:
            refused: what came of the whole.

        Raises:
            RefusedError: nothing can be had of it.
        """
        if len(self.files) > 1:
            first = self.files[:1]
            try:
                fix = self._once("in part", lambda: self._build_in_part(self.files, refused, first))
                if not any(left.file == first[0] for left in fix.left_out):
                    return fix
            except RefusedError:
                pass
            return self._build_in_part(first)
        return self._build_in_part(self.files, refused)

    def _once(self, how: str, build: Callable[[], Fix]) -> Fix:
        """What came of a set when another of its files was judged, or comes of it now."""
        known = how, frozenset((*self.files, *self._confined, *self._in_padding))
        found = self._sources.sets.get(known)
        if found is None:
            try:
                found = build()
            except NotWholeError:
                # another of its files may not be in the way
                raise
            except RefusedError as error:
                # what it was raised from would hold all objects
                found = error.with_traceback(None)
            if len(self.files) > 1:
                self._sources.sets[known] = found
        if isinstance(found, RefusedError):
            raise found
        return found

    def _build(self) -> Fix:
        of = self._sources
        overlay = take_newer(of.tree, of.new, self.files, of.image, self._confined, self._in_padding)
        return build_fix(of.tree, overlay, of.image, self._output, **self._options(self.files))

    def _build_in_part(
        self, files: Sequence[str], refused: RefusedError | None = None, whole: Collection[str] = ()
    ) -> Fix:
        of = self._sources
        in_padding = self._in_padding if list(files) == self.files else {}
        options = self._options(files) | {"in_padding": in_padding, "refused": refused, "whole": whole}
        return build_in_part(of.tree, of.new, files, of.image, self._output, **options)

    def _options(self, files: Sequence[str]) -> dict[str, Any]:
        told = [name for one in files for name in TOLD.get(one, ())]
        confined = self._confined if list(files) == self.files else {}
        return {"write_data": told, "modules": self._sources.modules, "confined": confined}

    def _is_hopeless(self, error: RefusedError) -> bool:
        """Whether something of the file itself is in the way that no other file can mend."""
        return any(
            refusal.file == self.files[0] and refusal.id in _ITS_OWN and refusal.subject not in {*CONFINED, *IN_PADDING}
            for refusal in error.refusals
        )

    def _widen(self, error: RefusedError) -> bool:
        """Take more files, or what was told of structures; tell whether there was anything of it to take."""
        structures = {refusal.subject for refusal in error.refusals if refusal.id == "layout"}
        confined = {name: CONFINED[name] for name in CONFINED.keys() & structures}
        in_padding = {name: IN_PADDING[name] for name in IN_PADDING.keys() & structures}
        is_new = not (confined.keys() <= self._confined.keys() and in_padding.keys() <= self._in_padding.keys())
        self._confined |= confined
        self._in_padding |= in_padding
        more = [one for one in self._others(error) if one not in self.files]
        tree, files, first = self._sources.tree, self._sources.files, self.files[0]
        beside = [one for one in self.files if not files[first] or tree.module_of(one) != files[first]]
        if not is_new and (not more or len(beside) >= _MOST_FILES):
            return False
        self.files += more
        return True

    def _others(self, error: RefusedError) -> list[str]:
        of = self._sources
        missing = [refusal.subject for refusal in error.refusals if refusal.id == "symbol"]
        defining = (*of.files, *of.included)
        found = [one for symbol in missing for one in definers(of.tree, of.new, symbol, defining)]
        shared = [refusal.file for refusal in error.refusals if refusal.id in ("prototype", "constant", "layout")]
        found += [one for one in shared if one in defining or (one.endswith(".c") and of.tree.is_built(one))]
        return list(dict.fromkeys(found))


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
                if applied.done:
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
