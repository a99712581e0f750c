"""A patched call, step by step: text for a terminal, JSON, and one page to step through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from oddtoc.explain.story import BORROWED, SHOWN, Change, Place, Step, Story, register
from oddtoc.explain.trace import HEADER_NAMES, State
from oddtoc.report.template import filled, script_data

if TYPE_CHECKING:
    from rich.text import Text

_ODD, _BORROWED, _CHANGED, _PLACE, _DIM, _WRONG, _RIGHT = (
    "bold magenta", "yellow", "bold", "bold cyan", "dim", "bold red", "bold green"
)  # fmt: skip
_ASSEMBLY_WIDTH = 24
_REMARK, _WIDTH = 30, 100
"""Columns: where remarks begin, and of a line."""


def story_as_text(story: Story) -> Text:
    """At most 100 columns; a line for each instruction, with what it changes, under a heading for each part."""
    from rich.text import Text

    lines = [Text(headline(story), "bold"), Text(_second_line(story)), _legend()]
    place: Place | None = None
    for step in story.steps:
        if step.place is not place:
            place = step.place
            lines += [Text(), Text(heading(place, story), _PLACE)]
        lines += _step_lines(step)
    lines += [Text(), *_header_lines(story), Text()]
    lines.append(Text(cost(story)))
    right = story.verdict.right
    lines.append(Text.assemble(("right: " if right else "WRONG: ", _RIGHT if right else _WRONG), story.verdict.text))
    return Text("\n").join(lines)


def story_as_json(story: Story) -> str:
    """An object: what was called and how, `steps` with changes and states, and the verdict. Numbers in hexadecimal."""
    return json.dumps(_record(story), indent=2)


def story_as_page(story: Story) -> str:
    """A page of HTML that needs nothing else: to be stepped through with the arrow keys."""
    return filled("explain.html", TITLE=escape(headline(story)), STORY=script_data(_record(story)))


def _how(story: Story) -> str:
    return {"local": "locally", "global": "globally", "sibling": "by a sibling call"}[story.call]


def headline(story: Story) -> str:
    """What was called, how, and redirected by what."""
    return f"{story.function}, called {_how(story)}, redirected by {story.mechanism}"


def cost(story: Story) -> str:
    """How many instructions the patch adds to the call."""
    way_in, way_back = story.cost
    return f"above an unpatched call: {way_in} on the way in, {way_back} on the way back"


def _second_line(story: Story) -> str:
    return f"{len(story.steps)} instructions seen in {story.where}; caller's frame r1 = {story.frame:x}"


def _legend() -> Text:
    from rich.text import Text

    return Text.assemble(
        ("odd TOC", _ODD), ": the call came through the marked global entry    ",
        ("borrowed", _BORROWED), ": caller's frame words in use",
    )  # fmt: skip


def heading(place: Place, story: Story) -> str:
    """What the instructions of a place are, in words."""
    caller = f" ({story.caller})" if story.caller else ""
    names = {
        Place.ENTRY: f"global entry of {story.function}",
        Place.SITE: f"site of {story.function}",
        Place.CALLER: f"caller{caller}",
        Place.BACK: f"caller again{caller}",
        Place.CHAIN: "the function that the caller called, which jumps on",
    }
    return names.get(place, place.value)


def _step_lines(step: Step) -> Iterator[Text]:
    from rich.text import Text

    changes = [_change(change, step) for change in step.changes] or [Text()]
    head = f"{step.number:>4} {step.address:016x} {step.offset:>+#6x}  {step.assembly:<{_ASSEMBLY_WIDTH}} "
    first = Text(head)
    if step.inferred:
        first.stylize(_DIM)
    room = len(head) - len(first.plain.rstrip()) + 44
    if len(changes[0].plain) > room - 2 or len(head) > 56:
        yield Text(head.rstrip())
        first = Text(" " * 56)
    yield _joined(first, changes[0])
    for change in changes[1:]:
        yield _joined(Text(" " * 56), change)
    if step.remark:
        yield from (Text(" " * _REMARK + line, _DIM) for line in wrap(step.remark, _WIDTH - _REMARK))


def _joined(head: Text, tail: Text) -> Text:
    head.append_text(tail)
    head.rstrip()
    return head


def _change(change: Change, step: Step) -> Text:
    from rich.text import Text

    meaning = change.meaning
    text = Text(f"{change.what} {change.after:0{change.width}x}")
    text.stylize(_style(change, step))
    if meaning:
        text.append(f" {meaning}"[: 44 - len(text.plain)], "dim")
    return text


def _style(change: Change, step: Step) -> str:
    if change.what == "r2" and step.odd:
        return _ODD
    if change.what in [f"{offset}(r1)" for offset in step.borrowed]:
        return _BORROWED
    return _CHANGED if change.what in (*SHOWN, *(f"{offset}(r1)" for offset in HEADER_NAMES)) else ""


def _header_lines(story: Story) -> Iterator[Text]:
    """The caller's frame header before the call, in the replacement, and behind the call."""
    from rich.text import Text

    last = next((step for step in reversed(story.steps) if step.place is Place.REPLACEMENT), story.steps[-1])
    states = [story.steps[0].before, last.after, story.steps[-1].after]
    titles = ("before", "in the replacement", "behind the call")
    yield Text(f"{'frame of the caller':<26}{''.join(f'{title:<20}' for title in titles)}".rstrip(), _PLACE)
    for offset, name in HEADER_NAMES.items():
        line = Text(f"  {f'{offset}(r1)':<8}{name:<16}")
        for index, state in enumerate(states):
            width = 8 if offset in (8, 12) else 16
            style = _BORROWED if index == 1 and offset in last.borrowed else ""
            line.append(f"{f'{state.header[offset]:0{width}x}':<20}", style)
        line.rstrip()
        yield line


def _record(story: Story) -> dict[str, Any]:
    return {
        "function": story.function,
        "mechanism": story.mechanism,
        "call": story.call.value,
        "where": story.where,
        "frame": f"{story.frame:#x}",
        "toc": f"{story.toc:#x}",
        "cost": dict(zip(("in", "back"), story.cost, strict=True)),
        "right": story.verdict.right,
        "verdict": story.verdict.text,
        "headings": {place.value: heading(place, story) for place in Place},
        "meanings": {f"{value:#x}": meaning for value, meaning in story.meanings.items()},
        "header": [
            {"offset": offset, "name": name, "borrowable": offset in BORROWED} for offset, name in HEADER_NAMES.items()
        ],
        "start": _state(story.steps[0].before),
        "steps": [_step(step) for step in story.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "address": f"{step.address:#x}",
        "place": step.place.value,
        "offset": step.offset,
        "word": f"{step.word:#010x}",
        "assembly": step.assembly,
        "remark": step.remark,
        "changes": [
            {"what": c.what, "before": f"{c.before:#x}", "after": f"{c.after:#x}", "meaning": c.meaning}
            for c in step.changes
        ],
        "odd": step.odd,
        "borrowed": list(step.borrowed),
        "skipped": step.skipped,
        "inferred": step.inferred,
        **_state(step.after),
    }


def _state(state: State) -> dict[str, Any]:
    return {
        "registers": {name: f"{register(state, name):#x}" for name in SHOWN},
        "frame": {str(offset): f"{value:#x}" for offset, value in state.header.items()},
    }
