"""What a user asks for, put together: kernel, source, change; and the fix that is built from them."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from oddtoc.build.anew import Confined
from oddtoc.build.byhand import compile_with_headers, compile_with_types, wants_types
from oddtoc.build.compile import tool
from oddtoc.build.fix import Fix, build_fix
from oddtoc.build.layouts import NOWHERE, InPadding
from oddtoc.build.newer import take_diff, take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.part import build_in_part
from oddtoc.build.reach import MOST_UNITS
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.tree import KernelTree, Note, prepare_tree
from oddtoc.debian import DebianKernel, fetch_kernel
from oddtoc.debian.apt import Report
from oddtoc.debian.compilers import built_by, fetch_compiler
from oddtoc.debian.sources import fetch_source
from oddtoc.errors import BuildError, FetchError, UsageError
from oddtoc.image.elf import Image
from oddtoc.link.object import PatchObject


def fix_from_diff(
    series: str,
    diff: Path,
    output: Path,
    *,
    source: Path | None = None,
    accept_difference: bool = False,
    most_units: int = MOST_UNITS,
    write_data: Collection[str] = (),
    confined: Confined | None = None,
    in_padding: InPadding = NOWHERE,
    in_part: bool = False,
    report: Report | None = None,
    note: Note | None = None,
) -> Fix:
    """Build a patch object from a diff of a running kernel's source.

    Args:
        series: of the kernel that runs, such as ``6.1``; the one that was fetched.
        diff: unified, names relative to the source's root.
        output: the object to write.
        source: the kernel's source, if it is not Debian's package of that version.
        accept_difference, most_units, write_data, confined: see `build_fix`.
        in_padding: see `take_newer`.
        in_part: leave out what is refused, and what may belong to it (oddtoc.build.part).
        report, note: are told what takes time.

    Raises:
        RefusedError: no patch can be made of it. BuildError: something does not compile.
        FetchError: the kernel or its source can't be had.
    """
    kernel = fetch_kernel(series)
    tree = kernel_tree(kernel, source or fetch_source(series, kernel.version, report=report), note)
    overlay, image = apply_diff(tree.source, diff), _image(kernel)
    options = _options(kernel, accept_difference, most_units, write_data, confined)
    if in_padding:
        padded = take_diff(tree, overlay, image, in_padding, most=most_units)
        if padded is None:
            raise RefusedError([Refusal("header", overlay.headers[0], "the header", "changes for other files too")])
        return build_fix(tree, padded, image, output, **options)
    try:
        return build_fix(tree, overlay, image, output, **options)
    except RefusedError as error:
        if in_part and not overlay.headers:
            return build_in_part(tree, overlay.root, overlay.units, image, output, **options)
        if not any(refusal.id in ("layout", "reach") for refusal in error.refusals):
            raise
        kept = take_diff(tree, overlay, image)
        if kept is None:
            raise
        return build_fix(tree, kept, image, output, **options)


def patch_from_source(
    series: str,
    source: Path,
    output: Path,
    *,
    tree: Path | None = None,
    code_model: str = "medium",
    long_calls: bool = False,
    accept_difference: bool = False,
    report: Report | None = None,
    note: Note | None = None,
) -> PatchObject:
    """Build a patch object from a C source with the types of one kernel (oddtoc.build.byhand).

    Args:
        series: of the kernel that runs, such as ``6.1``; the one that was fetched.
        source: includes the kernel's headers, or vmlinux.h, which is made for it.
        output: the object to write.
        tree: the kernel's source, if it is not Debian's package of that version.
        code_model, long_calls: see `compile_patch`; with headers, the kernel's own flags decide.
        accept_difference: see `compile_with_headers`.
        report, note: are told what takes time.

    Raises:
        RefusedError: the types are not those of the kernel. BuildError: it does not compile.
        FetchError: the kernel or its source can't be had.
    """
    if not source.is_file():
        raise BuildError(f"there is no source file {source}")
    kernel = fetch_kernel(series)
    image = _image(kernel)
    if wants_types(source):
        options: dict[str, Any] = {"code_model": code_model, "long_calls": long_calls}
        return compile_with_types(image, source, output, modules=kernel.modules, **options)
    prepared = kernel_tree(kernel, tree or fetch_source(series, kernel.version, report=report), note)
    return compile_with_headers(
        prepared, image, source, output, modules=kernel.modules, accept_difference=accept_difference
    )


def fix_from_trees(
    series: str,
    old: Path,
    new: Path,
    files: Sequence[str],
    output: Path,
    *,
    accept_difference: bool = False,
    most_units: int = MOST_UNITS,
    write_data: Collection[str] = (),
    confined: Confined | None = None,
    in_padding: InPadding = NOWHERE,
    in_part: bool = False,
    note: Note | None = None,
) -> Fix:
    """Build a patch object from files of a newer tree, and from what they use of its headers (oddtoc.build.headers).

    Args:
        series: of the kernel that runs; the one that was fetched.
        old: the source of that kernel.
        new: the newer source.
        files: what to take from it, relative to both.
        output: the object to write.
        accept_difference, most_units, write_data, confined: see `build_fix`.
        in_padding: see `take_newer`.
        in_part: leave out what is refused, and what may belong to it (oddtoc.build.part).
        note: is told what takes time.

    Raises:
        UsageError: no file is named. The rest as for `fix_from_diff`.
    """
    if not files:
        raise UsageError("which files?", advice="name the C files to take from the new tree, relative to its root")
    kernel = fetch_kernel(series)
    tree = kernel_tree(kernel, old, note)
    image = _image(kernel)
    options = _options(kernel, accept_difference, most_units, write_data, confined)
    if in_part:
        return build_in_part(tree, new.resolve(), files, image, output, in_padding=in_padding, **options)
    overlay = take_newer(tree, new.resolve(), files, image, confined or (), in_padding)
    return build_fix(tree, overlay, image, output, **options)


def _options(
    kernel: DebianKernel,
    accept_difference: bool,
    most_units: int,
    write_data: Collection[str],
    confined: Confined | None,
) -> dict[str, Any]:
    return {
        "accept_difference": accept_difference,
        "most_units": most_units,
        "write_data": write_data,
        "confined": confined or {},
        "modules": kernel.modules,
    }


def kernel_tree(kernel: DebianKernel, source: Path, note: Note | None) -> KernelTree:
    """A kernel's source, prepared for the compiler that built it, or for the one here where that can't be had.

    Args:
        kernel: as fetched.
        source: the root of its source.
        note: is told what takes time, and when it is another compiler.

    Raises:
        BuildError: make fails.
    """
    tell = note or (lambda _line: None)
    compiler = kernel_compiler(kernel, tell)
    return prepare_tree(source, kernel.config, release=kernel.release, compiler=compiler, note=note)


def kernel_compiler(kernel: DebianKernel, note: Note) -> str:
    """What stands before `gcc` in the path of a kernel's compiler; empty for this machine's own.

    Args:
        kernel: as fetched.
        note: is told when the right one can't be had.
    """
    builder = built_by(kernel.config)
    own = subprocess.run([tool("gcc"), "-dumpfullversion"], capture_output=True, text=True, check=False).stdout.strip()
    if builder is None or builder.version == own:
        return ""
    try:
        return fetch_compiler(kernel, builder, note)
    except FetchError as error:
        note(
            f"the kernel was built by {builder.text}, and here is gcc {own}: much of it will not be the code that runs"
        )
        note(f"that compiler can't be had: {error.message}")
        return ""


def _image(kernel: DebianKernel) -> Image:
    return Image.open(kernel.vmlinux)
