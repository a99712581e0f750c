"""A browser that shows reports, and the commands that make them."""

import pytest
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from browser import watched
from oddtoc.cli import app


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
    """Opens a report, and returns when it can be used."""
    with watched(playwright, tmp_path / "profile") as opened:

        def show(file, **options):
            page = opened(file, **options)
            page.wait_for_selector("html[data-ready=yes]")
            return page

        yield show
