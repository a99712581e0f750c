"""From a source fix to a patch object: judge the files that a change concerns, and keep what differs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from oddtoc.build.anew import Confined, check_confined
from oddtoc.build.data import check_told
from oddtoc.build.headers import HeaderChange
from oddtoc.build.judged import judge_units
from oddtoc.build.lines import depends_on_lines, lacks_own_function
from oddtoc.build.overlay import Overlay
from oddtoc.build.parts import merge_parts
from oddtoc.build.pieces import Piece, extract, in_order
from oddtoc.build.reach import MOST_UNITS, units_of, units_reached
from oddtoc.build.records import has_records
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.several import for_each
from oddtoc.build.subjects import Subjects
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.build.unitfix import UnitFix
from oddtoc.image.elf import Image
from oddtoc.link.object import KERNEL, PatchObject
from oddtoc.link.unitobject import UnitObject

_SAME = "is the same before and after the change"
_AT_BOOT = "only ran at boot, and everything that still runs is the same before and after the change"


@dataclass(frozen=True)
class LeftOut:
    """A changed item of a file that stays as it was.

    Attributes:
        file: relative to the trees.
        name: of the function, variable, type or macro.
        reason: what it is refused for, or what it belongs to.
    """

    file: str
    name: str
    reason: str


@dataclass
class Fix:
    """A patch object made of a source fix, and what it consists of.

    Attributes:
        patch: the object.
        units: the files that it was made of.
        ignored: files of the diff that no code is made of.
        asked_keys: static keys that the patch asks at run time.
        taken, left: what differs in newer headers, and the files took or left.
        written: variables whose new first values are written in place.
        left_out: what of the fix is not in it (oddtoc.build.part).
        confined: structure -> the functions that its objects were told to exist in.
        in_padding: structure -> its new members in padding.
    """

    patch: PatchObject
    units: list[UnitFix]
    ignored: tuple[str, ...]
    asked_keys: int
    taken: list[HeaderChange]
    left: list[HeaderChange]
    written: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    confined: dict[str, list[str]] = field(default_factory=dict)
    in_padding: dict[str, list[str]] = field(default_factory=dict)


def build_fix(
    tree: KernelTree,
    overlay: Overlay,
    image: Image,
    output: Path,
    *,
    modules: Path | None = None,
    name: str | None = None,
    accept_difference: bool = False,
    most_units: int = MOST_UNITS,
    write_data: Collection[str] = (),
    confined: Confined = MappingProxyType({}),
) -> Fix:
    """Make a patch object of a changed source tree.

    Args:
        tree: the running kernel's source, prepared with its configuration.
        overlay: the changed tree.
        image: the running kernel.
        output: the object to write.
        modules: the folder with the kernel's modules, for files that are part of one.
        name: the patch's name; the output's stem if not given.
        accept_difference: go on although functions run that this source and compiler do not make.
        most_units: how many files a changed header may reach.
        write_data: variables whose new first values are written in place: somebody knows that nothing has copied them.
        confined: structure -> functions: somebody knows that its objects exist only while one of these runs. They are
            replaced even if they are the same, so that nobody is in them, and the structure may be laid out anew.

    Raises:
        UsageError: what was told is not so. RefusedError: no patch can be made of it; `refusals` says why, one by one.
        BuildError: something does not compile.
    """
    files = _concerned(tree, overlay, most_units)
    subjects = Subjects(tree, image, modules)
    units = judge_units(tree, overlay, files, subjects, confined)
    if not units:
        raise RefusedError([Refusal("no-effect", files[0] if files else overlay.changed[0], "the object", _SAME)])
    check_confined(tree, confined, {name: unit.file for unit in units for name in unit.comparison.changed})
    check_told(write_data, {name for unit in units for name in unit.comparison.changed_data})
    running = [unit for unit in units if unit.fidelity.addresses]
    refusals = _in_the_way(units, running, accept_difference, write_data)
    made = _extracted(subjects, running, write_data)
    while told := _telling_lines(made, running, is_refused=bool(refusals)):
        _give_lines(tree, overlay, told)
        made = _extracted(subjects, running, write_data)
    refusals += [refusal for piece in made for refusal in piece.refusals]
    if refusals:
        raise RefusedError(refusals)
    targets = {piece.subject.name: piece.finished() for piece in in_order(made) if piece.has_anything}
    patch = merge_parts(targets, output, name=name, kernel=image)
    asked = sum(extractor.found.asked_keys for piece in made for extractor in piece.extractors)
    written = [name for piece in made for name in piece.written]
    return Fix(
        patch,
        units,
        overlay.ignored,
        asked,
        overlay.taken,
        overlay.left,
        written,
        confined={structure: list(functions) for structure, functions in confined.items()},
        in_padding={structure: list(members) for structure, members in overlay.in_padding.items()},
    )


def _extracted(subjects: Subjects, units: Sequence[UnitFix], write_data: Collection[str]) -> list[Piece]:
    """What the fix makes of each subject."""
    pieces = [Piece(subject, [unit for unit in units if unit.subject is subject]) for subject in subjects.all()]
    made = [piece for piece in pieces if piece.extractors]
    extract(made, write_data)
    return made


def _telling_lines(made: Sequence[Piece], units: Sequence[UnitFix], *, is_refused: bool) -> list[UnitFix]:
    """The units without line numbers that need them, for what is taken of them or for what seems to be lacking."""
    found = {
        extractor.file
        for piece in made
        for extractor in piece.extractors
        if lacks_own_function(extractor.unit, extractor.found.refusals)
        or (not is_refused and depends_on_lines(extractor.target))
    }
    return [unit for unit in units if unit.file in found and not unit.has_lines]


def _give_lines(tree: KernelTree, overlay: Overlay, units: Sequence[UnitFix]) -> None:
    """Put the new units with their line numbers in the place of those that were compared."""

    def compiled(unit: UnitFix) -> Path:
        return compile_unit(tree, unit.file, Flavour.SHIPPED, overlay.root)

    for unit, path in zip(units, for_each(units, compiled), strict=True):
        unit.new, unit.has_lines = UnitObject(path), True


def _in_the_way(
    units: Sequence[UnitFix], running: Sequence[UnitFix], accept_difference: bool, write_data: Collection[str]
) -> list[Refusal]:
    """What is in the way of all files together, but for what was told; also that there is nothing to be done.

    Raises:
        RefusedError: only what ran at boot differs.
    """
    refusals = [r for unit in units for r in unit.refusals if not (accept_difference and r.id == "fidelity")]
    refusals = [r for r in refusals if not (r.id == "data-changed" and r.subject in write_data)]
    if refusals and all(refusal.id == "init-code" for refusal in refusals) and not any(map(_still_runs, units)):
        raise RefusedError([Refusal("boot-only", r.file, r.subject, _AT_BOOT) for r in refusals])
    changes = any(unit.comparison.changed or has_records(unit.new) for unit in running)
    if not refusals and not write_data and not changes:
        return [Refusal("no-effect", units[0].file, "the object", _SAME)]
    return refusals


def _still_runs(unit: UnitFix) -> bool:
    """Whether anything differs that a running kernel still uses; a module's init code may still run."""
    return bool(unit.comparison.changed or unit.comparison.changed_data) or unit.subject.name != KERNEL


def _concerned(tree: KernelTree, overlay: Overlay, most: int) -> list[str]:
    """The units that a change may be seen in: those of changed C files, and of headers."""
    files = [unit for file in overlay.units for unit in units_of(tree, file, most=most)]
    if overlay.headers:
        files += units_reached(tree, overlay.headers, files, most=most)
    return list(dict.fromkeys(files))
