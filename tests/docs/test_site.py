"""The documentation, built strictly: every link and anchor leads somewhere, and no page needs a network."""

from __future__ import annotations

import html
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from playwright.sync_api import sync_playwright

from browser import CHROMIUM, QUIET
from oddtoc.cli import app
from oddtoc.cli.tree import command_helps
from oddtoc.report.schemas import SCHEMAS

ROOT = Path(__file__).parents[2]
_LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
"""What a browser fetches by itself."""


class Page(HTMLParser):
    """The links, what is fetched, and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        # a canonical or alternate link is no file that is fetched
        if tag in _LOADED and given.get("rel") not in ("canonical", "alternate", "next", "prev"):
            self.fetched += [given[_LOADED[tag]]] if _LOADED[tag] in given else []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_link_and_anchor_leads_somewhere(site, pages):
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.fetched]:
            address, anchor = urldefrag(link)
            if urlsplit(address).scheme:
                continue
            base = site if address.startswith("/") else path.parent
            to = (base / unquote(address).lstrip("/")).resolve() if address else path
            if not to.is_file() or (anchor and to in pages and unquote(anchor) not in pages[to].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    # an address of the 404 page is made for the root of a server
    assert [one for one in broken if not one.startswith("404.html")] == []
    assert len(pages) > 15


def test_nothing_is_fetched_from_elsewhere(site, pages):
    assert [link for page in pages.values() for link in page.fetched if urlsplit(link).netloc] == []
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text() and "@import" not in sheet.read_text()


def test_a_browser_asks_nobody_else(site):
    asked, complaints = [], []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        for name in ("index.html", "mechanism.html", "reference/python.html", "tutorial.html"):
            page = browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto((site / name).as_uri())
            page.wait_for_load_state("networkidle")
        browser.close()
    assert asked and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert complaints == []


def test_the_reference_has_every_command_answer_and_public_name(pages, site):
    commands = pages[site / "reference/commands.html"].anchors
    answers = pages[site / "reference/json.html"].anchors
    for command in command_helps(app):
        assert f"oddtoc-{command.name.replace(' ', '-')}" in commands
    for command in SCHEMAS:
        assert ("errors" if command == "error" else f"oddtoc-{command.replace(' ', '-')}") in answers
    text = html.unescape((site / "reference/commands.html").read_text())
    for written, _ in (parameter for command in command_helps(app) for parameter in command.parameters):
        assert f"<code>{written}</code>" in text
    names = pages[site / "reference/python.html"].anchors
    assert {"oddtoc.live.session.Session.apply", "oddtoc.target.guest.boot", "oddtoc.errors.BusyError"} <= names
