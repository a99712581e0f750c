"""C source to patch object: the cross compiler, the assembler for the trampolines, and `ld -r`."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import oddtoc.mechanism
from oddtoc.build.recorded import recorded_flags
from oddtoc.errors import BuildError
from oddtoc.link.notes import callbacks_of, states_of
from oddtoc.link.object import (
    FINDER_SECTION,
    KERNEL,
    KERNEL_SECTION,
    MODULE_SUFFIX,
    PART_PREFIX,
    ROOM_SECTION,
    PatchObject,
)

INCLUDE = Path(__file__).parent / "include"
SUPPORT = Path(__file__).parent / "support"
TRAMPOLINES = Path(oddtoc.mechanism.__file__).parent

KERNEL_FLAGS: tuple[str, ...] = (
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-m64",
    "-mlittle-endian",
    "-mabi=elfv2",
    "-mcpu=power8",
    # a kernel has no floating point or vector registers of its own
    "-msoft-float",
    "-mno-altivec",
    "-mno-vsx",
    "-mtraceback=no",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-fno-common",
    # a variable that is reached through another's address looks as if that were handed out (link/escape.py)
    "-fno-section-anchors",
    "-fno-strict-aliasing",
    "-fno-strict-overflow",
    "-fno-delete-null-pointer-checks",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    # a sibling call out of a payload would return through a helper that is in use (RFC: emergency exit)
    "-fno-optimize-sibling-calls",
)
PROCESS_FLAGS: tuple[str, ...] = (
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-m64",
    "-mlittle-endian",
    "-mabi=elfv2",
    "-mcpu=power8",
    "-mtraceback=no",
    # variables of other objects are anywhere
    "-fPIC",
    "-fno-common",
    "-fno-section-anchors",
    "-fno-stack-protector",
    # exceptions, thread cancellation and backtraces pass through (link/unwind.py)
    "-fasynchronous-unwind-tables",
    "-fno-optimize-sibling-calls",
)
"""For replacements in programs and libraries: they may use floating point and vector registers, and system headers."""
WITHOUT_UNWIND = (*PROCESS_FLAGS, "-fno-asynchronous-unwind-tables")
CODE_MODELS = ("medium", "large")
_OF_A_KERNEL = re.compile(r"fatal error: (vmlinux\.h|(?:linux|asm|net|uapi)/\S+\.h): No such file")
_RECORD = re.compile(r'oddtoc_replacement_\d+\b[^{]*\{\s*"([^"]*)"\s*,\s*"([^"]*)"')
_UP_TO_YOU = ("-std", "-O", "-W", "-mcpu")
_NEVER = ("-mno-pcrel", "-mno-prefixed", "-fno-lto", "-fpatchable-function-entry=0")
"""Code without a TOC pointer, instructions of two words, and what has no place in a patch object."""


def tool(name: str) -> str:
    """The path of a binutils or gcc program for ppc64le: the cross one, or the machine's own on ppc64le.

    Raises:
        BuildError: it is not installed.
    """
    prefixes = ("powerpc64le-linux-gnu-", "") if platform.machine() == "ppc64le" else ("powerpc64le-linux-gnu-",)
    for prefix in prefixes:
        if path := shutil.which(prefix + name):
            return path
    raise BuildError(
        f"no {name} for ppc64le is installed",
        advice="on Debian: apt-get install gcc-powerpc64le-linux-gnu",
    )


def compile_patch(
    source: str | Path,
    output: str | Path | None = None,
    *,
    name: str | None = None,
    code_model: str = "medium",
    long_calls: bool = False,
    unwind: bool = True,
    flags: Sequence[str] = (),
    flags_of: Path | None = None,
    build_id: bytes = b"",
) -> PatchObject:
    """Compile a C source into a patch object.

    Args:
        source: a C file with at least one ODDTOC_REPLACE.
        output: the object to write; the source's name with `.o` in the current folder if not given.
        name: the patch's name; the output's stem if not given.
        code_model: `medium` (data within 2 GiB of the TOC) or `large`.
        long_calls: compile with -mlongcall: every call goes through a pointer.
        unwind: give replacements in processes unwind information, so that exceptions pass through.
        flags: more flags for the compiler; those that code of a patch has to be compiled with go behind them.
        flags_of: a program or library, or its debug file, whose flags for the replaced functions are taken, too.
        build_id: of the one kernel that it is for, if there is one.

    Returns:
        The object, parsed and checked.

    Raises:
        BuildError: a tool is missing or refuses the source; `output` of the error holds what it said.
        PatchError: the object replaces nothing.
    """
    source = Path(source)
    output = Path(output) if output else Path(source.stem + ".o")
    if not source.is_file():
        raise BuildError(f"there is no source file {source}")
    if code_model not in CODE_MODELS:
        raise BuildError(f"unknown code model {code_model}", advice=f"known: {', '.join(CODE_MODELS)}")
    with tempfile.TemporaryDirectory(prefix="oddtoc-build-") as folder:
        code = Path(folder, "code.o")
        model = [f"-mcmodel={code_model}", *(["-mlongcall"] if long_calls else [])]
        image, functions = _replaced(source, flags)
        in_kernel = image == KERNEL or image.endswith(MODULE_SUFFIX)
        own = KERNEL_FLAGS if in_kernel else PROCESS_FLAGS if unwind else WITHOUT_UNWIND
        if flags_of:
            flags = [*recorded_flags(flags_of, functions), *flags]
        last = _last_word(own, model) if flags else ()
        command = [tool("gcc"), *own, *defines_for(image), *model, f"-I{INCLUDE}", *flags, *last]
        _run([*command, "-c", str(source), "-o", str(code)], source)
        merged = Path(folder, "patch.o")
        _run([tool("ld"), "-r", "-o", str(merged), str(code), *map(str, _assemble(Path(folder)))], source)
        if image.endswith(MODULE_SUFFIX):
            _embed("room", KERNEL_FLAGS, ROOM_SECTION, merged)
        elif not in_kernel and unwind:
            # nothing is thrown in there
            _embed("unwind", WITHOUT_UNWIND, FINDER_SECTION, merged)
        if build_id:
            only = Path(folder, "kernel")
            only.write_bytes(build_id)
            _add_section(merged, KERNEL_SECTION, only)
        return _finish(merged, output, name, source)


def defines_for(image: str) -> tuple[str, ...]:
    """Flags that tell a source what it is for. See oddtoc_callbacks.h."""
    return ("-DODDTOC_OF_MODULE",) if image.endswith(MODULE_SUFFIX) else ()


def compile_object(command: Sequence[str], source: Path, output: Path, *, cwd: Path | None = None) -> None:
    """Compile a C source into an object that is no patch yet.

    Args:
        command: the compiler and its flags.
        source, output: files.
        cwd: where the command is run.

    Raises:
        BuildError: it does not compile.
    """
    _run([*command, "-c", str(source.absolute()), "-o", str(output)], source, cwd)


def merge_patch(
    code: Path,
    output: Path,
    image: str,
    *,
    name: str | None = None,
    support: Sequence[Path] = (),
    parts: Mapping[str, Path] = MappingProxyType({}),
) -> PatchObject:
    """Make a patch object of code that was compiled elsewhere.

    Args:
        code: a relocatable object with records of what replaces what.
        output: the object to write.
        image: what it changes.
        name: the patch's name; the output's stem if not given.
        support: C sources that become part of it.
        parts: image -> patch object that belongs to this one.

    Raises:
        BuildError: a tool is missing or fails. PatchError: the object is malformed.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-build-") as folder:
        more = _assemble(Path(folder))
        for source in support:
            built = Path(folder, f"{source.stem}.o")
            more = [*more, built]
            _run([tool("gcc"), *KERNEL_FLAGS, f"-I{INCLUDE}", "-c", str(source), "-o", str(built)], source)
        merged = Path(folder, "patch.o")
        _run([tool("ld"), "-r", "-o", str(merged), str(code), *map(str, more)], code)
        if image.endswith(MODULE_SUFFIX):
            _embed("room", KERNEL_FLAGS, ROOM_SECTION, merged)
        for other, path in parts.items():
            _add_section(merged, PART_PREFIX + other, path)
        return _finish(merged, output, name, output)


def _finish(merged: Path, output: Path, name: str | None, shown_as: Path) -> PatchObject:
    patch = PatchObject.open(merged, name or output.stem, shown_as=shown_as)
    # what is wrong with them is better told now than when it is applied
    callbacks_of(patch)
    states_of(patch)
    try:
        shutil.copyfile(merged, output)
    except OSError as error:
        raise BuildError(f"{output} can't be written: {error.strerror}") from error
    patch.path = output
    return patch


def _embed(name: str, flags: Sequence[str], section: str, merged: Path) -> None:
    """Add a support patch to a patch, as an object of its own in a section."""
    support = merged.with_name(f"{name}.o")
    support.write_bytes(_support(name, tuple(flags)))
    _add_section(merged, section, support)


@cache
def _support(name: str, flags: tuple[str, ...]) -> bytes:
    """A support patch, compiled once."""
    source = SUPPORT / f"{name}.c"
    with tempfile.TemporaryDirectory(prefix="oddtoc-build-") as folder:
        code, support = Path(folder, "code.o"), Path(folder, "support.o")
        _run([tool("gcc"), *flags, f"-I{INCLUDE}", "-c", str(source), "-o", str(code)], source)
        _run([tool("ld"), "-r", "-o", str(support), str(code), *map(str, _assemble(Path(folder)))], source)
        return support.read_bytes()


def _add_section(merged: Path, name: str, content: Path) -> None:
    """Add a file as a section that is never loaded."""
    flags = f"{name}=readonly,data"
    _run([tool("objcopy"), "--add-section", f"{name}={content}", "--set-section-flags", flags, str(merged)], content)


def _last_word(own: Sequence[str], model: Sequence[str]) -> list[str]:
    """The flags that others must not undo."""
    return [*(flag for flag in own if not flag.startswith(_UP_TO_YOU)), *model, *_NEVER]


def _replaced(source: Path, flags: Sequence[str]) -> tuple[str, list[str]]:
    """What a source replaces functions of, told from its first ODDTOC_REPLACE, and the names of all of them."""
    command = [tool("gcc"), "-E", "-P", f"-I{INCLUDE}", *flags, str(source)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    records = _RECORD.findall(shown.stdout)
    # what can't be preprocessed will not compile either, and the compiler says why
    return (records[0][0] if records else KERNEL), [function for _, function in records]


def _assemble(folder: Path) -> list[Path]:
    """The trampolines of every mechanism, as objects in a folder."""
    for name, content in _trampolines():
        (folder / name).write_bytes(content)
    return [folder / name for name, _ in _trampolines()]


@cache
def _trampolines() -> tuple[tuple[str, bytes], ...]:
    """Name and content of these objects, assembled once, in one run of the compiler driver."""
    sources = sorted(TRAMPOLINES.glob("*.S"))
    command = [tool("gcc"), "-m64", "-mlittle-endian", "-mcpu=power8", "-c", *map(str, sources)]
    with tempfile.TemporaryDirectory(prefix="oddtoc-build-") as folder:
        _run(command, sources[0], cwd=Path(folder))
        return tuple((f"{source.stem}.o", Path(folder, f"{source.stem}.o").read_bytes()) for source in sources)


def _run(command: Sequence[str], source: Path, cwd: Path | None = None) -> None:
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "error" in line.lower()] or result.stderr.splitlines()
        first = lines[0] if lines else f"{Path(command[0]).name} ended with status {result.returncode}"
        if lacking := _OF_A_KERNEL.search(result.stderr):
            first = f"{lacking[1]} is one of a kernel: name that with --kernel SERIES"
        raise BuildError(f"{source} does not compile", output=result.stderr, advice=first)
