"""Patches that are written by hand with the types of one kernel: from its own headers, or from its type information.

With headers of a kernel come its inline functions, and with those what the kernel keeps tables of: warnings, faults in
user space, static keys, barriers. So such a patch is taken apart like a changed file (oddtoc.build.extract): all of it
is new, and what it names of other files is looked up when it is applied.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oddtoc.build.canonical import Meanings
from oddtoc.build.compare import Comparison
from oddtoc.build.compile import INCLUDE, KERNEL_FLAGS, compile_object, compile_patch, defines_for, tool
from oddtoc.build.extract import Extractor
from oddtoc.build.layouts import unlike_kernel
from oddtoc.build.names import Found, KernelNames
from oddtoc.build.objectfile import ObjectFile
from oddtoc.build.origin import find_origin
from oddtoc.build.parts import merge_parts
from oddtoc.build.records import take_records
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.subjects import Module, Proper, Subjects
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import FOR_DEBUGGERS, Flavour
from oddtoc.debian import cache_folder, keep_file
from oddtoc.errors import ImageError
from oddtoc.image.declarations import header_text
from oddtoc.image.elf import Image
from oddtoc.link.object import KERNEL, KERNEL_SECTION, MODULE_SUFFIX, PatchObject
from oddtoc.link.unitobject import WEAK, UnitObject, UnitSymbol

TYPES = "vmlinux.h"
_INCLUDED = re.compile(rf'^\s*#\s*include\s*[<"]{re.escape(TYPES)}[">]', re.MULTILINE)
_REPLACED = re.compile(
    r"^\s*ODDTOC_REPLACE(?:_IN)?\s*\(\s*(?P<image>[\w.-]+)\s*,\s*(?:\"(?P<file>[^\"]*)\"\s*,)?\s*(?P<function>\w+)",
    re.MULTILINE,
)
_ANY_FILE = "kernel/sys.c"
"""Whose flags a patch is compiled with that replaces nothing of a C file."""
_SITES = ("-pg", "-mprofile-kernel")
_LEFT_OUT = ("-fpatchable-function-entry", FOR_DEBUGGERS)
_OWN_FLAGS = ("-fno-optimize-sibling-calls", "-fno-section-anchors", "-Wno-missing-prototypes", "-Wno-undef")


@dataclass(frozen=True)
class Replaced:
    """What a source says that it replaces: image, function, and the function's file where it names one."""

    image: str
    function: str
    file: str


def wants_types(source: Path) -> bool:
    """Whether a source includes vmlinux.h."""
    return bool(_INCLUDED.search(source.read_text(errors="replace")))


def replaced_by(source: Path) -> list[Replaced]:
    """What a source replaces, as its text has it."""
    found = _REPLACED.finditer(source.read_text(errors="replace"))
    return [Replaced(match["image"], match["function"], match["file"] or "") for match in found]


def compile_with_types(
    image: Image,
    source: Path,
    output: Path,
    *,
    modules: Path | None = None,
    name: str | None = None,
    code_model: str = "medium",
    long_calls: bool = False,
) -> PatchObject:
    """Compile a source that includes vmlinux.h, which is made for it of a kernel's type information.

    Args:
        image: the kernel.
        source: with ODDTOC_REPLACE.
        output: the object to write.
        modules: the folder with the kernel's modules, for a patch of one.
        name, code_model, long_calls: see `compile_patch`.

    Raises:
        RefusedError: a structure is not laid out as in the kernel. BuildError: it does not compile.
        ImageError: the kernel has no type information.
    """
    flags = [f"-I{_types_folder(image)}"]
    _check_layouts(image, source, [tool("gcc"), *KERNEL_FLAGS, f"-I{INCLUDE}", *flags], None)
    changed = replaced_by(source)[0].image if replaced_by(source) else KERNEL
    if changed.endswith(MODULE_SUFFIX) and modules is not None:
        build_id = Module(image, modules, changed.removesuffix(MODULE_SUFFIX)).image.build_id
    else:
        build_id = image.build_id
    options: dict[str, Any] = {"name": name, "code_model": code_model, "long_calls": long_calls}
    return compile_patch(source, output, flags=flags, build_id=build_id or b"", **options)


def compile_with_headers(
    tree: KernelTree,
    image: Image,
    source: Path,
    output: Path,
    *,
    modules: Path | None = None,
    name: str | None = None,
    accept_difference: bool = False,
) -> PatchObject:
    """Compile a source that includes a kernel's headers, with the flags of the file that it replaces something of.

    Args:
        tree: the kernel's source, prepared.
        image: the kernel.
        source: with ODDTOC_REPLACE.
        output: the object to write.
        modules: the folder with the kernel's modules, for a patch of one.
        name: the patch's name; the output's stem if not given.
        accept_difference: go on although a function runs that this source and compiler do not make.

    Raises:
        RefusedError: the source is not that of the kernel, or it uses what no patch can have. BuildError: it does not
            compile.
    """
    file, subject = _prove_source(tree, Subjects(tree, image, modules), source, accept_difference)
    words = [word for word in tree.commands([file])[file] if word not in _SITES and not word.startswith(_LEFT_OUT)]
    near = ["-iquote", str((tree.source / file).parent), f"-I{INCLUDE}"]
    command = [*words, *_OWN_FLAGS, *defines_for(subject.name), *near]
    _check_layouts(image, source, command, tree.build)
    with tempfile.TemporaryDirectory(prefix="oddtoc-build-") as folder:
        compiled = Path(folder, "unit.o")
        compile_object([*command, *Flavour.SHIPPED.value], source, compiled, cwd=tree.build)
        target = _taken_apart(source, UnitObject(compiled))
    target.section(KERNEL_SECTION, 0, 1).append(subject.image.build_id or b"")
    return merge_parts({subject.name: target}, output, kernel=image, name=name)


def _prove_source(tree: KernelTree, subjects: Subjects, source: Path, accept_difference: bool) -> tuple[str, Proper]:
    """The file whose flags the patch gets, after looking whether its replaced functions run as the source has them."""
    origins = []
    refusals = []
    for replaced in replaced_by(source):
        origin = find_origin(tree, subjects, replaced.image, replaced.function, replaced.file)
        if origin is None:
            continue
        origins.append((origin.file, origin.subject))
        if replaced.function not in origin.fidelity.addresses:
            reason = origin.fidelity.different.get(replaced.function, "does not run, or another file's definition does")
            reason = f"is not the code that runs: {reason}"
            refusals.append(Refusal("fidelity", origin.file, replaced.function, reason))
    if refusals and not accept_difference:
        raise RefusedError(refusals)
    return origins[0] if origins else (_ANY_FILE, subjects.of(_ANY_FILE))


def _check_layouts(image: Image, source: Path, command: Sequence[str], cwd: Path | None) -> None:
    """Compile with type information of what is used, and hold that against the kernel's.

    Raises:
        RefusedError: something is laid out otherwise there.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-build-") as folder:
        unit = Path(folder, "unit.o")
        compile_object([*command, "-gbtf"], source, unit, cwd=cwd)
        changes = list(unlike_kernel(image, unit))
    if changes:
        raise RefusedError([Refusal("types", source.name, c.name, c.difference, c.member) for c in changes])


def _taken_apart(source: Path, unit: UnitObject) -> ObjectFile:
    """An object of everything that the records in a unit need."""
    target = ObjectFile()
    extractor = Extractor(source.name, unit, Comparison(), _OwnNames(), target)
    take_records(extractor)
    while extractor.go_on():
        pass
    if extractor.found.refusals:
        raise RefusedError(extractor.found.refusals)
    for symbol in unit.symbols:
        if symbol.binding == WEAK and not symbol.section:
            target.outside(symbol.name, WEAK)
    return target


class _OwnNames(KernelNames):
    """A patch that is written by hand has nothing of the kernel in it; other files' names are resolved when applied."""

    def __init__(self) -> None:
        self.old_functions = set()

    def outside(self, name: str) -> Found | None:
        return Found(name, 0, unique=True)

    def function(self, _name: str) -> Found | None:
        return None

    def is_known_variable(self, _symbol: UnitSymbol) -> bool:
        return False

    def variable(self, _symbol: UnitSymbol, _new: Meanings) -> Found | None:
        return None


def _types_folder(image: Image) -> Path:
    """The folder of the cache that a kernel's vmlinux.h is in."""
    if image.section(".BTF") is None:
        raise ImageError(
            f"{image.path.name} has no type information to make {TYPES} of",
            advice="include the kernel's headers instead, <linux/...>",
        )
    key = (image.build_id or hashlib.sha256(str(image.path).encode()).digest()).hex()
    folder = cache_folder() / "types" / key
    keep_file(folder / TYPES, lambda: header_text(image).encode())
    return folder
