"""The files of a fix, one by one: compiled old and new, compared with each other and with what runs, and judged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from oddtoc.build.anew import Confined, split_layouts
from oddtoc.build.beside import live_beside, retyped
from oddtoc.build.boot import lost_at_boot
from oddtoc.build.compare import compare_units
from oddtoc.build.layouts import InPadding, LayoutChange, changed_layouts
from oddtoc.build.overlay import Overlay
from oddtoc.build.refusal import Refusal
from oddtoc.build.several import for_each
from oddtoc.build.subjects import Proper, Subjects
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.build.unitfix import UnitFix
from oddtoc.errors import NoSiteError
from oddtoc.kernel.place import branch_place
from oddtoc.link.fidelity import compare
from oddtoc.link.unitobject import UnitObject


def judge_units(
    tree: KernelTree, overlay: Overlay, files: Sequence[str], subjects: Subjects, confined: Confined
) -> list[UnitFix]:
    """Each file of a fix compiled and compared, with what is in the way of it; without those that no header changes.

    Args:
        tree: the running kernel's source, prepared.
        overlay: the changed tree.
        files: relative to both.
        subjects: what may be changed.
        confined: see `oddtoc.build.fix.build_fix`.

    Raises:
        UsageError: what was told is not so. BuildError: something does not compile.
    """
    compiled = _compile_all(tree, overlay, files)
    functions = {name for names in confined.values() for name in names}
    units = [
        _judge(file, *objects, subjects.of(file), functions, overlay.in_padding)
        for file, objects in zip(files, compiled, strict=True)
        if objects
    ]
    live_beside(units)
    for unit in units:
        unit.refusals = [*_objections(unit), *unit.refusals]
        versions = tree.source / unit.file, overlay.root / unit.file
        unit.refusals, unit.on_stacks = split_layouts(unit.refusals, tree.source, *versions, confined)
        sources = {unit.file, *(file for file in overlay.units if file not in files)}
        old, new = ([root / file for file in sorted(sources)] for root in (tree.source, overlay.root))
        unit.lost = lost_at_boot(unit.comparison.init_code, old, new, overlay.taken)
        unit.refusals += [Refusal("init-code", unit.file, name, unit.subject.ran_once) for name in unit.lost]
    return units


def _compile_all(tree: KernelTree, overlay: Overlay, files: Sequence[str]) -> list[tuple[Path, Path, Path] | None]:
    """Of each file the old unit as it runs, and old and new to compare; None where a header changes nothing."""
    versions = [(file, root) for file in files for root in (overlay.root, tree.source)]
    compared = for_each(versions, lambda version: compile_unit(tree, version[0], Flavour.COMPARED, version[1]))
    news, olds = compared[::2], compared[1::2]
    for new in news:
        overlay.check_used(new)

    def with_running(unit: tuple[str, Path, Path]) -> tuple[Path, Path, Path] | None:
        file, old, new = unit
        if file not in overlay.changed and not _differ(old, new):
            return None
        return compile_unit(tree, file, Flavour.RUNNING), old, new

    return for_each(list(zip(files, olds, news, strict=True)), with_running)


def _differ(old: Path, new: Path) -> bool:
    comparison = compare_units(UnitObject(old), UnitObject(new))
    return not comparison.nothing or any(True for _ in changed_layouts(old, new))


def _judge(
    file: str,
    running: Path,
    before: Path,
    after: Path,
    subject: Proper,
    replaced: Collection[str],
    in_padding: InPadding,
) -> UnitFix:
    fidelity = compare(UnitObject(running), subject.image)
    old, new = UnitObject(before), UnitObject(after)
    comparison = compare_units(old, new)
    there = subject.still_there(fidelity)
    comparison.changed += [name for name in comparison.init_code if name in there]
    comparison.init_code = [name for name in comparison.init_code if name not in there]
    comparison.changed += [name for name in replaced if name in fidelity.addresses and name not in comparison.changed]
    unit = UnitFix(file, fidelity, comparison, new, subject.names(fidelity, old), subject)
    unit.beside = retyped(
        subject.image, before, after, (name for name in comparison.changed if name in fidelity.addresses)
    )
    found = (*subject.unlike(before, after, in_padding), *changed_layouts(before, after, in_padding))
    layouts = {(change.name, change.member): change for change in found}
    unit.refusals = [_layout_refusal(file, change) for change in layouts.values()]
    return unit


def _objections(unit: UnitFix) -> Iterator[Refusal]:
    image = unit.subject.image

    def refuse(kind: str, subject: str, reason: str) -> Refusal:
        return Refusal(kind, unit.file, subject, reason)

    fidelity, comparison = unit.fidelity, unit.comparison
    if not fidelity.addresses:
        yield refuse("not-running", "the file", "has no function in the running image")
        return
    for function, difference in fidelity.different.items():
        yield refuse("fidelity", function, f"is not the code that runs: {difference}")
    for variable in comparison.changed_data:
        yield refuse("data-changed", variable, "exists already, and gets another size or first value")
    for function in comparison.changed:
        address = fidelity.addresses.get(function)
        if address is None:
            yield refuse("fidelity", function, "does not run, or another file's definition does")
            continue
        symbol = next(s for s in image.symbols.find(function) if s.address == address and s.is_function)
        try:
            branch_place(image, symbol, image.entry(symbol), compiled=True)
        except NoSiteError as error:
            yield refuse("no-site", function, str(error.message).removeprefix(f"{function} "))


def _layout_refusal(file: str, change: LayoutChange) -> Refusal:
    return Refusal("layout", file, change.name, change.difference, change.member)
