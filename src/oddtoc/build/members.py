"""Members in the text of structures, and in code that accesses them."""

from __future__ import annotations

import re

from oddtoc.build.items import without_comments

_ACCESS = re.compile(r"(?:->|\.)\s*([A-Za-z_]\w*)")
_POINTER = re.compile(r"\(\s*\*\s*(?:const\s+)?([A-Za-z_]\w*)\s*\)\s*\(")
_INSIDE = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_LAST = re.compile(rf"([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*|:\s*\w+\s*|__\w+\s*(?:{_INSIDE})?\s*)*$")
"""The name before an array's size, a bit field's width, or attributes (three parentheses deep at most)."""


def accessed_members(code: str) -> set[str]:
    """The names behind `.` and `->` in code, those of designated initializers among them."""
    return set(_ACCESS.findall(without_comments(code)))


def changed_members(old: str, new: str) -> set[str]:
    """The members that two versions of a structure both have, declared in other words."""
    before, after = _declarations(old), _declarations(new)
    return {name for name in before.keys() & after.keys() if before[name] != after[name]}


def changed_pointers(old: str, new: str) -> set[str]:
    """Those of them that point to something else, or to functions that take something else: no layout tells that."""
    before, after = _declarations(old), _declarations(new)
    return {
        name
        for name in changed_members(old, new)
        if "*" in before[name] + after[name] and _unqualified(before[name]) != _unqualified(after[name])
    }


def points_to_code(structure: str, member: str) -> bool:
    """Whether a member of a structure is a pointer to a function."""
    return bool(_POINTER.search(_declarations(structure).get(member, "")))


def _unqualified(declaration: str) -> str:
    words = re.sub(r"\b(?:const|volatile|__rcu|__user|__percpu|__iomem)\b", "", declaration)
    return "".join(words.split())


def defined_within(structure: str) -> set[str]:
    """The macros without parameters that stand among the members of a structure."""
    return set(re.findall(r"^[ \t]*#[ \t]*define[ \t]+([A-Za-z_]\w*)[ \t]", structure, re.MULTILINE))


def _declarations(text: str) -> dict[str, str]:
    """Member -> its declaration; of several in one only the last."""
    body = without_comments(text).partition("{")[2]
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
    found = {}
    for part in re.split(r"[;{}]", "\n".join(lines)):
        words = " ".join(part.split())
        if name := _POINTER.search(words) or _LAST.search(words):
            found[name[1]] = words
    return found
