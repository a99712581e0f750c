"""Which file of a kernel's source a function comes from, and whether that is what runs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from oddtoc.build.subjects import Proper, Subjects
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.errors import BuildError
from oddtoc.link.fidelity import Fidelity, compare
from oddtoc.link.unitobject import UnitObject

_SYSTEM_CALL = re.compile(r"(?:__se_|__do_)?(?:compat_)?sys_(\w+)\Z")
_NOT_IN_KERNELS = ("Documentation", "tools", "scripts", "samples", "usr")
_MOST_CANDIDATES = 12
"""A name that stands in more files is looked for in the first of them."""


@dataclass(frozen=True)
class Origin:
    """Where a function comes from.

    Attributes:
        file: relative to the tree.
        subject: what the file is part of.
        fidelity: how the file compares with what runs.
    """

    file: str
    subject: Proper
    fidelity: Fidelity


def find_origin(tree: KernelTree, subjects: Subjects, image: str, function: str, file: str = "") -> Origin | None:
    """The file that defines a function of a running kernel.

    Args:
        tree: the kernel's source, prepared.
        subjects: the kernel and its modules.
        image: what has the function, as a patch object calls it.
        function: its name.
        file: the base name of its file, where the name stands more than once.

    Returns:
        None if no C file of the image defines it.
    """
    for candidate in list(_candidates(tree, function, file))[:_MOST_CANDIDATES]:
        try:
            unit = UnitObject(compile_unit(tree, candidate, Flavour.RUNNING))
            subject = subjects.of(candidate)
        except BuildError:
            # it is not part of this configuration
            continue
        if subject.name == image and any(symbol.name == function for symbol in unit.functions):
            return Origin(candidate, subject, compare(unit, subject.image))
    return None


def _candidates(tree: KernelTree, function: str, file: str) -> Iterator[str]:
    """C files with a line that may begin the function's definition."""
    call = _SYSTEM_CALL.match(function)
    patterns = [rf"^[A-Za-z_][^;=]*\b{re.escape(function)}\(", rf"^{re.escape(function)}\("]
    if call:
        patterns.append(rf"^(COMPAT_)?SYSCALL_DEFINE[0-6]\({call[1]}\b")
    left_out = [f"--exclude-dir={name}" for name in _NOT_IN_KERNELS]
    command = ["grep", "-rlE", "--include=*.c", *left_out, "|".join(patterns), "."]
    printed = subprocess.run(command, cwd=tree.source, capture_output=True, text=True, check=False).stdout
    found = sorted(line.removeprefix("./") for line in printed.splitlines())
    wanted = file.removesuffix(".c")
    yield from (path for path in found if not wanted or PurePosixPath(path).stem == wanted)
