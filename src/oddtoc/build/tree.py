"""A kernel's source tree, prepared with its configuration, and the commands that kbuild compiles its files with.

Prepared once: `make olddefconfig modules_prepare` into a folder of the cache. The command of a file is asked of kbuild
itself (`make -n`), so that a file is compiled with the kernel's own flags, those of its folder's Makefile included.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from oddtoc.build.compile import tool
from oddtoc.debian import cache_folder
from oddtoc.debian.kernels import locked
from oddtoc.errors import BuildError

Note = Callable[[str], None]
"""Told in a line what takes time."""

_PREPARED = ".oddtoc-prepared"
_COMMANDS = ".oddtoc-commands"
_BUILT = ".oddtoc-built.json"
_PAHOLE = ".oddtoc-pahole"
_PAHOLE_VERSION = re.compile(r"^CONFIG_PAHOLE_VERSION=(\d)(\d+)$", re.MULTILINE)
_MODULES = ".oddtoc-modules.json"
_MODULE = "-DMODULE"
_MODULE_NAME = re.compile(r'-DKBUILD_MODNAME="(.*)"')
"""What kbuild tells files of modules (modkern_cflags and modname_flags in scripts/Makefile.lib)."""


@dataclass(frozen=True)
class KernelTree:
    """A prepared tree.

    Attributes:
        source: the root of the source, never written to.
        build: where kbuild has put what it generates.
        release: of the kernel that runs, which some code holds as a string; empty for what the source calls itself.
        compiler: what stands before `gcc`, `ld` and the like; those of this machine if empty.
    """

    source: Path
    build: Path
    release: str = ""
    compiler: str = ""

    def commands(self, files: Sequence[str]) -> dict[str, list[str]]:
        """How kbuild compiles files, by file: the words of a command that runs in `build`, without its output.

        Args:
            files: `kernel/fork.c`, relative to the source.

        Raises:
            BuildError: there is no such file, or kbuild does not know how to compile it.
        """
        known = {file: found for file in files if (found := self._remembered(file)) is not None}
        missing = [file for file in files if file not in known]
        for file in missing:
            if not (self.source / file).is_file() or not file.endswith(".c"):
                raise BuildError(f"{file} is no C file of {self.source}", advice="name it relative to the tree's root")
        if missing:
            printed = _make(self, ["-n", *(file[:-2] + ".o" for file in missing)])
            known |= dict(_parse(printed, self, missing))
        for file in missing:
            if file not in known:
                raise BuildError(f"kbuild has no command for {file}", advice="is it part of this configuration?")
            self._remember(file, known[file])
        return {file: known[file] for file in files}

    def is_built(self, file: str) -> bool:
        """Whether the kernel or a module has an object of a C file, and not only as a part of others.

        Raises:
            BuildError: make fails.
        """
        return file in self.built_units() or file in self.module_units()

    def module_of(self, file: str) -> str:
        """The module that a file is part of, as the kernel writes its name; empty for the kernel proper.

        Raises:
            BuildError: as `commands`; or the file is part of several modules.
        """
        name = _module_in(self.commands([file])[file])
        if ":" in name:
            raise BuildError(f"{file} is part of several modules: {name.replace(':', ', ')}")
        return name

    def built_units(self) -> list[str]:
        """The C files that the kernel proper is made of; kbuild is asked once, which takes a minute.

        Raises:
            BuildError: make fails.
        """
        place = self.build / _BUILT
        if not place.exists():
            # it ends where an archive is missing that it would have made
            printed = _make(self, ["-n", "-k", "vmlinux"], may_fail=True)
            found = dict(_parse(printed, self, None))
            for file, words in found.items():
                self._remember(file, words)
            place.write_text(json.dumps(sorted(found)))
        units: list[str] = _listed(place, place.stat().st_mtime_ns)
        return units

    def module_units(self) -> dict[str, str]:
        """The C files that modules are made of, each with its module; kbuild is asked once, which takes a minute.

        Raises:
            BuildError: make fails.
        """
        place = self.build / _MODULES
        if not place.exists():
            # it ends where the kernel proper is missing, behind all files
            printed = _make(self, ["-n", "-k", "modules"], may_fail=True)
            found = {file: words for file, words in _parse(printed, self, None) if _module_in(words)}
            for file, words in found.items():
                self._remember(file, words)
            place.write_text(json.dumps({file: _module_in(words) for file, words in found.items()}))
        units: dict[str, str] = _listed(place, place.stat().st_mtime_ns)
        return units

    def units_beside(self, files: Collection[str]) -> list[str]:
        """The other C files that share headers with some: those of the kernel proper; of all modules with one of these.

        Raises:
            BuildError: make fails.
        """
        of_modules = self.module_units() if any(self.module_of(file) for file in files) else {}
        return [unit for unit in (*self.built_units(), *of_modules) if unit not in files]

    def generate(self, file: str) -> None:
        """Let kbuild compile a file, which makes the headers that it generates for its folder.

        Raises:
            BuildError: make fails.
        """
        with locked(self.build.parent / f"{self.build.name}.lock"):
            _make(self, [f"{file[:-2]}.o"])

    def _remember(self, file: str, words: list[str]) -> None:
        place = self._place(file)
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(words))

    def _place(self, file: str) -> Path:
        return self.build / _COMMANDS / (file.replace("/", "+") + ".json")

    def _remembered(self, file: str) -> list[str] | None:
        try:
            found = json.loads(self._place(file).read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, list) else None


@lru_cache(maxsize=8)
def _listed(place: Path, _changed: int) -> Any:
    """What kbuild has said once; nobody may write to it."""
    return json.loads(place.read_text())


def prepare_tree(
    source: Path, config: Path, *, release: str = "", compiler: str = "", note: Note | None = None
) -> KernelTree:
    """Prepare a source tree with a configuration, or find what was prepared before.

    Args:
        source: the root of a kernel's source.
        config: the configuration that the running kernel was built with.
        release: what `uname -r` says in it, where that is not what the source calls itself.
        compiler: what stands before `gcc`, `ld` and the like; those of this machine if empty.
        note: is told what takes time.

    Raises:
        BuildError: it is no kernel source, or make fails in it.
    """
    source = source.resolve()
    if not (source / "Kconfig").is_file() or not (source / "arch/powerpc").is_dir():
        raise BuildError(f"{source} is no Linux source tree for powerpc")
    compiler = compiler or tool("gcc").removesuffix("gcc")
    key = hashlib.sha256(f"{source}\0{release}\0{compiler}gcc\0".encode() + config.read_bytes()).hexdigest()[:16]
    build = cache_folder() / "builds" / f"{source.name}-{key}"
    tree = KernelTree(source, build, release, compiler)
    build.mkdir(parents=True, exist_ok=True)
    with locked(build.parent / f"{build.name}.lock"):
        if not (build / _PREPARED).exists():
            (note or print)(f"preparing {source.name}")
            (build / ".config").write_bytes(config.read_bytes())
            _write_pahole(build / _PAHOLE, config)
            _make(tree, ["olddefconfig"], start=True)
            _make(tree, [f"-j{os.cpu_count() or 1}", "modules_prepare"], start=True)
            (build / _PREPARED).touch()
    return tree


def _write_pahole(place: Path, config: Path) -> None:
    """What only says the version that the configuration was made with.

    Options that kernels have because of it (BTF, and with that SCHED_CLASS_EXT) lay out structures; it is not run.
    """
    found = _PAHOLE_VERSION.search(config.read_text(errors="replace"))
    if found:
        place.write_text(f"#!/bin/sh\necho v{found[1]}.{found[2]}\n")
        place.chmod(0o755)


def _make(tree: KernelTree, arguments: Sequence[str], *, start: bool = False, may_fail: bool = False) -> str:
    prefix = tree.compiler or tool("gcc").removesuffix("gcc")
    where = ["-C", str(tree.source), f"O={tree.build}"] if start else ["-C", str(tree.build)]
    # no compiler of this machine is to be found that the kernel's configuration does not name
    settings = ["ARCH=powerpc", f"CROSS_COMPILE={prefix}", "RUSTC=none", f"PAHOLE={tree.build / _PAHOLE}"]
    if tree.release:
        settings.append(f"KERNELRELEASE={tree.release}")
    command = ["make", "--no-print-directory", *where, *settings, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if result.returncode and not may_fail:
        lines = [line for line in result.stderr.splitlines() if "rror" in line] or [f"status {result.returncode}"]
        raise BuildError(f"make fails in {tree.source}", output=result.stderr, advice=lines[0])
    return result.stdout


def _module_in(words: Sequence[str]) -> str:
    """The module that a compiler's call is for; several are joined by colons."""
    names = [found[1] for word in words if (found := _MODULE_NAME.fullmatch(word))]
    return names[0] if names and _MODULE in words else ""


def _parse(printed: str, tree: KernelTree, files: Sequence[str] | None) -> Iterable[tuple[str, list[str]]]:
    """Find the compilers' calls in what make would do, for all files or some; options for its outputs are left out."""
    root = f"{tree.source}/"
    for line in printed.splitlines():
        for part in line.split(";"):
            if "gcc " not in part or " -c -o " not in part:
                continue
            words = shlex.split(part)
            file = words[-1].removeprefix(root)
            wanted = words[-1].startswith(root) and file.endswith(".c") and (files is None or file in files)
            if wanted and " -E " not in part:
                place = words.index("-o")
                yield file, [word for word in words[: place - 1] if not word.startswith("-Wp,-MMD")]
