"""The viewers driven as a reader does: what the page shows is compared with the arrays."""

import json
import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.book.viewer_page import PIXEL_NM, SHAPE, assert_shows, center_of, field, numbers, pixels_of, readout
from tritomo_helpers import viewer
from tritomo_helpers.containers import TiltSeries, Tomogram

pytestmark = [pytest.mark.browser, pytest.mark.acceptance]
PLANES = [(2, 1), (2, 0), (1, 0)]  # across, down


@pytest.mark.parametrize("width", [1280, 390])
def test_click_and_drag_show_the_value_of_the_array(show, volume, width):
    page = show(viewer.show_volume(volume, alt="Manganese."), width=width)
    rng = np.random.default_rng(1)
    for nth, (across, down) in enumerate(PLANES):
        view = page.locator(".view").nth(nth)
        view.scroll_into_view_if_needed()
        for _ in range(6):
            before = readout(page)[0]
            wanted = list(before)
            wanted[across], wanted[down] = rng.integers(SHAPE[across]), rng.integers(SHAPE[down])
            page.mouse.click(*center_of(page, view, wanted, across, down, SHAPE))
            assert assert_shows(page, volume.values) == tuple(wanted)
        page.mouse.move(*center_of(page, view, [10, 12, 16], across, down, SHAPE))
        page.mouse.down()
        page.mouse.move(*center_of(page, view, [3, 4, 5], across, down, SHAPE), steps=5)
        page.mouse.up()
        index = assert_shows(page, volume.values)
        assert (index[across], index[down]) == ([3, 4, 5][across], [3, 4, 5][down])
    assert readout(page)[0] == (3, 4, 5)
    assert readout(page)[2] == "not measured"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_drag_continues_outside_and_is_clamped(show, volume):
    page = show(viewer.show_volume(volume, alt="Manganese."))
    box = page.locator(".view").first.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] - 200, box["y"] + box["height"] + 300)
    page.mouse.up()
    assert assert_shows(page, volume.values) == (10, 23, 0)


def test_pointer_without_button_reads_but_does_not_move(show, volume):
    page = show(viewer.show_volume(volume, alt="Manganese."))
    view = page.locator(".view").first
    page.mouse.move(*center_of(page, view, [10, 2, 30], 2, 1, SHAPE))
    assert "Under the pointer" in page.locator(".readout").inner_text()
    assert assert_shows(page, volume.values) == (10, 2, 30)
    page.mouse.move(5, 5)
    assert "At the crosshair" in page.locator(".readout").inner_text()
    assert assert_shows(page, volume.values) == (10, 12, 16)


def test_keys_move_the_crosshair_and_the_slice(show, volume):
    page = show(viewer.show_volume(volume, alt="Manganese."))
    page.keyboard.press("Tab")
    steps = {"ArrowRight": (2, 1), "ArrowDown": (1, 1), "PageUp": (0, 1), "ArrowLeft": (2, -1), "ArrowUp": (1, -1)}
    steps |= {"PageDown": (0, -1), "Shift+ArrowRight": (2, 5)}
    index = [10, 12, 16]
    for key, (axis, by) in steps.items():
        page.keyboard.press(key)
        index[axis] += by
        assert assert_shows(page, volume.values) == tuple(index)
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("PageDown")  # already at the first slice
    assert assert_shows(page, volume.values)[0] == 0
    view = page.locator(".view").first
    outline = view.evaluate("v => getComputedStyle(v).outlineWidth + getComputedStyle(v).outlineStyle")
    assert outline == "3pxsolid"
    assert "z = −46.3 nm" in view.get_attribute("aria-valuetext")
    assert view.get_attribute("aria-valuenow") == "0"


def test_sliders_change_the_slice(show, volume):
    page = show(viewer.show_volume(volume, alt="Manganese."))
    for nth, axis in enumerate((0, 1, 2)):
        slider = page.get_by_role("slider", name=f"{'zyx'[axis]} position", exact=True)
        slider.focus()
        page.keyboard.press("ArrowRight")
        slider.evaluate("s => { s.value = 7; s.dispatchEvent(new Event('input')); }")
        assert assert_shows(page, volume.values)[axis] == 7
        where = f"{'zyx'[axis]} = {(7 - SHAPE[axis] // 2) * PIXEL_NM:.1f} nm".replace("-", "−")
        assert page.locator(".head span").nth(nth).inner_text() == where
        assert slider.get_attribute("aria-valuetext") == where


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pixels_have_the_colors_of_the_values(show, volume, theme):
    import matplotlib as mpl

    page = show(viewer.show_volume(volume, alt="Manganese.", limits=(10, 60), cmap="magma"), color_scheme=theme)
    for nth, (axis, _) in enumerate([(0, 0), (1, 0), (2, 0)]):
        rgba = pixels_of(page.locator(".view canvas").nth(nth))[2]
        image = np.take(volume.values, SHAPE[axis] // 2, axis=axis)
        rgba = rgba.reshape(*image.shape, 4)
        wanted = mpl.colormaps["magma"](np.clip((image - 10) / 50, 0, 1), bytes=True)
        assert np.abs(rgba[..., :3].astype(int) - wanted[..., :3]).max() <= 4  # one step of the table
        assert (rgba[..., 3] == 255).all()


def test_pair_has_one_crosshair_and_both_values(show, volume):
    other = Tomogram(field(seed=5) * 1.1, PIXEL_NM, "Mn (at%)")
    page = show(viewer.show_pair(volume, other, labels=("truth", "GENFIRE"), alt="Truth and result."))
    assert page.locator(".view").count() == 6
    assert page.locator(".colorbar").count() == 1
    view = page.locator(".view").nth(3)  # the other one's x-z slice
    page.mouse.click(*center_of(page, view, [15, 0, 8], 2, 0, SHAPE))
    assert assert_shows(page, volume.values, other.values) == (15, 12, 8)
    text = readout(page)[2]
    assert text.index("truth") < text.index("GENFIRE")
    paths = page.locator(".view svg .over").evaluate_all("p => p.map((e) => e.getAttribute('d'))")
    assert paths[0::2] == paths[1::2]


def test_tilt_series_shows_angle_and_sinogram(show):
    rng = np.random.default_rng(3)
    series = TiltSeries(rng.poisson(900, (5, 12, 16)), [-60.5, -20, 0, 31, 64], 2.0, "ADF (counts)")
    page = show(viewer.show_tilt_series(series, alt="A tilt series."))
    assert "tilt = 0.0°" in page.locator(".head span").first.inner_text()
    page.locator(".view").first.focus()
    page.keyboard.press("PageUp")
    assert "tilt = 31.0°" in page.locator(".head span").first.inner_text()
    assert assert_shows(page, series.images) == (3, 6, 8)
    page.mouse.click(*center_of(page, page.locator(".view").nth(1), [0, 0, 3], 2, 0, series.images.shape))
    assert assert_shows(page, series.images) == (0, 6, 3)
    assert "tilt = −60.5°" in page.locator(".head span").first.inner_text()


@pytest.mark.parametrize(("factor", "unit"), [(1e-6, "m"), (3e5, "counts"), (1.0, "")])
def test_scale_of_numbers(show, factor, unit):
    volume = Tomogram(field((12, 14, 16)) * factor, 1.0, f"signal ({unit})" if unit else "signal")
    page = show(viewer.show_volume(volume, alt="Scaled."))
    index, (value,), text = readout(page)
    mantissa = numbers(text)[0]
    superscripts = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    power = re.search(r"×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    exponent = int(power[1].translate(superscripts)) if power else 0
    half = 0.5 * 10.0 ** (exponent - len(mantissa.partition(".")[2]))
    assert abs(float(mantissa) * 10.0**exponent - volume.values[index]) <= half * (1 + 1e-9)
    assert value == pytest.approx(float(mantissa) * 10.0**exponent, rel=1e-9)
    assert text.endswith(unit)
    assert len(mantissa.replace(".", "").lstrip("-0")) <= 5


def test_touch_taps_drags_and_still_scrolls(show, volume):
    page = show(viewer.show_volume(volume, alt="Manganese."), width=390, height=700, has_touch=True, is_mobile=True)
    view = page.locator(".view").first
    page.touchscreen.tap(*center_of(page, view, [10, 5, 25], 2, 1, SHAPE))
    assert assert_shows(page, volume.values) == (10, 5, 25)
    cdp = page.context.new_cdp_session(page)

    def swipe(start, end):
        for kind, at in [("touchStart", start), *(("touchMove", p) for p in np.linspace(start, end, 8)[1:])]:
            cdp.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": float(at[0]), "y": float(at[1])}]}
            )
        cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(150)

    # From the crosshair a finger drags it, downwards too.
    start, end = (center_of(page, view, i, 2, 1, SHAPE) for i in ([10, 5, 25], [10, 18, 20]))
    swipe(start, end)
    assert assert_shows(page, volume.values) == (10, 18, 20)
    assert page.evaluate("scrollY") == 0
    # Sideways it drags from anywhere.
    swipe(*(center_of(page, view, i, 2, 1, SHAPE) for i in ([10, 6, 2], [10, 7, 9])))
    assert assert_shows(page, volume.values) == (10, 7, 9)
    # Upwards away from the crosshair it scrolls the page and leaves the crosshair alone.
    swipe(*(center_of(page, view, i, 2, 1, SHAPE) for i in ([10, 22, 28], [10, 1, 28])))
    assert page.evaluate("scrollY") > 50
    assert assert_shows(page, volume.values) == (10, 7, 9)


def test_several_on_one_page_do_not_disturb_each_other(open_page, volume, tmp_path):
    other = Tomogram(-volume.values, PIXEL_NM, "difference (at%)")
    shown = [
        viewer.show_volume(volume, alt="First."),
        viewer.show_volume(other, alt="Second."),
        viewer.sweep(lambda a: np.eye(9) * a, alt="Third.", a=[1, 2]),
        viewer.show_volume(volume, alt="First."),
    ]
    path = tmp_path / "page.html"
    style = "<style>canvas, img, input, div, span { opacity: .3 !important; width: 7px !important }</style>"
    path.write_text(f"<!doctype html><meta charset=utf-8>{style}{''.join(s.html for s in shown)}", encoding="utf-8")
    page = open_page(path)
    page.wait_for_function("document.querySelectorAll('[data-state=ready]').length === 4")
    page.add_style_tag(content=".tritomo-viewer { width: 800px !important }")
    page.locator(".view").nth(4).focus()
    page.keyboard.press("PageUp")
    assert assert_shows(page, volume.values, nth=0) == (10, 12, 16)
    assert assert_shows(page, other.values, nth=1) == (10, 13, 16)
    assert assert_shows(page, volume.values, nth=2) == (10, 12, 16)
    assert page.locator(".view").first.evaluate("v => getComputedStyle(v).opacity") == "1"  # page style stays outside


def test_output_set_later_as_jupyterlab_does(page, volume):
    """JupyterLab sets innerHTML and then replaces each script by a fresh copy; twice when there are two views."""
    insert = """(html) => {
      const host = document.body.appendChild(document.createElement("div"));
      host.innerHTML = html;
      for (const old of host.querySelectorAll("script")) {
        const fresh = document.createElement("script");
        for (const { name, value } of old.attributes) fresh.setAttribute(name, value);
        fresh.textContent = old.textContent;
        old.replaceWith(fresh);
      }
    }"""
    for _ in range(2):
        page.evaluate(insert, viewer.show_volume(volume, alt="Manganese.").html)
    page.wait_for_function("document.querySelectorAll('[data-state=ready]').length === 2")
    page.locator(".view").nth(3).focus()
    page.keyboard.press("ArrowRight")
    assert assert_shows(page, volume.values, nth=1) == (10, 12, 17)
    assert assert_shows(page, volume.values, nth=0) == (10, 12, 16)


def test_without_scripts_the_picture_shows(show, open_page, volume, tmp_path):
    path = viewer.show_volume(volume, alt="Manganese.").save(tmp_path / "still.html")
    page = open_page(path, java_script_enabled=False)
    still = page.get_by_role("img", name="Manganese.")
    assert still.is_visible()
    assert still.bounding_box()["width"] > 300


def test_broken_data_leave_the_picture(open_page, record, volume, tmp_path):
    shown = viewer.show_volume(volume, alt="Manganese.")
    shown.config["volumes"][0]["data"] = shown.config["volumes"][0]["data"][:40]
    page = open_page(shown.save(tmp_path / "broken.html"))
    page.wait_for_selector('.tritomo-viewer[data-state="failed"]', state="attached")
    assert page.get_by_role("img", name="Manganese.").is_visible()
    assert "viewer:" in record.errors[0]
    record.errors.clear()


@pytest.mark.parametrize("width", [1280, 390])
def test_scale_bar_has_its_length(show, volume, width):
    page = show(viewer.show_pair(volume, volume, labels=("a", "b"), alt="Manganese twice."))
    page.set_viewport_size({"width": width, "height": 700})
    view = page.locator(".view").first
    length = float(view.locator(".scale").get_attribute("data-nm"))
    assert view.locator(".scale").inner_text() == f"{length:g} nm"
    wanted = view.bounding_box()["width"] * length / (SHAPE[2] * PIXEL_NM)
    assert view.locator(".scale i").bounding_box()["width"] == pytest.approx(wanted, abs=1.5)
    assert view.bounding_box()["x"] <= view.locator(".scale i").bounding_box()["x"] < view.bounding_box()["x"] + 8


def test_color_bar_marks_the_value(show, volume):
    page = show(viewer.show_volume(volume, alt="Manganese.", limits=(0, 50)))
    strip, mark = page.locator(".strip canvas").bounding_box(), page.locator(".mark").bounding_box()
    value = readout(page)[1][0]
    assert mark["x"] + mark["width"] / 2 == pytest.approx(strip["x"] + strip["width"] * value / 50, abs=1.5)
    assert "Mn (at%)" in page.locator(".quantity").inner_text()
    assert "not measured" in page.locator(".quantity").inner_text()


def test_names_and_roles(show, volume):
    page = show(viewer.show_volume(volume, alt='Manganese <in> a "particle".'))
    tree = page.locator(".tritomo-viewer").aria_snapshot()
    assert "group" in tree
    assert "Manganese <in> a" in json.dumps(tree)
    for word in ("x–y slice", "x–z slice", "y–z slice", "z position", "Color scale: Mn"):
        assert word in tree
    assert page.locator(".view[tabindex='0']").count() == 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes_of_the_book(show, volume, theme):
    def luminance(color):
        rgb = np.array([int(c) for c in re.findall(r"\d+", color)[:3]]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    page = show(viewer.show_volume(volume, alt="Manganese."), color_scheme="light")
    page.evaluate("t => document.documentElement.dataset.theme = t", theme)
    behind = luminance(page.locator(".body").evaluate("b => getComputedStyle(b).backgroundColor"))
    assert (behind < 0.05) == (theme == "dark")
    for part in (".head b", ".head span", ".value", ".coordinates", ".ticks span", ".quantity", ".help"):
        text = luminance(page.locator(part).first.evaluate("e => getComputedStyle(e).color"))
        assert (max(text, behind) + 0.05) / (min(text, behind) + 0.05) > 4.5


@pytest.fixture
def lab(tmp_path):
    """JupyterLab on a notebook of two cells, in a folder of its own; its address."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab")
    import nbformat

    cells = [
        "import numpy as np\nfrom tritomo_helpers import viewer\nfrom tritomo_helpers.containers import Tomogram",
        "viewer.show_volume(Tomogram(np.arange(210.0).reshape(5, 6, 7), 2.0, 'ramp (%)'), alt='A ramp.')",
        "viewer.sweep(lambda a: np.eye(5) + a * np.eye(5)[::-1], alt='A cross.', a=[0, 1, 2])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "viewers.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ServerApp.token=", f"--ServerApp.port={port}", "--ip=127.0.0.1"]
    environment = {k: v for k, v in os.environ.items() if k != "TRITOMO_BOOK_BUILD"}
    environment |= {"HOME": str(tmp_path), "PYTHONWARNINGS": "default"}
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={tmp_path}"]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path)
        try:
            yield f"http://127.0.0.1:{port}/lab/tree/viewers.ipynb"
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.acceptance
def test_in_jupyterlab_with_a_kernel(lab, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1200})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for _ in range(120):
        try:
            page.goto(lab)
            break
        except Exception:  # the server is not up yet
            page.wait_for_timeout(500)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
    page.get_by_text("| Idle").wait_for(timeout=90_000)  # the kernel listens
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_selector('.tritomo-viewer[data-state="ready"]', state="attached", timeout=90_000)
    values = np.arange(210.0).reshape(5, 6, 7)
    page.locator(".view").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    assert assert_shows(page, values) == (3, 3, 4)
    # The sweep has a kernel behind it, so its frame is new when the slider has moved.
    picture = page.locator(".widget-html img")
    picture.wait_for(timeout=60_000)
    before = picture.get_attribute("src")
    page.locator(".widget-slider .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(old) => document.querySelector('.widget-html img').src !== old", arg=before)
    assert "a: 2" in picture.get_attribute("alt")
    assert errors == []
    context.close()
