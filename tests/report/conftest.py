"""A browser that shows reports, and the commands that make them."""

import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from browser import CHROMIUM, QUIET
from oddtoc.cli import app

# benchmarks and the corpus are no installed packages
sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(scope="module")
def oddtoc():
    def run(*words: object):
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as running:
        yield running


@pytest.fixture
def show(playwright, tmp_path):
    """Opens a page; whatever the browser complains about fails the test, and so does a request to anybody."""
    complaints, requests, contexts = [], [], []

    def show(file, **options):
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=QUIET, **options
        )
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: requests.append(request.url))
        opened.goto(file.as_uri())
        opened.wait_for_selector("html[data-ready=yes]")
        return opened

    yield show
    for context in contexts:
        context.close()
    assert not complaints
    assert all(url.startswith(("file:", "data:")) for url in requests)
