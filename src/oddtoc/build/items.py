"""The top level of a C file cut into its items: declarations, definitions, and preprocessor lines.

Text, not syntax: what stands between two ends of a declaration is an item, whatever the configuration makes of it. So
an item can be looked up by its name in one version of a header and put into another.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from stat import S_ISREG

_SKIPPED = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_TOKEN = re.compile(r"^[ \t]*#[ \t]*(\w*)(?:[^\n\\]|\\.)*|[(){}\[\];]", re.DOTALL | re.MULTILINE)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_TAGGED = re.compile(r"(?:typedef\s+)?(?:static\s+|const\s+|extern\s+)*(struct|union|enum)\b([^{;()=]*)\{")
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*\(")
_INVOCATION = re.compile(r"\s*[A-Za-z_]\w*\s*\(")
_CONSTANT = re.compile(r"(?:^|[{,])\s*([A-Za-z_]\w*)\s*(?=[=,}]|$)")
_ATTRIBUTE = re.compile(r"__attribute__|__\w+|noinline|asmlinkage|notrace|DECLARE_\w+|sizeof|typeof|IS_ENABLED")
_NO_INVOCATION = ("__", "SYSCALL", "COMPAT_SYSCALL")
"""Begin of attributes, and of macros that a body follows."""
CONDITIONS = frozenset(("if", "ifdef", "ifndef", "else", "elif", "endif"))


@dataclass(frozen=True)
class Item:
    """One item of a file.

    Attributes:
        text: all of it, with comments and the line's end.
        kind: `struct`, `union`, `enum`, `function` (a definition), `declaration`, `invocation` (of a macro), `define`,
            `include`, another directive by its name, or `space`.
        names: what it declares or defines, the main one first.
    """

    text: str
    kind: str
    names: tuple[str, ...]

    @cached_property
    def plain(self) -> str:
        """Its words alone: without comments, each space a single one, and `int` where it goes without saying."""
        words = " ".join(re.sub(r"\\\n", " ", without_comments(self.text)).split())
        return re.sub(r"\bunsigned(?! (?:int|long|short|char)\b)", "unsigned int", words)

    @cached_property
    def mentions(self) -> frozenset[str]:
        """All names in it."""
        return identifiers(self.text)

    @property
    def is_condition(self) -> bool:
        """Whether it is a line of a conditional."""
        return self.kind in CONDITIONS


def identifiers(text: str) -> frozenset[str]:
    """All names in a piece of C."""
    return frozenset(_IDENTIFIER.findall(blank(text)))


def without_comments(text: str) -> str:
    """The text with a space for each comment."""
    return _SKIPPED.sub(lambda match: match[0] if match[0][0] in "\"'" else " ", text)


def read_text(path: Path) -> str:
    """A file's text, every byte kept; nothing if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return _text(path, status.st_ino, status.st_mtime_ns, status.st_size) if S_ISREG(status.st_mode) else ""


@lru_cache(maxsize=5000)
def _text(path: Path, *_state: int) -> str:
    """A file's text, kept as long as the file is the same: the headers of two trees are asked for again and again."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def differing_lines(old: str, new: str) -> str:
    """The lines that one of two texts has and the other has not, comments aside."""
    before, after = (without_comments(text).splitlines() for text in (old, new))
    found = difflib.unified_diff(before, after, lineterm="", n=0)
    return "\n".join(line[1:] for line in list(found)[2:] if line[:1] in "+-")


def split_items(text: str) -> list[Item]:
    """Cut a file into items, which put together are the file again."""
    return [_item(text[start:end]) for start, end in _spans(text)]


@lru_cache(maxsize=2000)
def items_of(text: str) -> list[Item]:
    """As `split_items`, kept for the next one who asks: nobody may write to it."""
    return split_items(text)


def blank(text: str) -> str:
    """The text with spaces for comments and strings, place by place."""
    return _SKIPPED.sub(lambda match: re.sub(r"[^\n\\]|\\(?!\n)", " ", match[0]), text)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    plain = blank(text)
    start = depth = 0
    outer: list[int] = []
    has_body = False
    for token in _TOKEN.finditer(plain):
        sign, place = token[0][-1], token.end()
        if token[1] is not None:
            is_inside = depth > 0 or bool(plain[start : token.start()].strip())
            depth = _depth_behind(token[1], depth, outer)
            is_end = not is_inside
        elif sign in "({[":
            has_body |= sign == "{" and depth == 0 and _is_function(plain[start : token.start()])
            depth += 1
            continue
        else:
            depth = max(depth - (sign != ";"), 0)
            whole = sign == ";" or (sign == "}" and has_body) or (sign == ")" and _is_invocation(plain, start, place))
            is_end = depth == 0 and whole
        if is_end:
            end = _behind(plain, place)
            yield start, end
            start, has_body = end, False
    if start < len(text):
        yield start, len(text)


def _depth_behind(word: str, depth: int, outer: list[int]) -> int:
    """How deep in braces the text behind a directive is: branches of a conditional begin where the first one does."""
    if word in ("if", "ifdef", "ifndef"):
        outer.append(depth)
    elif word in ("else", "elif") and outer:
        return outer[-1]
    elif word == "endif" and outer:
        outer.pop()
    return depth


def _behind(plain: str, place: int) -> int:
    """Behind the line's end, where nothing else stands in the line."""
    end = plain.find("\n", place)
    end = len(plain) if end < 0 else end + 1
    return end if not plain[place:end].strip() else place


def _is_function(head: str) -> bool:
    return bool(re.search(r"\)[\s\w()]*\Z", head)) and "=" not in head


def _is_invocation(plain: str, start: int, place: int) -> bool:
    """Whether a macro's call stands for itself: nothing before it, and no body or semicolon behind it."""
    first = _INVOCATION.match(plain, start)
    if first is None or first[0].lstrip().startswith(_NO_INVOCATION) or _behind(plain, place) == place:
        return False
    following = plain[place : place + 400].lstrip()
    return following[:1] not in (";", "{", "=", ",") and _closes(plain, first.end(), place)


def _closes(plain: str, inside: int, place: int) -> bool:
    """Whether the parenthesis that opens before one place closes at another."""
    depth = 1
    for index in range(inside, place):
        depth += (plain[index] == "(") - (plain[index] == ")")
        if depth == 0:
            return index == place - 1
    return False


def _item(text: str) -> Item:
    plain = blank(text).strip()
    directive = _TOKEN.match(plain)
    if not plain:
        return Item(text, "space", ())
    if directive and plain.startswith("#"):
        word = directive[1]
        names = _IDENTIFIER.findall(plain[directive.end(1) :])[:1] if word in ("define", "undef") else []
        return Item(text, word, tuple(names))
    tagged = _TAGGED.match(plain)
    if tagged:
        tags = _IDENTIFIER.findall(re.sub(r"__\w+\(.*?\)|__packed|__randomize_layout", "", tagged[2]))
        names = [*tags[-1:], *_declared(plain[plain.rfind("}") + 1 :])]
        if tagged[1] == "enum":
            names += _CONSTANT.findall(re.sub(r"\n\s*#[^\n]*", "\n", plain[tagged.end() - 1 : plain.rfind("}") + 1]))
        return Item(text, tagged[1], tuple(names))
    invoked = _INVOCATION.match(plain)
    if invoked and _closes(plain, invoked.end(), len(plain.rstrip(" \t\n;"))):
        return Item(text, "invocation", tuple(_invoked(plain)))
    head, brace, _ = plain.partition("{")
    if brace and _is_function(head):
        return Item(text, "function", tuple(_called(head)))
    return Item(text, "declaration", tuple(_called(head) or _declared(head)))


def _invoked(plain: str) -> list[str]:
    """What a macro's call may define: told by its first argument, as `DEFINE_GUARD` and `TRACE_EVENT` do."""
    macro, _, arguments = plain.partition("(")
    first = _IDENTIFIER.findall(arguments.split(",", 1)[0])[-1:]
    return [*first, *(f"trace_{name}" for name in first if macro.endswith("EVENT"))]


def _called(head: str) -> list[str]:
    """The name of the function in its head, or of the type in `typedef int (*name)(...)`."""
    flat, depth = [], 0
    for char in head:
        depth -= char == ")"
        if depth == 0:
            flat.append(char)
        depth += char == "("
    pointer = re.search(r"\(\s*\*?\s*(?:const\s+)?(\w+)\s*[\[)(]", head)
    if pointer and head.startswith("typedef"):
        return [pointer[1]]
    found = _CALLED.findall("".join(flat))
    plain = [name for name in found if not _ATTRIBUTE.fullmatch(name)]
    return plain[:1] or found[-1:]


def _declared(head: str) -> list[str]:
    """The last name before the end, an array's size or a first value."""
    head = re.split(r"[=\[]", re.sub(r"__\w+(\([^;]*\))?", "", head), maxsplit=1)[0]
    return _IDENTIFIER.findall(head)[-1:]
