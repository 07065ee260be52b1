"""Sweeps: frames by their settings, in one scale, live only where a reader sits."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.viewer_input import config_of
from tritomo_helpers import viewer
from tritomo_helpers.viewer import _pack


def test_sweep_orders_frames_by_parameters_and_keeps_equal_ones_once():
    seen = []

    def frame(a, b):
        seen.append((a, b))
        return np.full((4, 4), a) * np.eye(4)

    config = config_of(viewer.sweep(frame, alt="Shown.", a=[1, 2], b=[5, 6, 7]))
    assert seen == [(1, 5), (1, 6), (1, 7), (2, 5), (2, 6), (2, 7)]
    assert len(config["pictures"]) == 2  # b makes no difference
    assert config["frames"] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("limits", "wanted"), [(None, (128, 255)), ((0, 4), (64, 128))])
def test_sweep_of_arrays_shares_one_gray_scale(limits, wanted):
    shown = viewer.sweep([np.eye(4), 2 * np.eye(4)], alt="Shown.", limits=limits, gain=[1, 2])
    for address, level in zip(config_of(shown)["pictures"], wanted, strict=True):
        with Image.open(io.BytesIO(_pack.base64.b64decode(address.partition(",")[2]))) as image:
            assert image.convert("L").getextrema() == (0, level)


def test_sweep_of_figures_closes_them_and_shows_them_at_half_their_pixels():
    import matplotlib.pyplot as plt

    def frame(gain_ev):
        figure, ax = plt.subplots(figsize=(5, 3))
        ax.plot([0, gain_ev])
        return ax if gain_ev == 1 else figure

    shown = viewer.sweep(frame, alt="A line.", gain_ev=[1, 2.5])
    assert plt.get_fignums() == []
    config = config_of(shown)
    assert (config["width"], config["height"]) == (500, 300)
    assert config["parameters"] == [{"label": "gain (eV)", "texts": ["1", "2.5"], "start": 1, "ordered": True}]
    assert len(config["pictures"]) == 2
    assert len(shown.html) < 120_000


def test_frames_of_a_sweep_carry_titles_scale_color_bar_and_captions():
    frames = [[np.eye(4), 2 * np.eye(4)], [3 * np.eye(4), 4 * np.eye(4)]]
    config = config_of(
        viewer.sweep(
            frames,
            alt="Shown.",
            quantity="Mn (at%)",
            pixel_size_nm=4.63,
            titles=["truth", "result"],
            captions=[["error 1", "error 2"], ["error 3", "error 4"]],
            dose=[1, 2],
            method=["SIRT", "WBP"],
        )
    )
    assert config["titles"] == ["truth", "result"]
    assert config["widthNm"] == pytest.approx(4 * 4.63)
    assert config["captions"] == ["error 1", "error 2", "error 3", "error 4"]
    assert config["bar"]["ends"] == ["0", "4"]
    assert config["bar"]["colors"][0] == "#00224e", "cividis, as in the figures"
    assert [p["ordered"] for p in config["parameters"]] == [True, False]
    computed = config_of(viewer.sweep(lambda a: np.eye(3) * a, alt="Shown.", captions=lambda a: f"a = {a}", a=[1, 2]))
    assert computed["captions"] == ["a = 1", "a = 2"]
    with pytest.raises(ValueError, match="captions: expected 2 along dose"):
        viewer.sweep(frames, alt="Shown.", captions=["one"], dose=[1, 2], method=["SIRT", "WBP"])


def test_sweep_is_live_only_where_a_reader_sits(monkeypatch):
    def frame(sigma_px):
        return np.eye(4) * sigma_px

    def make(**options):
        return viewer.sweep(frame, alt="A line.", sigma_px=[1, 2, 3], **options)

    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("TRITOMO_BOOK_BUILD", raising=False)
    assert isinstance(make(), viewer.Viewer)
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.ipynb")
    assert isinstance(make(), viewer.LiveSweep)
    assert isinstance(make(live=False), viewer.Viewer)
    assert isinstance(viewer.sweep([frame(1), frame(2)], alt="A line.", a=[1, 2]), viewer.Viewer)
    monkeypatch.setenv("TRITOMO_BOOK_BUILD", "1")
    assert isinstance(make(), viewer.Viewer)


def test_live_sweep_computes_the_frame_that_is_asked_for(tmp_path):
    seen = []

    def frame(sigma_px, on):
        seen.append((sigma_px, on))
        image = np.eye(4)
        image[0, 3] = sigma_px * on
        return image

    live = viewer.sweep(
        frame,
        alt="A line.",
        live=True,
        captions=lambda sigma_px, on: f"<{sigma_px}{on:d}>",
        sigma_px=[1, 2, 3],
        on=[False, True],
    )
    assert "&lt;21&gt;" in live.picture.value
    assert [type(slider).__name__ for slider in live.sliders.values()] == ["SelectionSlider", "ToggleButtons"]
    assert seen == [(2, True)]
    first = live.picture.value
    live.sliders["sigma_px"].value = 3
    assert seen[-1] == (3, True)
    assert live.picture.value != first
    assert "sigma (px): 3, on: True" in live.picture.value
    bundle = live._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in (bundle[0] if isinstance(bundle, tuple) else bundle)
    assert "mountSweep" in live.save(tmp_path / "sweep.html").read_text(encoding="utf-8")


def test_bad_sweeps_are_refused():
    with pytest.raises(ValueError, match="expected one to three with values"):
        viewer.sweep(lambda: 0, alt="Shown.")
    with pytest.raises(ValueError, match="at most 200 frames, got 400"):
        viewer.sweep(lambda a, b: a + b, alt="Shown.", a=range(20), b=range(20))
    with pytest.raises(ValueError, match="frames: expected 3 along a, got 2"):
        viewer.sweep([np.eye(3), np.eye(3)], alt="Shown.", a=[1, 2, 3])
    with pytest.raises(ValueError, match="frames: expected one size"):
        viewer.sweep(lambda a: np.ones((a, 8)), alt="Shown.", a=[3, 4])
    with pytest.raises(TypeError, match="expected a matplotlib figure or an array"):
        viewer.sweep(lambda a: str(a), alt="Shown.", a=[1])
    with pytest.raises(ValueError, match="expected a function when live"):
        viewer.sweep([np.eye(3)], alt="Shown.", live=True, a=[1])
