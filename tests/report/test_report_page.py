"""The report, in a real browser: a whole kernel's functions, and a laboratory's table."""

from __future__ import annotations

import csv
import io
import json
from functools import partial

import pytest

from browser import CONTRAST


@pytest.fixture(scope="module")
def lab():
    """As `oddtoc lab --format json` prints it; its own tests let it run."""
    outcomes = {"odd-toc/cr4": ("ok", "wrong r2"), "guarded/slot": ("ok", "ok"), "guarded/cr4": ("refused", "crash")}
    scenarios = [{"name": "local", "summary": "called locally"}, {"name": "sibling", "summary": "a sibling call"}]
    cells = [
        {
            "mechanism": m,
            "scenario": s["name"],
            "outcome": v,
            "detail": "</script><b>r2</b>" if v != "ok" else "",
            "calls": 1,
        }
        for m, verdicts in outcomes.items()
        for s, v in zip(scenarios, verdicts, strict=True)
    ]
    return {"mechanisms": list(outcomes), "scenarios": scenarios, "cells": cells}


@pytest.fixture(scope="module")
def file(oddtoc, lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "lab.json").write_text(json.dumps(lab))
    assert oddtoc("report", "7.2", folder / "lab.json", "-o", folder / "page.html").exit_code == 0
    return folder / "page.html"


@pytest.fixture
def page(show, file):
    """Opens the page."""
    return partial(show, file)


@pytest.fixture(scope="module")
def functions(oddtoc):
    text = oddtoc("scan", "7.2", "--table", "functions", "--format", "csv").stdout
    return list(csv.DictReader(io.StringIO(text)))


def table(page, title):
    return page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))


def column(card, name):
    """The texts of a column in the rows that are in sight."""
    heads = card.locator("thead th").all_inner_texts()
    place = next(number for number, text in enumerate(heads) if text.strip() == name)
    return card.locator(f"tbody tr:not(.space) td:nth-child({place + 1})").all_inner_texts()


def test_every_row_can_be_searched_and_sorted(page, functions):
    card = table(page(), "functions")
    assert card.locator(".count").inner_text() == f"{len(functions):,} rows"
    assert card.locator("tbody tr").count() < 100, "only what is in sight is there"
    card.locator("input").fill("cmdline_proc_show")
    expected = [row["function"] for row in functions if "cmdline_proc_show" in row["function"]]
    assert column(card, "function") == expected
    assert card.locator(".count").inner_text() == f"{len(expected)} of {len(functions):,} rows"
    card.locator("input").fill("")
    card.get_by_role("button", name="size", exact=True).click()
    card.get_by_role("button", name="size", exact=True).click()
    largest = sorted((int(row["size"]) for row in functions), reverse=True)[:20]
    assert [int(text.replace(",", "")) for text in column(card, "size")[:20]] == largest
    assert card.locator("th[aria-sort=descending]").count() == 1
    card.get_by_role("button", name="address", exact=True).click()
    assert column(card, "address")[:20] == sorted(row["address"] for row in functions)[:20]
    card.get_by_role("button", name="obstacle", exact=True).click()
    assert set(column(card, "obstacle")) == {min(row["obstacle"] for row in functions)}


def test_scrolling_shows_the_last_row(page, functions):
    card = table(page(), "functions")
    region = card.locator(".region")
    region.evaluate("element => element.scrollTop = element.scrollHeight")
    last = functions[-1]["function"]
    card.locator("td", has_text=last).last.wait_for()
    assert column(card, "function")[-1] == last


def test_keyboard_alone(page):
    opened = page()
    card = table(opened, "cells")
    card.locator("input").focus()
    opened.keyboard.type("wrong")
    assert column(card, "outcome") == ["wrong r2"]
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "region"
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert card.locator("th[aria-sort=ascending]").count() == 1
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_what_the_laboratory_said(page, lab):
    opened = page()
    words = opened.locator(".matrix tbody td").all_inner_texts()
    assert words == [cell["outcome"] for cell in lab["cells"]]
    assert "guarded/slot" in opened.locator("#part1 > .about").inner_text()
    assert "odd-toc/cr4" not in opened.locator("#part1 > .about").inner_text()
    assert "</script><b>r2</b>" in column(table(opened, "cells"), "detail"), "data is never taken for markup"


def test_the_map_says_what_it_shows(page, functions):
    label = page().locator(".map svg").first.get_attribute("aria-label")
    sized = [(max(int(row["size"]), 4), row["obstacle"] == "none") for row in functions]
    share = sum(size for size, good in sized if good) / sum(size for size, _ in sized)
    assert f"{share:.0%} of the bytes" in label


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(page, scheme):
    opened = page(color_scheme=scheme)
    opened.add_script_tag(content=CONTRAST)
    assert opened.evaluate("poor()") == []


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_sticks_out(page, width):
    assert page(viewport={"width": width, "height": 800}).evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_paper_has_the_first_rows_and_says_so(page, functions):
    opened = page()
    opened.emulate_media(media="print")
    card = table(opened, "functions")
    assert column(card, "function") == [row["function"] for row in functions[:60]]
    assert card.locator(".paper").is_visible()
    assert not card.locator("input").is_visible()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "is not what oddtoc scan, lab or prove print"),
        ("[1]", "is not what oddtoc scan, lab or prove print"),
        ("{", "is no JSON"),
        ('{"images": 3, "totals": {}, "failed": []}', "is not whole"),
        ('{"mechanisms": ["a"], "scenarios": [], "cells": [1]}', "is not whole"),
    ],
)
def test_other_files_are_refused(oddtoc, tmp_path, content, words):
    (tmp_path / "other.json").write_text(content)
    result = oddtoc("report", tmp_path / "other.json", "-o", tmp_path / "page.html")
    assert type(result.exception).__name__ == "UsageError"
    assert words in str(result.exception)
