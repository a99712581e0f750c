"""The page, in a real browser."""

import pytest
from playwright.sync_api import sync_playwright

from browser import CONTRAST, watched


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as running:
        yield running


@pytest.fixture
def page(playwright, oddtoc, patch, tmp_path):
    """Opens the page of a call."""
    with watched(playwright, tmp_path / "profile") as opened:

        def show(*words, **options):
            file = tmp_path / "call.html"
            assert oddtoc("explain", patch, "seq_putc", *words, "--html", file).exit_code == 0
            return opened(file, **options)

        yield show


def press(page, key, times=1):
    for _ in range(times):
        page.keyboard.press(key)


def count(page):
    return page.inner_text("#count")


def test_keys(page):
    page = page()
    total = page.locator(".step").count()
    assert count(page) == f"0 / {total}"
    press(page, "ArrowLeft")
    assert count(page) == f"0 / {total}"
    press(page, "ArrowRight", 3)
    assert count(page) == f"3 / {total}"
    press(page, "ArrowLeft")
    assert count(page) == f"2 / {total}"
    press(page, "End")
    press(page, "ArrowRight")
    assert count(page) == f"{total} / {total}"
    press(page, "Home")
    assert count(page) == f"0 / {total}"


def test_buttons_slider_and_list(page):
    page = page()
    page.click("#forward")
    page.click("#forward")
    page.click("#back")
    assert count(page).startswith("1 /")
    page.click("#last")
    assert page.is_disabled("#forward")
    page.click("#first")
    assert page.is_disabled("#back")
    page.locator(".step").nth(4).click()
    assert count(page).startswith("5 /")
    assert page.locator(".step[aria-current=step]").count() == 1
    page.fill("#slider", "7")
    assert count(page).startswith("7 /")


def test_play_and_pause(page):
    page = page()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#count').textContent.startsWith('2 /')")
    assert page.inner_text("#play") == "Pause"
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play"
    page.keyboard.press("End")
    page.focus("#play")
    page.keyboard.press("Space")
    assert count(page).startswith("0 /")


def test_odd_toc_is_distinct_and_announced(page):
    page = page("--call", "global")
    r2 = page.locator("#registers tr", has_text="r2").first
    plain = r2.locator(".value").evaluate("element => getComputedStyle(element).color")
    press(page, "ArrowRight", 5)
    assert page.locator("#registers tr.odd").count() == 1
    odd = page.locator("#registers tr.odd .value")
    assert odd.inner_text().endswith("1")
    color = odd.evaluate("element => getComputedStyle(element).color")
    assert color != plain
    assert color == page.locator(".tag.odd").evaluate("element => getComputedStyle(element).color")
    spoken = page.inner_text("#spoken")
    assert "r2 becomes odd" in spoken
    assert spoken.startswith("Step 5 of")
    assert page.get_attribute("#spoken", "aria-live") == "polite"


def test_borrowed_words_and_changes(page):
    page = page("-m", "odd-toc/cr4")
    seen = set()
    for _ in range(page.locator(".step").count()):
        press(page, "ArrowRight")
        seen.add(tuple(page.locator("#frame tr.borrowed th").all_inner_texts()))
        changed = page.locator("#registers tr.changed, #frame tr.changed").count()
        assert changed <= 4
    assert seen == {(), ("12(r1)",), ("12(r1)", "24(r1)")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(page, scheme):
    """Every text has a contrast of 4.5 at least against what is behind it (WCAG 2.1, 1.4.3)."""
    page = page("--call", "global", color_scheme=scheme)
    press(page, "ArrowRight", 5)
    page.add_script_tag(content=CONTRAST)
    assert page.evaluate("poor()") == []


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_sticks_out(page, width):
    page = page("--call", "sibling", viewport={"width": width, "height": 800})
    press(page, "ArrowRight", 12)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_print_shows_every_step(page):
    page = page()
    page.emulate_media(media="print")
    assert not page.is_visible(".controls")
    assert page.locator(".step:visible").count() == page.locator(".step").count()
    assert page.is_visible("#frame")
