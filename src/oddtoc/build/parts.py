"""One patch object of several parts: one for the kernel proper, and one for each module that a fix changes.

The first part is the file itself; the others are in it, whole, in sections of their own (`PatchObject.parts`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from oddtoc.build.compile import SUPPORT, merge_patch
from oddtoc.build.objectfile import NewSection, ObjectFile
from oddtoc.build.tables import BUGS, FAULTS
from oddtoc.image.elf import Image
from oddtoc.link.object import DATA_SECTION, KERNEL, KERNEL_SECTION, REPLACE_SECTION, PatchObject

_TABLES = SUPPORT / "tables.c"


def merge_parts(
    targets: Mapping[str, ObjectFile], output: Path, *, kernel: Image, name: str | None = None
) -> PatchObject:
    """Make a patch object of what was extracted.

    Args:
        targets: ``vmlinux`` or a module's file -> what changes it.
        output: the object to write.
        kernel: the kernel proper, which finds the tables of all parts.
        name: the patch's name; the output's stem if not given.

    Raises:
        BuildError: a tool is missing or fails.
    """
    parts = dict(targets)
    # of a part that only has what others use nothing would be in force: then the tables' finder is
    is_empty = KERNEL in parts and not any(_changes_something(section) for section in parts[KERNEL].sections)
    # of a module's part that has no function, only the section that it is in says which module that is
    is_empty |= KERNEL not in parts and not any(_replaces(section) for section in parts[next(iter(parts))].sections)
    tables = any(section.name in (BUGS, FAULTS) for part in parts.values() for section in part.sections)
    has_tables = tables or is_empty
    if has_tables and KERNEL not in parts:
        finder = ObjectFile()
        finder.section(KERNEL_SECTION, 0, 1).append(kernel.build_id or b"")
        parts = {KERNEL: finder, **parts}
    with tempfile.TemporaryDirectory(prefix="oddtoc-fix-") as folder:
        code = {subject: Path(folder, f"{subject}-code.o") for subject in parts}
        for subject, part in parts.items():
            part.write(code[subject])
        first, *others = parts
        further = {subject: Path(folder, f"{subject}.o") for subject in others}
        for subject in others:
            merge_patch(code[subject], further[subject], subject)
        support = [_TABLES] if has_tables else []
        return merge_patch(code[first], output, first, name=name, support=support, parts=further)


def _changes_something(section: NewSection) -> bool:
    return _replaces(section) or (section.name == DATA_SECTION and section.size > 0)


def _replaces(section: NewSection) -> bool:
    return section.name == REPLACE_SECTION and section.size > 0
