"""Every built page in Chromium: silent, on its own, accessible in both themes, as wide as a phone."""

import functools
import http.server
import itertools
import re
import shutil
import threading

import nbformat
import pytest
import yaml

from tests.book.conftest import Record
from tools.book import BOOK, HTML, offline, stage, vendor
from tritomo_helpers import phantoms

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


@pytest.fixture(scope="module", params=NAMES)
def visited(request, address, browser):
    """A page, opened once for all that is asked of it, and what it complained about and asked of the network."""
    record = Record()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    record.watch(page)
    page.goto(f"{address}/{request.param}.html")
    yield request.param, settled(page), record
    context.close()


def test_page_is_silent_on_its_own_and_fits_a_phone(visited, vendored):
    _, page, record = visited
    assert record.errors == []
    assert record.requests == []
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


CALL = re.compile(r"\bviewer\.(?:show_\w+|sweep)\(")
VIEWERS = {
    path.stem: count
    for path in map(stage.document, stage.toc_files(TOC))
    if path and path.suffix == ".ipynb"
    if (count := sum(len(CALL.findall(c.source)) for c in nbformat.read(path, as_version=4).cells))
}


def all_ready(page):
    """Wait for every viewer to come up or to fail, and return how they fared."""
    states = "[...document.querySelectorAll('.tritomo-viewer')].map(v => v.dataset.state || 'nothing')"
    page.wait_for_function(f"() => {states}.every(s => s === 'ready' || s === 'failed')")
    return page.evaluate(states)


def test_every_viewer_of_a_page_comes_up(visited):
    name, page, record = visited
    page.set_viewport_size({"width": 1280, "height": 900})
    assert all_ready(page) == ["ready"] * VIEWERS.get(name, 0), "run make book"
    assert record.errors == []


def test_viewer_on_its_page_shows_the_values_of_the_specimen(address, open_page, record):
    """The second viewer of "The digital twin": cobalt in cycled-200-1, made again here and compared."""
    cobalt = phantoms.particle("cycled-200-1").tomogram("Co").values
    page = settled(open_page(f"{address}/the-digital-twin.html"))
    all_ready(page)
    viewer = page.locator('.tritomo-viewer[data-kind="slices"]').first
    assert "obalt" in viewer.get_attribute("aria-label")
    shown = viewer.locator(".readout")
    viewer.locator(".view").first.focus()
    seen = []
    for key in ("ArrowRight", "Shift+ArrowDown", "PageUp", "ArrowLeft"):
        page.keyboard.press(key)
        index = tuple(int(i) for i in shown.get_attribute("data-index").split(","))
        printed = re.search(r"\d+(?:\.(\d+))?", shown.locator(".value").inner_text())
        half = 0.5 * 10.0 ** -len(printed[1] or "")
        assert abs(float(printed[0]) - cobalt[index]) <= 1.001 * half, f"at {index}: run make book"
        seen.append(index)
    moves = [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(seen)]
    assert moves == [(0, 5, 0), (1, 0, 0), (0, 0, -1)], "down, one slice up, left"
    assert len({float(cobalt[index]) for index in seen}) == len(seen), "a number that never changed would pass"
    record.requests.clear()


def test_page_has_no_serious_barrier_in_either_theme(visited, axe):
    _, page, record = visited
    page.set_viewport_size({"width": 1280, "height": 900})
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
    assert record.errors == []


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


@pytest.mark.parametrize(
    ("words", "page"),
    [("rocksalt", "glossary"), ("EELS background", "background-and-deconvolution"), ("qqxyzzy", None)],
)
def test_search_leads_to_the_page(words, page, address, open_page, record):
    found = open_page(f"{address}/search.html?q={words.replace(' ', '+')}")
    found.wait_for_function("() => /finished|did not match/.test(document.querySelector('#search-results').innerText)")
    links = found.locator("#search-results li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert any(link.startswith(f"{page}.html") for link in links) if page else links == []
    record.requests.clear()


HIDDEN_IN_PRINT = (
    "details.tt-provenance, details.tt-checked, details.hide, .tt-box:not(.solution .tt-box), fieldset.tt-quiz input, "
    "button.toggle-button"
)


def test_a_printed_page_has_nothing_to_press_or_to_open(address, open_page, record):
    page = settled(open_page(f"{address}/why-cathodes-fade.html"))
    all_ready(page)
    shown = f"""() => [...document.querySelectorAll('{HIDDEN_IN_PRINT}'),
        ...[...document.querySelectorAll('.tritomo-viewer')].flatMap(v => [...v.shadowRoot.querySelectorAll('input')])]
        .filter(e => e.getClientRects().length).length"""
    assert page.evaluate(shown) > 0, "on the screen they are there"
    page.emulate_media(media="print")
    assert page.evaluate(shown) == 0
    answers = "[...document.querySelectorAll('.solution .tt-box')].map(e => e.getClientRects().length > 0)"
    assert page.evaluate(answers) == [True] * 4, "an answer prints what it says"
    heights = "all => all.map(answer => answer.getBoundingClientRect().height)"
    assert max(page.locator("fieldset.tt-quiz label").evaluate_all(heights)) < 80, "an answer in a narrow column"
    cut = "figure => getComputedStyle(figure).breakInside"
    assert set(page.locator(".bd-article figure").evaluate_all(f"all => all.map({cut})")) == {"avoid"}
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    text = "() => getComputedStyle(document.querySelector('.bd-article p')).color"
    assert max(map(int, re.findall(r"\d+", page.evaluate(text))[:3])) < 128, "dark ink on white paper"
    record.requests.clear()


BOXES = "details.hide, details.tt-provenance, details.tt-checked"
COVERED = """boxes => boxes.filter(box => {
    const words = document.createRange();
    words.selectNodeContents(box.firstElementChild);
    box.scrollIntoView({block: 'center', behavior: 'instant'});
    const at = words.getBoundingClientRect();
    return !box.firstElementChild.contains(document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2));
}).map(box => box.innerText.slice(0, 40))"""


@pytest.mark.parametrize("width", [1280, 390])
def test_every_box_opens_where_its_words_are(width, address, open_page, record):
    page = open_page(f"{address}/one-scan-three-signals.html")
    page.set_viewport_size({"width": width, "height": 900})
    settled(page)
    assert page.locator("details.tt-checked").count() > 5
    assert page.locator(BOXES).evaluate_all(COVERED) == []
    page.add_style_tag(content="details.tt-checked { pointer-events: auto !important; }")
    assert page.locator(BOXES).evaluate_all(COVERED) != [], "a box that lies over its neighbor is seen"
    record.requests.clear()
