"""Sweeps and surfaces driven as a reader does: pixels are compared with the arrays."""

import numpy as np
import pytest

from tests.book.viewer_page import pixels_of
from tritomo_helpers import viewer
from tritomo_helpers.containers import Tomogram

pytestmark = [pytest.mark.browser, pytest.mark.acceptance]


def test_sweep_shows_the_frame_of_its_sliders(show):
    def frame(gain, row):
        image = np.zeros((8, 8, 3), np.uint8)
        image[row] = gain
        return image

    page = show(viewer.sweep(frame, alt="A bright row.", gain=[50, 150, 250], row=[0, 3, 7]))
    gain, row = page.get_by_role("slider", name="gain"), page.get_by_role("slider", name="row")
    read = """async (img) => {
      await img.decode();
      const c = new OffscreenCanvas(8, 8).getContext("2d");
      c.imageSmoothingEnabled = false;
      c.drawImage(img, 0, 0, 8, 8);
      return Array.from(c.getImageData(0, 0, 8, 8).data);
    }"""
    for keys, (g, r) in [((), (150, 3)), (("ArrowRight",), (250, 3)), (("Home",), (50, 3))]:
        gain.focus()
        for key in keys:
            page.keyboard.press(key)
        pixels = np.array(page.locator("img.frame").evaluate(read)).reshape(8, 8, 4)
        assert (pixels[..., :3] == frame(g, r)).all()
    row.focus()
    page.keyboard.press("End")
    pixels = np.array(page.locator("img.frame").evaluate(read)).reshape(8, 8, 4)
    assert (pixels[..., :3] == frame(50, 7)).all()
    assert page.locator("img.frame").get_attribute("alt") == "A bright row. gain: 50, row: 7."
    assert page.locator("output").all_inner_texts() == ["50", "7"]


def test_slider_with_a_long_name_can_be_moved_on_a_phone(show):
    label = "dose (counts at the peak, for 15 tilts)"
    page = show(viewer.sweep([np.eye(4)] * 3, alt="Lines.", labels={"dose": label}, dose=[1, 2, 3]))
    page.set_viewport_size({"width": 390, "height": 700})
    assert page.get_by_role("slider", name=label).bounding_box()["width"] > 120


# As base64: a million numbers as a JSON list take the driver twenty seconds.
def test_sweep_has_buttons_where_a_setting_has_no_order(show):
    frames = [np.eye(4), 2 * np.eye(4)]
    options = {"quantity": "Mn (at%)", "pixel_size_nm": 4.63, "titles": ["a"], "captions": ["error 1", "error 2"]}
    page = show(viewer.sweep(frames, alt="Lines.", method=["SIRT", "WBP"], **options))
    assert page.locator(".caption").inner_text() == "error 2"
    page.get_by_role("button", name="SIRT").click()
    assert page.locator(".caption").inner_text() == "error 1"
    assert page.get_by_role("button", name="SIRT").get_attribute("aria-pressed") == "true"
    assert page.locator("img.frame").get_attribute("alt") == "Lines. method: SIRT."
    bar = page.locator(".scale")
    assert float(bar.get_attribute("data-nm")) == 5
    frame, line = page.locator("img.frame").bounding_box(), bar.locator("i").bounding_box()
    assert frame["width"] == page.locator(".titles").bounding_box()["width"]
    assert line["width"] == pytest.approx(frame["width"] * 5 / (4 * 4.63), abs=1.5)
    assert line["y"] > frame["y"] + frame["height"], "it covers nothing"
    assert page.get_by_role("img", name="Mn (at%), from 0 to 2").is_visible()


def surface_pixels(page):
    page.wait_for_function(
        "document.querySelector('.tritomo-viewer').shadowRoot.querySelector('.stage').dataset.frame === 'drawn'"
    )
    size, _, data = pixels_of(page.locator(".stage canvas"))
    return data.reshape(size, size, 4)


@pytest.mark.parametrize("tilt", [0, 40, -65])
def test_surface_silhouette_is_the_projection_at_that_tilt(show, tilt):
    """A chiral specimen, so that a wrong sign of the tilt or of an axis fails."""
    rods = [((0, 0, 0), (9, 3, 3)), ((7, -6, 4), (3, 4, 5)), ((-6, 7, 6), (4, 3, 3))]  # center, half axes; (x, y, z)
    n = 40
    z, y, x = np.indices((n, n, n)) - n // 2
    values = np.max(
        [2 - sum(((c - o) / h) ** 2 for c, o, h in zip((x, y, z), *rod, strict=True)) for rod in rods], axis=0
    )
    shown = viewer.show_surface(Tomogram(values, 2.0, "level"), level=1.0, alt="Rods.", tilt_deg=tilt, elevation_deg=0)
    page = show(shown)
    alpha = surface_pixels(page)[..., 3] > 0
    # Each ellipsoid projects to an ellipse.
    size = alpha.shape[0]
    to_nm = (np.arange(size) + 0.5 - size / 2) * 2 * shown.config["radius"] / size
    v, u = np.meshgrid(to_nm / 2.0, to_nm / 2.0, indexing="ij")
    t = np.deg2rad(tilt)
    wanted = np.zeros_like(alpha)
    for (ox, oy, oz), (hx, hy, hz) in rods:
        half_u = np.hypot(np.cos(t) * hx, np.sin(t) * hz)
        center = np.cos(t) * ox - np.sin(t) * oz
        wanted |= ((u - center) / half_u) ** 2 + ((v - oy) / hy) ** 2 < 1
    dice = 2 * (alpha & wanted).sum() / (alpha.sum() + wanted.sum())
    assert dice > 0.97
    assert 2 * (alpha & wanted[:, ::-1]).sum() / (alpha.sum() + wanted.sum()) < 0.9  # the mirror image is told apart


def test_surface_turns_by_drag_keys_and_sliders(show):
    z, y, x = np.indices((24, 24, 24)) - 12
    shown = viewer.show_surface(
        {
            "ball": Tomogram((x**2 + y**2 + z**2 < 81) * 1.0, 4.63),
            "Mn rich": Tomogram((abs(x - 3) < 3) * 1.0 * (y**2 + z**2 < 9), 4.63),
        },
        alt="A ball with something in it.",
    )
    page = show(shown)
    first = surface_pixels(page)
    assert page.locator(".legend li").all_inner_texts() == ["ball", "Mn rich"]
    stage = page.locator(".stage")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.up()
    tilt = float(stage.get_attribute("aria-valuenow"))
    assert tilt == pytest.approx(20 + 100 * 180 / box["width"], abs=1)
    second = surface_pixels(page)
    assert (first != second).any(axis=2).sum() > 500
    stage.focus()
    page.keyboard.press("ArrowRight")
    assert float(stage.get_attribute("aria-valuenow")) == pytest.approx(tilt + 5, abs=1)
    page.keyboard.press("Home")
    assert (surface_pixels(page) == first).all()
    page.get_by_role("slider", name="elevation", exact=True).evaluate(
        "s => { s.value = 90; s.dispatchEvent(new Event('input')) }"
    )
    assert "elevation 90°" in stage.get_attribute("aria-valuetext")
    bar = float(page.locator(".scale").get_attribute("data-nm"))
    for _ in range(4):
        page.get_by_role("button", name="zoom in").click()
    surface_pixels(page)
    assert float(page.locator(".scale").get_attribute("data-nm")) < bar


def test_names_of_a_film_stand_above_their_particles_and_one_choice_is_none(show):
    ball = Tomogram(np.ones((6, 6, 6), np.float32), 4.0, "Mn4 (%)")
    page = show(viewer.show_turntable({"Mn4": {"fresh": ball, "old": ball}}, alt="Two balls.", n_views=4))
    frame = page.locator("img.frame").bounding_box()
    for number, title in enumerate(page.locator(".titles span").all()):
        box = title.bounding_box()
        middle = frame["x"] + (number + 0.5) * frame["width"] / 2
        assert abs(box["x"] + box["width"] / 2 - middle) < 5
    assert page.get_by_role("button").all_inner_texts() == ["\N{BLACK RIGHT-POINTING TRIANGLE} turn"]
    assert "Mn\N{SUPERSCRIPT FOUR}\N{SUPERSCRIPT PLUS SIGN}" in page.locator(".gradient").inner_text()
