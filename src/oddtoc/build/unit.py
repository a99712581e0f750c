"""One C file of a kernel compiled to an object: cached, with the kernel's own flags and each function on its own.

Compiled are: the old source as the kernel was built, to be compared with the code that runs (`RUNNING`); old and new
with each object in a section of its own and one number for all lines, to be compared with each other (`COMPARED`); and
the new one with its line numbers, where what a patch takes depends on them (`SHIPPED`). `DESCRIBED` is the old source
with what debuggers are told of its functions.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path

from oddtoc.build.compile import INCLUDE, defines_for
from oddtoc.build.lines import LINE, bug_lines
from oddtoc.build.slots import Slot, in_tree
from oddtoc.build.tree import KernelTree
from oddtoc.errors import BuildError
from oddtoc.link.object import MODULE_SUFFIX

_PLAIN = {**os.environ, "LC_ALL": "C"}
"""The compiler's words, without a language and its quotation marks."""
_LACKING = re.compile(r"fatal error: \S+\.h: No such file")
_WRONG = ("implicit-function-declaration", "implicit-int", "incompatible-pointer-types", "int-conversion")
"""What old headers can make of a newer file that would compile and be wrong: pointers that become int, and the like."""
_ERRORS = tuple(f"-Werror={kind}" for kind in _WRONG)
FOR_DEBUGGERS = "-g"
"""What the kernel's options begin with that say what debuggers are told: that is the flavour's."""
_WARNING, _NO_WARNINGS = "-W", ("-Wa,", "-Wp,", "-Werror=", "-Wno-error=")
"""What options for warnings, which nobody would see, begin with, and what others do that look like them."""
_ONE_BY_ONE = ("-ffunction-sections", "-fdata-sections")


class Flavour(Enum):
    """What an object is compiled for; the value is the options for it."""

    RUNNING = ("-ffunction-sections",)
    COMPARED = (
        "-gbtf",
        "-fno-eliminate-unused-debug-types",
        *_ONE_BY_ONE,
        f"-D__LINE__={LINE}",
    )
    DESCRIBED = ("-g1", "-ffunction-sections")
    SHIPPED = _ONE_BY_ONE


def compile_unit(tree: KernelTree, file: str, flavour: Flavour, root: Path | None = None) -> Path:
    """Compile a file of a kernel.

    Args:
        tree: the prepared tree, which gives the command.
        file: relative to the tree's root.
        flavour: what for.
        root: another tree to take the file and its headers from.

    Returns:
        The object, in the cache; nobody may write to it.

    Raises:
        BuildError: it does not compile.
    """
    root = root or tree.source
    command = _command(tree, file, flavour, root)
    slot = Slot(command, file, tree.build, root)
    if not slot.is_filled():
        _with_generated(tree, file, lambda: slot.fill(partial(_compile, command, tree, root / file)))
    return slot.folder / "unit.o"


def check_unit(tree: KernelTree, file: str, root: Path) -> None:
    """Whether a file compiles, which takes less than to do it.

    Args:
        tree: the prepared tree, which gives the command.
        file: relative to the tree's root.
        root: another tree to take the file and its headers from.

    Raises:
        BuildError: it does not.
    """
    command = _command(tree, file, Flavour.COMPARED, root)
    tried = [*command, "-fsyntax-only"]
    slots = [Slot(words, file, tree.build, root) for words in (command, tried)]
    if not any(slot.is_filled() for slot in slots):
        _with_generated(tree, file, lambda: slots[1].fill(partial(_compile, tried, tree, root / file)))


def _command(tree: KernelTree, file: str, flavour: Flavour, root: Path) -> list[str]:
    compiler, *words = [word.replace(str(tree.source), str(root)) for word in tree.commands([file])[file]]
    first = bug_lines(root) if flavour is Flavour.COMPARED else ()
    kept = [word for word in words if not word.startswith((FOR_DEBUGGERS, _WARNING)) or word.startswith(_NO_WARNINGS)]
    return [compiler, *first, *kept, *_ERRORS, *_own_headers(tree, file), *flavour.value]


def _with_generated(tree: KernelTree, file: str, run: Callable[[], None]) -> None:
    """Run the compiler; again, with the headers that kbuild generates for the file's folder, if it lacks one."""
    try:
        run()
    except BuildError as error:
        if not _LACKING.search(error.output):
            raise
        tree.generate(file)
        run()


def _own_headers(tree: KernelTree, file: str) -> Sequence[str]:
    """Flags with which a changed file finds oddtoc's headers, behind all of the kernel's."""
    module = tree.module_of(file)
    return ["-idirafter", str(INCLUDE), *defines_for(module and module + MODULE_SUFFIX)]


def _compile(command: Sequence[str], tree: KernelTree, source: Path, folder: Path) -> list[str]:
    """Have the compiler put an object into a folder; the files that it was made of."""
    output, dependencies = folder / "unit.o", folder / "unit.d"
    full = [*command, "-MD", "-MF", str(dependencies), "-MT", "unit", "-c", "-o", str(output), str(source)]
    _run(full, tree, source)
    used = dependencies.read_text().replace("\\\n", " ").split()[1:]
    dependencies.unlink()
    return [os.path.join(tree.build, path) for path in used]  # noqa: PTH118 - some 1,500


def _run(command: Sequence[str], tree: KernelTree, source: Path) -> None:
    result = subprocess.run(command, cwd=tree.build, capture_output=True, text=True, check=False, env=_PLAIN)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if "error:" in line] or ["the compiler failed"]
        raise BuildError(f"{source} does not compile", output=result.stderr, advice=errors[0])


@in_tree
def included_headers(tree: KernelTree, file: str, root: Path) -> list[str]:
    """The headers that a file of another tree includes there, as this kernel is configured: relative to the root.

    Raises:
        BuildError: the preprocessor does not get through.
    """
    words = [word.replace(str(tree.source), str(root)) for word in tree.commands([file])[file]]
    command = [*words, "-w", "-M", "-MG", "-MT", "unit", str(root / file)]
    result = subprocess.run(command, cwd=tree.build, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"{root / file} can't be preprocessed", output=result.stderr)
    names = [os.path.normpath(path) for path in result.stdout.replace("\\\n", " ").split()[1:]]
    return [path.removeprefix(f"{root}/") for path in names if path.startswith(f"{root}/") and path.endswith(".h")]
