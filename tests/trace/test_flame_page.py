"""The flame graph in a browser: what stands there, keys, both colour schemes, narrow windows."""

from types import SimpleNamespace

import pytest
from playwright.sync_api import sync_playwright

from browser import CHROMIUM, CONTRAST, QUIET
from oddtoc.report.trace import flame_page
from oddtoc.trace.calls import CallTree, Node
from oddtoc.trace.reading import Reading

NAMES = ("vfs_read", "<b>read_zero</b>", "schedule")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    tree = CallTree(lambda frame: frame)
    read = tree.root.inner[0] = Node(0, 10, 4000)
    read.inner[1] = Node(1, 10, 1000)
    read.inner[2] = Node(2, 2, 2000)
    tree.root.inner[2] = Node(2, 1, 1000)
    tracer = SimpleNamespace(
        names=NAMES, people=SimpleNamespace(ticks_per_second=512_000_000), last=Reading((), (), lost=3, missed=0)
    )
    path = tmp_path_factory.mktemp("page") / "flame.html"
    path.write_text(flame_page(tree, tracer, "vfs_* on <guest>"))
    return path


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_graph_that_is_read_with_keys(browser, page_file, scheme):
    page = browser.new_page(color_scheme=scheme)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(page_file.as_uri())
    assert page.title() == page.inner_text("h1") == "vfs_* on <guest>"
    assert "3 events were lost" in page.inner_text("#warning")
    widths = {one.inner_text(): one.bounding_box()["width"] for one in page.query_selector_all(".frame")[:3]}
    assert widths["vfs_read"] == pytest.approx(0.8 * widths["all calls"], abs=1)
    assert widths["<b>read_zero</b>"] == pytest.approx(0.2 * widths["all calls"], abs=1)
    page.focus(".frame")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert page.inner_text("#now .name") == "vfs_read → schedule"
    assert "2 calls, 3.91 µs in all" in page.inner_text("#now")
    page.keyboard.press("Enter")
    assert page.locator(".frame[aria-selected=true]").bounding_box()["width"] == pytest.approx(
        widths["all calls"], abs=1
    )
    assert [one.inner_text() for one in page.query_selector_all(".frame")] == ["all calls", "vfs_read", "schedule"]
    page.keyboard.press("Escape")
    assert len(page.query_selector_all(".frame")) == 5
    page.fill("#find", "sched")
    assert page.inner_text("#hits") == "2 found"
    rows = [row.inner_text().split("\t") for row in page.query_selector_all("tbody tr")]
    assert rows[0] == ["schedule", "3", "5.86 µs", "5.86 µs", "1.95 µs"]
    assert page.evaluate("() => {" + CONTRAST + "; return poor()}") == []
    page.set_viewport_size({"width": 400, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert complaints == []
    page.close()
