"""A patched call as a picture: whose instructions run, and who holds what at each moment. SVG, light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from oddtoc.explain.story import BORROWED, Place, Step, Story, register
from oddtoc.report.explain import heading, headline

_TEMPLATE: Final = Path(__file__).with_name("picture.svg")
_INDENT: Final = {
    Place.CALLER: 0,
    Place.CHAIN: 1,
    Place.ENTRY: 1,
    Place.SITE: 1,
    Place.TRAMPOLINE: 2,
    Place.REPLACEMENT: 3,
    Place.HELPER: 2,
    Place.BACK: 0,
}
_STEP, _ROW, _GAP, _TOP = 30, 16, 16, 64
_CODE, _TOLD = 250, 345
"""Pixels: how wide a block is, and where the words begin that say what an instruction does."""
_BANDS: Final = 604
_WIDE: Final = 40
_LETTER: Final = 7.2
_HELD: Final = {
    "patched object's TOC": "patched",
    "payload's TOC": "payload",
    "caller's TOC": "caller",
    "odd TOC: marked": "odd",
    "back to the caller": "back",
    "return helper": "helper",
}
"""What a value means -> its colour."""
_LEGEND: Final = {**{name: meaning for meaning, name in _HELD.items()}, "borrowed": "borrowed by the trampoline"}
_TELLING: Final = ("r2", "lr", "12(r1)", "24(r1)", "ctr", "r12")
_MOST: Final = 42


def story_as_picture(story: Story) -> str:
    """An SVG of its own, 760 pixels wide: a block for each part, beside it r2, LR and the borrowed words."""
    blocks: list[str] = []
    rows: list[tuple[int, Step]] = []
    y = _TOP
    before: tuple[int, int] | None = None
    for place, found in groupby(story.steps, key=lambda step: step.place):
        steps = list(found)
        x = _INDENT[place] * _STEP
        if before:
            blocks.append(_arrow(*before, x + 12, y))
        blocks += _block(x, y, heading(place, story), steps)
        rows += [(y + _ROW * number, step) for number, step in enumerate(steps, 1)]
        bottom = y + _ROW * (len(steps) + 1) + 6
        before, y = (x + 12, bottom), bottom + _GAP
    bands = _bands(rows, y - _GAP, story.meanings)
    body = [*bands, *blocks, *_verdict(story, y + 8), *_legend(story, y + 34)]
    words = f"{headline(story)}: {story.verdict.text}"
    filled = _TEMPLATE.read_text(encoding="utf-8")
    for name, text in (
        ("HEIGHT", str(y + 84)),
        ("LABEL", escape(words)),
        ("TITLE", escape(headline(story))),
        ("BODY", "\n".join(body)),
    ):
        filled = filled.replace("{{" + name + "}}", text)
    return filled


def _block(x: int, y: int, title: str, steps: list[Step]) -> Iterator[str]:
    wide = max(_CODE, len(title) * _LETTER + 16)
    yield f'<rect class="block" x="{x}" y="{y}" width="{wide}" height="{_ROW * (len(steps) + 1) + 6}" rx="5"/>'
    yield f'<text class="place" x="{x + 8}" y="{y + 14}">{escape(title)}</text>'
    for number, step in enumerate(steps, 1):
        line = y + _ROW * number + 14
        yield f'<text class="code" x="{x + 8}" y="{line}">{escape(step.assembly)}</text>'
        if told := _told(step):
            yield f'<text class="told" x="{max(_TOLD, x + wide + 8)}" y="{line}">{escape(told)}</text>'


def _told(step: Step) -> str:
    """What an instruction does to the words that a patched call is about."""
    for what in _TELLING:
        for change in step.changes:
            if change.what == what and change.meaning:
                return f"{what.upper() if what in ('lr', 'ctr') else what}: {change.meaning}"[:_MOST]
    return ""


def _bands(rows: list[tuple[int, Step]], bottom: int, meanings: Mapping[int, str]) -> Iterator[str]:
    """A column for each of r2, LR and the words that can be borrowed, from top to bottom."""
    columns: dict[str, list[str]] = {
        "r2": [_HELD.get(_meaning(step, "r2", meanings), "other") for _, step in rows],
        "LR": [_HELD.get(_meaning(step, "lr", meanings), "other") for _, step in rows],
        **{f"{offset}(r1)": ["borrowed" * (offset in step.borrowed) for _, step in rows] for offset in BORROWED},
    }
    for number, (title, names) in enumerate(columns.items()):
        x = _BANDS + number * _WIDE
        yield f'<text class="head" x="{x + _WIDE / 2 - 4}" y="{_TOP - 8}" text-anchor="middle">{title}</text>'
        starts = [(y, name) for place, (y, name) in enumerate(zip((y for y, _ in rows), names, strict=True))
                  if place == 0 or name != names[place - 1]]  # fmt: skip
        for (y, name), end in zip(starts, [*(y for y, _ in starts[1:]), bottom], strict=True):
            yield f'<rect class="{name or "free"}" x="{x}" y="{y}" width="{_WIDE - 8}" height="{end - y}"/>'


def _meaning(step: Step, name: str, meanings: Mapping[int, str]) -> str:
    return "odd TOC: marked" if name == "r2" and step.odd else meanings.get(register(step.after, name), "")


def _arrow(x: int, y: int, to_x: int, to_y: int) -> str:
    return f'<line class="arrow" x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y - 2}" marker-end="url(#head)"/>'


def _verdict(story: Story, y: int) -> Iterator[str]:
    right = story.verdict.right
    said = f"{'right' if right else 'WRONG'}: {story.verdict.text}"
    yield f'<text class="{"right" if right else "wrong"}" x="0" y="{y + 10}">{escape(said)}</text>'


def _legend(story: Story, y: int) -> Iterator[str]:
    """Only what is in the picture."""
    seen = {_HELD.get(_meaning(step, name, story.meanings), "") for step in story.steps for name in ("r2", "lr")}
    seen |= {"borrowed" for step in story.steps if step.borrowed}
    for number, (name, meaning) in enumerate((n, m) for n, m in _LEGEND.items() if n in seen):
        x, line = number % 4 * 185, y + number // 4 * 20
        yield f'<rect class="{name}" x="{x}" y="{line}" width="14" height="12"/>'
        yield f'<text class="told" x="{x + 20}" y="{line + 10}">{escape(meaning)}</text>'
