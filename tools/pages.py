# SPDX-License-Identifier: GPL-2.0-only
"""The pages and pictures of the documentation that are made of the program itself, when mkdocs builds the site."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import oddtoc
from oddtoc.build.compile import compile_patch
from oddtoc.cli import app
from oddtoc.cli.tree import command_helps
from oddtoc.errors import STATUSES
from oddtoc.explain.choice import replacement_of
from oddtoc.explain.emulator import run_stage
from oddtoc.explain.stage import build_stage
from oddtoc.explain.story import Story, tell
from oddtoc.explain.trace import Call
from oddtoc.link.object import PatchObject
from oddtoc.mechanism.catalog import by_name
from oddtoc.report.explain import story_as_page
from oddtoc.report.manual import commands_as_markdown
from oddtoc.report.picture import story_as_picture
from oddtoc.report.schemas import SCHEMAS
from oddtoc.report.schemas.parts import Schema

_PACKAGE = Path(oddtoc.__file__).parent
_HEADERS = ("oddtoc.h", "oddtoc_callbacks.h", "oddtoc_shadow.h", "oddtoc_state.h")
CALLS = (
    ("shared-toc", Call.LOCAL),
    ("guarded/slot", Call.LOCAL),
    ("guarded/slot", Call.GLOBAL),
    ("guarded/slot", Call.SIBLING),
    ("odd-toc/cr4", Call.LOCAL),
    ("odd-toc/cr4", Call.SIBLING),
)
"""The calls that are explained with a picture."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here (an event of mkdocs)."""
    for path, content in {**_pages(), **_pictures()}.items():
        files.append(File.generated(config, path, content=content))
    return files


def _pages() -> dict[str, str]:
    return {
        "reference/commands.md": _commands(),
        "reference/json.md": _answers(),
        "reference/headers.md": _headers(),
    }


def _commands() -> str:
    about = "# Commands\n\nWhat `oddtoc COMMAND --help` says, and the manual page `oddtoc(1)`. "
    about += "What a command exits with stands in [Answers for programs](json.md#exit-status).\n\n"
    about += "Shells complete commands, options, targets, kernels, mechanisms and the patches that are applied: "
    about += "`oddtoc --install-completion` once, for bash, zsh or fish.\n\n"
    return about + commands_as_markdown(command_helps(app))


def _answers() -> str:
    lines = [
        "# Answers for programs",
        "",
        "Every command that has an answer gives it in JSON when `--format json` is asked for, on standard output, and "
        "nothing else there. What else is to be said goes to standard error. `oddtoc schema COMMAND` prints the JSON "
        "Schema of an answer; the tables below are those schemas, and the tests hold each answer against its own.",
        "",
        "Addresses and words are strings (`0x...`): many readers of JSON keep numbers in 53 bits.",
        "",
        "## Exit status",
        "",
        "| status | meaning |",
        "|---|---|",
        *(f"| {int(status)} | {meaning} |" for status, meaning in STATUSES.items()),
        "",
        "A command line that makes no sense is told on standard error alone.",
        "",
        "`oddtoc guest run` exits with the status of the command that it ran. `oddtoc check` exits with 4 when a "
        "finding is an error, and `oddtoc scan` with 1 when a file could not be scanned; their answers are whole then.",
        "",
    ]
    for command, schema in SCHEMAS.items():
        title = "Errors" if command == "error" else f"oddtoc {command}"
        lines += [f"## {title}", "", *_schema_lines(schema), ""]
    return "\n".join(lines)


def _schema_lines(schema: Schema) -> Iterator[str]:
    """What an answer is, in a sentence, and a table of its keys."""
    ways = schema.get("anyOf", [schema])
    if len(ways) > 1:
        yield from (f"{_sentence(schema)}", "")
    for way in ways:
        yield from (f"{_sentence(way)}{' A list of these:' if way['type'] == 'array' else ''}", "")
        yield from ("| key | type | meaning |", "|---|---|---|")
        yield from _rows(way, "")
        yield ""


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    inner = _bare(schema)
    if inner.get("type") == "array":
        yield from _rows(inner["items"], f"{prefix}[]" if prefix else "")
    for name, value in inner.get("properties", {}).items():
        key = f"{prefix}.{name}" if prefix else name
        left_out = "" if name in inner["required"] else " (not always there)"
        yield f"| `{key}` | {_type(value)} | {_text(value)}{left_out} |"
        yield from _rows(value, key)


def _bare(schema: Schema) -> Schema:
    """What it is when it is there."""
    return schema["anyOf"][0] if "anyOf" in schema and schema["anyOf"][-1] == {"type": "null"} else schema


def _type(schema: Schema) -> str:
    inner = _bare(schema)
    if "pattern" in inner:
        return '"0x..."'
    if inner["type"] == "object" and isinstance(inner.get("additionalProperties"), dict):
        return f"object of {inner['additionalProperties']['type']}s"
    return f"list of {inner['items']['type']}s" if inner["type"] == "array" else str(inner["type"])


def _text(schema: Schema) -> str:
    words = _bare(schema).get("enum", [])
    listed = f": {', '.join(f'`{word}`' for word in words)}" if words else ""
    return f"{schema.get('description', '')}{listed}".replace("|", "\\|").replace("<", "&lt;")


def _sentence(schema: Schema) -> str:
    words = str(schema["description"])
    return f"{words[0].upper()}{words[1:]}."


def _headers() -> str:
    parts = ["# Headers of a patch", "", "What a hand-written patch includes; each header has its rules at the top."]
    for name in _HEADERS:
        text = (_PACKAGE / "build/include" / name).read_text(encoding="utf-8")
        parts += ["", f"## {name}", "", "```c", text.rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _pictures() -> dict[str, str]:
    """Calls of a patched function, run in the laboratory: a picture and a page to step through for each."""
    made: dict[str, str] = {}
    ways: dict[str, Callable[[Story], str]] = {"svg": story_as_picture, "html": story_as_page}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cmdline.o")
        compile_patch(_PACKAGE / "samples/cmdline.c", path)
        patch = PatchObject.open(path)
        for name, call in CALLS:
            stage = build_stage(patch, replacement_of(patch, "cmdline_proc_show"), by_name(name), call)
            story = tell(run_stage(stage, name, call))
            made |= {f"pictures/{name.replace('/', '-')}-{call}.{ext}": way(story) for ext, way in ways.items()}
    return made
