"""Members in the text of structures, and in code that accesses them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from oddtoc.build.items import blank, items_of, without_comments

ACCESS = re.compile(r"(?:->|\.)\s*([A-Za-z_]\w*)")
_POINTER = re.compile(r"\(\s*\*\s*(?:const\s+)?([A-Za-z_]\w*)\s*\)\s*\(")
_INSIDE = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_LAST = re.compile(rf"([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*|:\s*\w+\s*|__\w+\s*(?:{_INSIDE})?\s*)*$")
"""The name before an array's size, a bit field's width, or attributes (three parentheses deep at most)."""
_NO_COMMA = re.compile(rf"{_INSIDE}|\[[^\]]*\]")
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.)*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Declaration:
    """A declaration in the body of a structure.

    Attributes:
        text: its words.
        end: the place in the structure's text behind its semicolon.
        names: what it declares; nothing for members without a name.
    """

    text: str
    end: int
    names: tuple[str, ...]


def declarations(structure: str) -> list[Declaration]:
    """Those of a structure itself, without what stands inside of structures and unions in it."""
    plain = _DIRECTIVE.sub(lambda found: " " * len(found[0]), blank(structure))
    begin, depth = plain.find("{") + 1, 0
    found = []
    for sign in re.finditer(r"[{}();]", plain):
        depth += (sign[0] in "{(") - (sign[0] in "})")
        if depth == 1 and sign[0] == ";":
            words = " ".join(plain[begin : sign.start()].split())
            found.append(Declaration(words, sign.end(), tuple(_names(words))))
            begin = sign.end()
    return found


def _names(words: str) -> Iterator[str]:
    """What a declaration declares."""
    behind = words.rpartition("}")[2]
    for part in _NO_COMMA.sub(lambda found: found[0].replace(",", " "), behind).split(","):
        if name := _POINTER.search(part) or _LAST.search(part.strip()):
            yield name[1]


def accessed_members(code: str) -> set[str]:
    """The names behind `.` and `->` in code, those of designated initializers among them."""
    return set(ACCESS.findall(without_comments(code)))


def changed_accesses(old: str, new: str) -> set[str]:
    """The members that items of a file come to access, or cease to: told by how often each item does."""
    counts: list[dict[str, Counter[str]]] = [defaultdict(Counter), defaultdict(Counter)]
    for text, found in zip((old, new), counts, strict=True):
        for item in items_of(text):
            found[item.names[0] if item.names else ""].update(ACCESS.findall(without_comments(item.text)))
    before, after = counts
    return {
        member
        for name in before.keys() | after.keys()
        for member in before[name].keys() | after[name].keys()
        if before[name][member] != after[name][member]
    }


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
    body = _DIRECTIVE.sub("", without_comments(text)).partition("{")[2]
    found = {}
    for part in re.split(r"[;{}]", body):
        words = " ".join(part.split())
        if name := _POINTER.search(words) or _LAST.search(words):
            found[name[1]] = words
    return found
