"""Every built page in Chromium: silent, on its own, accessible in both themes, as wide as a phone."""

import functools
import http.server
import shutil
import threading

import pytest
import yaml

from tools.book import BOOK, HTML, offline, stage, vendor

pytestmark = [pytest.mark.acceptance, pytest.mark.browser]

TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
NAMES = [*(name for name in stage.toc_files(TOC) if stage.document(name)), "search", "genindex"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """The built book on a server of this machine."""
    if not (HTML / "index.html").exists():
        pytest.skip("needs the built pages: run make book")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def vendored(address):
    if not (HTML / "vendor").is_dir():
        pytest.skip("needs npm when the book is built: without it math and widgets come from a server")


@pytest.fixture(scope="module")
def axe():
    script = vendor.axe()
    if isinstance(script, str):
        pytest.skip(f"needs npm for axe-core: {script}")
    return script.read_text(encoding="utf-8")


def settled(page):
    """Wait until scripts and math are done."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => !window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")
    return page


# The fixture `record` of open_page fails the test on any message to the console and any request to another machine.
@pytest.mark.parametrize("name", NAMES)
def test_page_is_silent_on_its_own_and_fits_a_phone(name, address, vendored, open_page):
    page = settled(open_page(f"{address}/{name}.html", width=390, height=844))
    assert page.title()
    math = "[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length"
    assert page.evaluate(math) == 0
    width, wide = page.evaluate(
        """() => [document.documentElement.scrollWidth, [...document.querySelectorAll('.bd-article *')]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('mjx-container'))
        .filter(e => { for (let p = e.parentElement; p; p = p.parentElement)
            if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return false; return true; })
        .slice(0, 5).map(e => e.tagName + '.' + e.className)]"""
    )
    assert wide == []
    assert width <= 390


@pytest.mark.parametrize("name", NAMES)
def test_page_has_no_serious_barrier_in_either_theme(name, address, axe, open_page, record):
    page = settled(open_page(f"{address}/{name}.html"))
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")  # no color half-way
    page.evaluate(axe)
    serious = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # the page follows the system
        page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
        page.wait_for_timeout(100)
        found = page.evaluate("() => axe.run(document, {preload: false, resultTypes: ['violations']})")
        serious += [
            f"{theme}: {v['id']}: {v['help']}: {[n['html'][:120] for n in v['nodes'][:3]]} ({len(v['nodes'])})"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
    assert serious == []
    record.requests.clear()  # the other test looks at these, and skips by name without npm


def test_offline_edition_opens_from_a_folder(address, vendored, open_page, tmp_path):
    shutil.unpack_archive(offline.pack(HTML, tmp_path), tmp_path / "unzipped")
    top = tmp_path / "unzipped" / "tritomo-book"
    for name in NAMES:
        settled(open_page(top / f"{name}.html"))


def test_axe_sees_a_planted_barrier(axe, page):
    page.set_content(
        "<html lang=en><title>t</title><main><img src='data:,'><p style='color:#ccc'>pale</p></main></html>"
    )
    page.evaluate(axe)
    found = {
        v["id"]
        for v in page.evaluate("() => axe.run({preload: false})")["violations"]
        if v["impact"] in ("serious", "critical")
    }
    assert {"image-alt", "color-contrast"} <= found


def test_record_sees_a_planted_request_and_error(open_page, record, tmp_path):
    planted = tmp_path / "planted.html"
    planted.write_text("<script src='http://192.0.2.1/x.js'></script><script>console.error('planted')</script>")
    page = open_page("about:blank")
    page.route("http://192.0.2.1/**", lambda route: route.abort())
    page.goto(planted.as_uri())
    assert record.requests == ["http://192.0.2.1/x.js"]
    assert any("planted" in error for error in record.errors)
    record.requests.clear()
    record.errors.clear()
