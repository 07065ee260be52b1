"""A browser for pages: what they complain about and what they ask of the network is recorded and must be nothing."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.book.viewer_page import PIXEL_NM
from tests.book.viewer_page import field as smooth_field
from tritomo_helpers.containers import Tomogram

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    """Chromium, from TRITOMO_CHROMIUM or the search path; the tests that need it are skipped by name without it."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("TRITOMO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs Chromium: install it or set TRITOMO_CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Record:
    """What pages complained about, and what they asked of the network."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page):
        page.on("console", lambda m: m.type in ("error", "warning") and self.errors.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda r: self._is_outside(r.url) and self.requests.append(r.url))

    @staticmethod
    def _is_outside(url):
        return not url.startswith(("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost"))


@pytest.fixture
def record():
    """Checked when the test is over; a test that expects complaints empties the lists itself."""
    record = Record()
    yield record
    assert record.errors == []
    assert record.requests == []


@pytest.fixture
def open_page(browser, record):
    """open_page(Path or address, width=1280, **context options) -> page."""
    contexts = []

    def open_(address, *, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        record.watch(page)
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page):
    """An empty page, watched."""
    return open_page("about:blank")


@pytest.fixture(scope="module")
def volume():
    return Tomogram(smooth_field(), PIXEL_NM, "Mn (at%)")


@pytest.fixture
def show(open_page, tmp_path):
    """Save a viewer, open it from disk, wait until it works."""

    def show_(shown, **options):
        page = open_page(shown.save(tmp_path / "viewer.html"), **options)
        page.wait_for_selector('.tritomo-viewer[data-state="ready"]', state="attached")
        return page

    return show_
