"""Structures of one C file whose objects are on stacks alone: they may be laid out anew.

Every object is a local variable, so it lives as long as a call of the function that has it. Functions are replaced when
nobody is in them: no object of the old layout is left then, and every function whose code depends on the layout is
among those that are replaced. It is told from the text, and only where that is plain: the structure is defined in the
file and named in no header; its objects are local variables, of which members are used, or whose address is handed to
functions of the file; its pointers are parameters, and nothing else is done with them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from oddtoc.build.items import Item, split_items, without_comments
from oddtoc.build.slots import in_tree

_TOKEN = re.compile(r"[A-Za-z_]\w*|->|\"(?:\\.|[^\"\\])*\"|\S")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_HEADERS = ("include", "arch/powerpc", "block", "fs", "ipc", "kernel", "lib", "mm", "net", "security")


def only_on_stacks(structure: str, root: Path, *files: Path) -> bool:
    """Whether all objects of a structure are local variables, in every version of a file.

    Args:
        structure: its name.
        root: of the running kernel's source.
        files: the versions.
    """
    if is_in_header(structure, root):
        return False
    return all(_is_plain(structure, split_items(file.read_text(errors="replace"))) for file in files)


@in_tree
def is_in_header(structure: str, root: Path) -> bool:
    """Whether a header names a structure.

    Args:
        structure: its name.
        root: of the running kernel's source.
    """
    command = ["grep", "-rslw", "--include=*.h", f"struct {structure}", *_HEADERS]
    return bool(subprocess.run(command, cwd=root, capture_output=True, check=False).stdout)


def _is_plain(structure: str, items: Sequence[Item]) -> bool:
    functions = {item.names[0] for item in items if item.kind == "function" and item.names}
    is_defined = any(item.kind == "struct" and item.names[:1] == (structure,) for item in items)
    takes_code = any(item.kind == "include" and re.search(r"\.c[\">]", item.text) for item in items)
    return (
        is_defined
        and not takes_code
        and all(_use_is_plain(structure, item, functions) for item in items if structure in item.mentions)
    )


def _use_is_plain(structure: str, item: Item, functions: Collection[str]) -> bool:
    tokens = _TOKEN.findall(without_comments(item.text))
    if item.kind == "struct" and item.names[:1] == (structure,):
        return tokens.count(structure) == 1
    if item.kind == "declaration":
        # a prototype, or the name alone
        plain = tokens == ["struct", structure, ";"] or ("=" not in tokens and "(" in tokens)
        return (
            plain and "(*" not in "".join(tokens) and all(tokens[at + 1] in "*;" for at in _places(structure, tokens))
        )
    if item.kind != "function":
        return False
    variables = list(_variables(structure, tokens, tokens.index("{")))
    return None not in variables and all(
        _is_used_plainly(name, is_object, tokens, functions) for name, is_object in filter(None, variables)
    )


def _variables(structure: str, tokens: Sequence[str], body: int) -> Iterator[tuple[str, bool] | None]:
    """Parameters that point to a structure, and local objects of it, each with whether it is one; None for all else."""
    for at in _places(structure, tokens):
        first, second, third = tokens[at + 1 : at + 4]
        if tokens[at - 1] != "struct":
            yield None
        elif at < body and first == "*" and _NAME.match(second) and third in ",)":
            yield second, False
        elif at > body and _NAME.match(first) and second in "=;" and tokens[at - 2] in "{};":
            yield first, True
        else:
            yield None


def _is_used_plainly(name: str, is_object: bool, tokens: Sequence[str], functions: Collection[str]) -> bool:
    """Whether only its members are used, or its address is handed to a function of the file."""
    for at in _places(name, tokens):
        before, behind = tokens[at - 1], tokens[at + 1]
        is_member, is_declared = before in ("->", "."), before == "*" and tokens[at - 3] == "struct"
        is_declared |= is_object and tokens[at - 2] == "struct"
        if is_member or is_declared or behind == ("." if is_object else "->"):
            continue
        start = at - 1 if is_object and before == "&" else at
        is_argument = tokens[start - 1] in "(," and behind in ",)" and (start < at or not is_object)
        if not is_argument or _called(tokens, start) not in functions:
            return False
    return True


def _called(tokens: Sequence[str], at: int) -> str:
    """The function that an argument is for."""
    depth = 0
    for place in range(at - 1, 0, -1):
        depth += (tokens[place] == ")") - (tokens[place] == "(")
        if depth < 0:
            return tokens[place - 1]
    return ""


def _places(name: str, tokens: Sequence[str]) -> list[int]:
    return [at for at, token in enumerate(tokens) if token == name]
