"""What the corpus consists of: the C files of a running kernel that a newer version of its source changes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from oddtoc.build.items import split_items
from oddtoc.build.reach import included_sources
from oddtoc.build.tree import KernelTree

FOLDERS = (
    *("kernel", "mm", "fs", "block", "lib", "ipc", "security"),
    *("net/core", "net/ipv4", "net/ipv6", "net/unix", "net/netlink", "net/sched"),
)
"""The core folders."""
_IN_CORE = tuple(f"{folder}/" for folder in FOLDERS)


def changed_files(tree: KernelTree, new: Path) -> dict[str, str]:
    """The C files of core folders that differ in a newer source, each with its module; empty for the kernel proper."""
    built = {**dict.fromkeys(tree.built_units(), ""), **tree.module_units()}
    core = {file: built[file] for file in built if file.startswith(_IN_CORE)}
    return {file: module for file, module in core.items() if _differ(tree.source / file, new / file)}


def included_files(tree: KernelTree, new: Path) -> list[str]:
    """The C files of core folders that are part of others and differ in a newer source."""
    built = {*tree.built_units(), *tree.module_units()}
    parts = (file for file, by in included_sources(tree).items() if file not in built and not built.isdisjoint(by))
    return [file for file in parts if file.startswith(_IN_CORE) and _differ(tree.source / file, new / file)]


def definers(tree: KernelTree, new: Path, symbol: str, files: Collection[str]) -> list[str]:
    """The changed files that define a function or variable in the newer source and not in the older one."""
    return [file for file in files if _defines(new / file, symbol) and not _defines(tree.source / file, symbol)]


def _defines(path: Path, symbol: str) -> bool:
    text = path.read_text(errors="replace")
    items = split_items(text) if symbol in text else []
    return any(symbol in item.names and item.kind in ("function", "declaration") for item in items)


def _differ(old: Path, new: Path) -> bool:
    return new.is_file() and old.read_bytes() != new.read_bytes()
