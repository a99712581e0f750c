"""The manual page, in the language of man(7), and the reference of the commands, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from oddtoc.errors import STATUSES

_EXAMPLES: Final = (
    ("Boot a kernel, patch it while it runs, and take the patch back:", (
        "oddtoc boot 6.1",
        "oddtoc build cmdline.c -o cmdline.o",
        "oddtoc apply cmdline.o --target guest:6.1",
        "oddtoc revert cmdline --target guest:6.1",
    )),
    ("Build a patch from a fix of the running kernel's source:", (
        "oddtoc build --diff fix.patch --kernel 6.1 -o fix.o",
    )),
    ("Read an answer in a program:", (
        "oddtoc status --target guest:6.1 --format json",
        "oddtoc schema status",
    )),
)  # fmt: skip
TARGETS: Final = {
    "guest:NAME": "a guest that oddtoc boot started",
    "gdb://HOST:PORT": "the gdb server of any QEMU, with --vmlinux; a path names a Unix socket instead",
    "qmp:PATH": "a QEMU that is asked through QMP to open one, with --vmlinux",
    "gdb://HOST:PORT#PID": "a process beside the gdbserver that answers there",
    "pid:N": "a process of this machine, where that is a ppc64le one",
}
"""What --target takes -> what it means."""
_FILES: Final = {
    "~/.cache/oddtoc": "kernels and sources of Debian",
    "~/.local/state/oddtoc/log.jsonl": "what was applied and reverted",
    "/etc/oddtoc/policy.toml, ~/.config/oddtoc/policy.toml": "who may patch",
}


@dataclass(frozen=True)
class CommandHelp:
    """What a command says about itself.

    Attributes:
        name: with the group's before it: "guest run".
        usage: what has to stand behind the name, or can without an option.
        about: what it does, a sentence or more.
        parameters: arguments and options as they are written, with what they mean, in order.
    """

    name: str
    usage: str
    about: str
    parameters: tuple[tuple[str, str], ...]


def manual_page(about: str, version: str, commands: Sequence[CommandHelp]) -> str:
    """The page oddtoc(1), which groff and mandoc print.

    Args:
        about: what oddtoc is, in a sentence.
        version: of oddtoc.
        commands: all of them.
    """
    lines = [
        f'.TH ODDTOC 1 "" "oddtoc {_roff(version)}" "User Commands"',
        *(".SH NAME", r"oddtoc \- live patching for ppc64le"),
        *(".SH SYNOPSIS", ".B oddtoc", r".I COMMAND", r"[\fIOPTIONS\fR] [\fIARGUMENTS\fR]"),
        *(".SH DESCRIPTION", _roff(about)),
        *(".SH COMMANDS", *_commands(commands)),
        *(".SH TARGETS", *_terms(TARGETS)),
        *(".SH EXIT STATUS", *_terms({str(int(status)): f"{text}." for status, text in STATUSES.items()})),
        *(".SH FILES", *_terms(_FILES)),
        *(".SH EXAMPLES", *_examples()),
        *(".SH SEE ALSO", r".BR gdb (1), ssh\-keygen (1), qemu\-system\-ppc64 (1)"),
    ]
    return "\n".join(lines) + "\n"


def commands_as_markdown(commands: Sequence[CommandHelp]) -> str:
    """A heading for each command, what it does, and a table of what it takes."""
    return "\n".join(line for command in commands for line in _markdown(command))


def _commands(commands: Sequence[CommandHelp]) -> Iterator[str]:
    for command in commands:
        yield f".SS {_quoted(f'oddtoc {command.name}')}"
        yield f"\\fBoddtoc {_roff(command.name)}\\fR [\\fIOPTIONS\\fR] {_roff(command.usage)}".rstrip()
        yield ".PP"
        yield _roff(command.about)
        yield from _terms(dict(command.parameters))


def _terms(terms: dict[str, str]) -> Iterator[str]:
    for term, meaning in terms.items():
        yield ".TP"
        yield f".B {_roff(term)}"
        yield _roff(meaning)


def _examples() -> Iterator[str]:
    for about, lines in _EXAMPLES:
        yield from (".PP", _roff(about), ".PP", ".RS", ".nf", *map(_roff, lines), ".fi", ".RE")


def _quoted(text: str) -> str:
    return '"' + _roff(text) + '"'


def _roff(text: str) -> str:
    """A text in which nothing is an instruction (man(7), groff_char(7))."""
    text = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("'", r"\(aq")
    return rf"\&{text}" if text.startswith(".") else text


def _markdown(command: CommandHelp) -> Iterator[str]:
    yield from (f"## oddtoc {command.name}", "", command.about, "")
    yield from ("```text", f"oddtoc {command.name} [OPTIONS] {command.usage}".rstrip(), "```", "")
    if command.parameters:
        yield from ("| argument or option | meaning |", "|---|---|")
        for term, meaning in command.parameters:
            yield f"| `{term}` | {_cell(meaning)} |"
        yield ""


def _cell(text: str) -> str:
    """A text that stays in its cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
