"""Which units of a kernel a header reaches.

Candidates are told from the text: who includes a header of that name, directly or through others. That can only be too
many; which of them really were made of it is known when they have been compiled.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath

from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.tree import KernelTree

_GRAPH = ".oddtoc-includes.json"
_INCLUDE = r'^\s*#\s*include\s+[<"]'
_IN_ALL = frozenset(f"include/linux/{name}.h" for name in ("kconfig", "compiler_types", "compiler-version"))
"""Included on the command line (LINUXINCLUDE and c_flags in Kbuild's makefiles)."""
_GENERIC, _WRAPPERS = "include/asm-generic/", ("arch/powerpc/include/asm/", "arch/powerpc/include/generated/asm/")
FOR_ALL = ("include/", "arch/")
"""Where headers are that all may include."""
MOST_UNITS = 60
Graph = dict[str, list[tuple[str, str]]]


def units_reached(
    tree: KernelTree, headers: Iterable[str], files: Iterable[str] = (), *, most: int = MOST_UNITS
) -> list[str]:
    """The units that may be made of one of these headers.

    They are those of the kernel proper, and of modules: all that have it from their own folders, and of what all can
    include those of the modules that a fix changes anyway.

    Args:
        tree: the prepared tree.
        headers: relative to its root.
        files: what the fix changes.
        most: how many are too many.

    Raises:
        RefusedError: there are more.
    """
    found: set[str] = set()
    built = set(tree.built_units())
    modules = {tree.module_of(file) for file in files} - {""}
    for header in headers:
        reached = _includers(_graph(tree), header)
        units = built if reached & _IN_ALL else reached & built
        is_private = not header.startswith(FOR_ALL)
        if is_private or modules:
            of_modules = tree.module_units()
            units = units | {u for u in reached & of_modules.keys() if is_private or of_modules[u] in modules}
        if len(found | units) > most:
            raise RefusedError(
                [Refusal("reach", header, "the header", f"reaches {len(units)} files, more than {most}")]
            )
        found |= units
    return sorted(found)


def units_of(tree: KernelTree, file: str, *, most: int = MOST_UNITS) -> list[str]:
    """The units that may be made of a C file: itself, and those that include it, as kernel/sched/build_utility.c does.

    Args:
        tree: the prepared tree.
        file: relative to its root.
        most: how many are too many.

    Raises:
        RefusedError: there are more, or none. BuildError: kbuild does not know what the kernel is made of.
    """
    found = [other for other in sorted(_includers(_graph(tree), file) - {file}) if other.endswith(".c")]
    if len(found) > most:
        raise RefusedError([Refusal("reach", file, "the file", f"reaches {len(found)} files, more than {most}")])
    if not found:
        return [file]
    units = [unit for unit in (file, *found) if tree.is_built(unit)]
    if not units:
        raise RefusedError([Refusal("not-running", file, "the file", "is part of nothing that is built")])
    return units


def sources_beside(tree: KernelTree, files: Collection[str]) -> list[str]:
    """The C files that share headers with some: the units beside them, and the files that these units include.

    Raises:
        BuildError: kbuild does not know what the kernel is made of.
    """
    units = tree.units_beside(files)
    there = {*units, *files}
    included = included_sources(tree).items()
    return [*units, *(file for file, by in included if file not in there and not there.isdisjoint(by))]


@lru_cache(maxsize=2)
def included_sources(tree: KernelTree) -> dict[str, set[str]]:
    """The C files that others include, as kernel/sched/psi.c, each with these; told from the text, built or not."""
    graph = _graph(tree)
    found: set[str] = set()
    for name, places in graph.items():
        for plain, includer in places if name.endswith(".c") else ():
            above = (str(parent / plain) for parent in PurePosixPath(includer).parents)
            found |= {*[path for path in above if (tree.source / path).is_file()][:1]}
    return {file: _includers(graph, file) - {file} for file in sorted(found)}


@lru_cache(maxsize=200)
def includers(tree: KernelTree, header: str) -> frozenset[str]:
    """All files that may be made of a header, told from the text: rather too many.

    Args:
        tree: the prepared tree.
        header: relative to its root.
    """
    return frozenset(_includers(_graph(tree), header))


def _includers(graph: Graph, header: str) -> set[str]:
    """All files that include a header, directly or through others, itself among them."""
    found, fresh = {header}, [header]
    while fresh:
        for path in _names(fresh.pop()):
            for name, includer in graph.get(PurePosixPath(path).name, ()):
                if includer not in found and f"/{path}".endswith(f"/{name}"):
                    found.add(includer)
                    fresh.append(includer)
    return found


def _names(path: str) -> list[str]:
    """The paths that a file can be included by: generated wrappers include generic headers."""
    if path.startswith(_GENERIC):
        return [path, *(wrapper + path.removeprefix(_GENERIC) for wrapper in _WRAPPERS)]
    return [path]


@lru_cache(maxsize=2)
def _graph(tree: KernelTree) -> Graph:
    """Base name of a header -> how it is included, and by which file; kept beside the build."""
    place = tree.build / _GRAPH
    try:
        stored: Graph = json.loads(place.read_text())
        return stored
    except (OSError, ValueError):
        graph = _read_graph(tree.source)
        place.write_text(json.dumps(graph))
        return graph


def _read_graph(source: Path) -> Graph:
    command = ["grep", "-rE", "--include=*.[chS]", "--exclude-dir=Documentation", _INCLUDE, "."]
    printed = subprocess.run(command, cwd=source, capture_output=True, check=False).stdout.decode(errors="replace")
    graph: Graph = defaultdict(list)
    for line in printed.splitlines():
        includer, _, text = line.partition(":")
        quoted = text.split("include", 1)[1].strip()
        name = quoted[1:].split(">" if quoted[0] == "<" else '"', 1)[0]
        plain = "/".join(part for part in name.split("/") if part not in ("..", "."))
        graph[PurePosixPath(plain).name].append((plain, includer.removeprefix("./")))
    return dict(graph)
