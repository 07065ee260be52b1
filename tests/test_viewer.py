"""Viewers of volumes and series: size, values that come back, limits, and pages that need nothing from outside."""

import html
import io
import json
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.viewer_input import N_TILTS, config_of, particle
from tritomo_helpers import viewer
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.viewer import _pack


@pytest.fixture
def volume():
    return particle(16)


@pytest.fixture
def series():
    return TiltSeries(np.ones((N_TILTS, 6, 8)), np.linspace(-60, 60, N_TILTS), 2.0, "ADF (counts)")


@pytest.mark.acceptance
@pytest.mark.parametrize(("n", "limit", "outside"), [(64, 500_000, np.nan), (64, 500_000, 0.0), (128, 1_000_000, 0.0)])
def test_size_of_a_particle(n, limit, outside):
    shown = viewer.show_volume(particle(n, outside=outside), alt="Manganese.")
    assert len(shown.html.encode()) < 0.6 * limit
    assert config_of(shown)["digits"] == 1  # 0.1 at%


@pytest.mark.acceptance
def test_size_of_noise_that_fills_the_box():
    dense = Tomogram(np.random.default_rng(0).normal(50, 10, (64, 64, 64)), 4.63, "Mn (at%)")
    assert len(viewer.show_volume(dense, alt="Noise.").html.encode()) < 500_000


@pytest.mark.acceptance
def test_size_of_smooth_noise_that_fills_a_large_box():
    from scipy.ndimage import gaussian_filter

    rough = np.random.default_rng(0).normal(0, 16, (128, 128, 128)).astype(np.float32)
    dense = Tomogram(particle(128, noise=0.0, outside=0.0).values + gaussian_filter(rough, 1.0), 4.63, "Mn (at%)")
    shown = viewer.show_volume(dense, alt="As reconstructed.")
    assert len(shown.html.encode()) < 1_000_000
    assert config_of(shown)["step"] == 0  # coarser, but still one color in about eighty


def test_size_of_a_pair_and_of_surfaces():
    truth, other = particle(64, noise=0.0), particle(64, noise=0.03)
    assert len(viewer.show_pair(truth, other, labels=("a", "b"), alt="Two.").html.encode()) < 500_000
    mask = truth.replace(values=np.isfinite(truth.values).astype(np.uint8), quantity="mask")
    assert len(viewer.show_surface(mask, alt="Shape.").html.encode()) < 300_000


shapes = st.tuples(*[st.integers(1, 5)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-12, 3e-4, 1.0, 77.0, 4e4, 1e9]),
    offset=st.sampled_from([0.0, 1.0, -50.0]),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_values_come_back_to_half_a_step(shape, seed, scale, offset, missing):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=shape) + offset) * scale
    values[rng.random(shape) < missing] = np.nan
    (encoded,), exponent = _pack.pack([values])
    back = _pack.unpack(encoded, exponent)
    assert (np.isnan(back) == np.isnan(values)).all()
    assert np.nanmax(np.abs(back - values), initial=0) <= 0.5 * 10.0**exponent * (1 + 1e-6)
    finite = values[np.isfinite(values)]
    if np.ptp(finite) if finite.size else 0:
        assert np.ptp(finite) / 10.0**exponent >= 400 * (1 - 1e-9)


@pytest.mark.parametrize("axes", [(), (2,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("largest", [1, 200, 70_000, 2**26 - 1])
def test_every_way_of_packing_is_lossless(monkeypatch, axes, largest):
    codes = np.random.default_rng(1).integers(0, largest + 1, (3, 4, 5)).astype(np.int32)
    monkeypatch.setattr(_pack, "SLAB_VALUES", 40)  # two slices at a time
    n_planes = _pack._n_planes(codes, axes)
    raw = b"".join(_pack._plane_bytes(codes, axes, n_planes))
    data = _pack.base64.b64encode(_pack.zlib.compress(raw)).decode()
    encoded = {"shape": codes.shape, "axes": axes, "planes": n_planes, "data": data, "first": 1}
    assert (np.nan_to_num(_pack.unpack(encoded, 0)) == codes).all()


def test_counts_and_labels_stay_exact():
    for high in (2, 300, 60_000):
        values = np.random.default_rng(2).integers(0, high, (6, 6, 6)).astype(float)
        (encoded,), exponent = _pack.pack([values])
        assert exponent == 0
        assert (_pack.unpack(encoded, 0) == values).all()


def test_small_range_on_a_large_offset_keeps_its_levels():
    values = 1e6 + np.linspace(0, 1, 27).reshape(3, 3, 3)
    (encoded,), exponent = _pack.pack([values])
    assert exponent == -3
    assert np.abs(_pack.unpack(encoded, exponent) - values).max() <= 0.5e-3 * (1 + 1e-6)


def test_outliers_do_not_coarsen_what_the_color_scale_shows(volume):
    values = np.array(volume.values)
    values[8, 8, 8] = 5e4
    config = config_of(viewer.show_volume(volume.replace(values=values), alt="One hot voxel.", limits=(0, 80)))
    assert 80 / 10.0 ** config["step"] >= 400
    assert config["over"]
    assert not config["under"]


def test_uniform_and_unmeasured_volumes_are_shown():
    for value in (0.0, 0.123456, np.nan):
        shown = viewer.show_volume(Tomogram(np.full((3, 3, 3), value), 1.0), alt="Uniform.")
        config = config_of(shown)
        assert config["lo"] < config["hi"]
        back = _pack.unpack(config["volumes"][0], config["step"])
        np.testing.assert_allclose(back, value, atol=0.5 * 10.0 ** config["step"])


@pytest.mark.parametrize(
    ("quantity", "cmap"),
    [("ADF (counts)", "gray"), ("Mn (at%)", "cividis"), ("difference (at%)", "RdBu_r"), ("Δ Mn (at%)", "RdBu_r")],
)
def test_one_visual_language(volume, quantity, cmap):
    import matplotlib as mpl

    values = volume.values - 45
    config = config_of(viewer.show_volume(volume.replace(values=values), alt="Shown.", quantity=quantity))
    assert config["lut"][:6] == bytes(mpl.colormaps[cmap](0, bytes=True)[:3]).hex()
    if cmap == "RdBu_r":
        assert config["lo"] == -config["hi"] == -np.nanmax(np.abs(values))
    else:
        assert (config["lo"], config["hi"]) == (np.nanmin(values), np.nanmax(values))


def test_pair_shares_limits_and_step():
    low, high = particle(12, seed=1), particle(12, seed=2)
    high = high.replace(values=high.values * 1.5)
    config = config_of(viewer.show_pair(low, high, labels=("truth", "result"), alt="Two."))
    assert config["hi"] == np.nanmax(high.values)
    assert [v["label"] for v in config["volumes"]] == ["truth", "result"]
    for part, encoded in zip((low, high), config["volumes"], strict=True):
        back = _pack.unpack(encoded, config["step"])
        np.testing.assert_allclose(back, part.values, atol=0.5 * 10.0 ** config["step"] * (1 + 1e-6))


def test_positions_follow_the_convention(volume, series):
    axes = config_of(viewer.show_volume(volume, alt="Shown.", start=(1, 2, 3)))["axes"]
    for axis, start in zip(axes, (1, 2, 3), strict=True):
        np.testing.assert_allclose(axis["values"], (np.arange(16) - 8) * 4.63)
        assert axis["start"] == start
    tilt = config_of(viewer.show_tilt_series(series, alt="Shown.", start_angle_deg=31))["axes"][0]
    assert (tilt["values"], tilt["start"]) == ([-60, -30, 0, 30, 60], 3)


def test_html_needs_nothing_from_outside_and_escapes(volume, tmp_path):
    alt = 'A "particle" <script>alert(1)</script> & more'
    odd = volume.replace(quantity="</script><b>x</b> (at%)")
    shown = viewer.show_volume(odd, alt=alt)
    text = shown.html
    assert text.count("<script") == text.count("</script>") == 2
    assert html.escape(alt, quote=True) in text
    assert config_of(shown)["title"].startswith("</script><b>")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|\bfetch\(|\brequire\(|XMLHttp|\bimport\(", text)
    page = shown.save(tmp_path / "made" / "page.html").read_text(encoding="utf-8")
    assert text in page
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["page.html"]
    assert page.startswith("<!doctype html>")


def test_same_input_same_page(volume):
    assert viewer.show_volume(volume, alt="Shown.").html == viewer.show_volume(volume, alt="Shown.").html


def test_still_is_a_picture_of_the_first_view(volume, series):
    shown = [
        viewer.show_volume(volume, alt="Shown."),
        viewer.show_tilt_series(series, alt="Shown."),
        viewer.show_surface(volume, alt="Shown.", level=30),
        viewer.sweep([np.eye(8), np.eye(8)], alt="Shown.", a=[1, 2]),
    ]
    for one in shown:
        with Image.open(io.BytesIO(one._repr_png_())) as image:
            assert image.format == "PNG"
            assert len(set(image.convert("L").get_flattened_data())) > 1
        assert one._repr_html_() == one.html


def test_raw_arrays_are_refused_with_a_remedy(volume, series):
    array = np.ones((3, 3, 3))
    with pytest.raises(TypeError, match=r"expected a Tomogram, got ndarray. To fix: wrap it: Tomogram\(values, voxel"):
        viewer.show_volume(array, alt="Shown.")
    with pytest.raises(TypeError, match="other: expected a Tomogram"):
        viewer.show_pair(volume, array, labels=("a", "b"), alt="Shown.")
    with pytest.raises(TypeError, match=r"TiltSeries\(images, tilt_angles_deg, pixel_size_nm\)"):
        viewer.show_tilt_series(array, alt="Shown.")
    with pytest.raises(TypeError, match=r"tomogram\['Mn'\]: expected a Tomogram"):
        viewer.show_surface({"Mn": array}, alt="Shown.")
    with pytest.raises(TypeError, match="expected a Tomogram, got TiltSeries"):
        viewer.show_volume(series, alt="Shown.")


def test_bad_options_are_refused(volume, series):
    for call in (viewer.show_volume, viewer.show_surface):
        with pytest.raises(ValueError, match="alt: expected a sentence for readers who do not see it"):
            call(volume, alt=" ")
    with pytest.raises(ValueError, match=r"limits: expected \(low, high\) with low < high"):
        viewer.show_volume(volume, alt="Shown.", limits=(1, 1))
    with pytest.raises(ValueError, match="cmap: expected one of 'gray'"):
        viewer.show_volume(volume, alt="Shown.", cmap="jet")
    with pytest.raises(ValueError, match="start: expected a voxel"):
        viewer.show_volume(volume, alt="Shown.", start=(0, 0, 16))
    with pytest.raises(ValueError, match="expected finite values or NaN, got infinity"):
        viewer.show_volume(Tomogram(np.full((2, 2, 2), np.inf), 1.0), alt="Shown.")
    with pytest.raises(ValueError, match="expected real numbers, got dtype complex128"):
        viewer.show_volume(Tomogram(np.ones((2, 2, 2)) * 1j, 1.0), alt="Shown.")
    with pytest.raises(ValueError, match="crop to the particle or bin it"):
        viewer.show_volume(Tomogram(np.broadcast_to(0.0, (400, 400, 400)), 1.0), alt="Shown.")
    with pytest.raises(ValueError, match="labels: expected a tuple, got 'ab'"):
        viewer.show_pair(volume, volume, labels="ab", alt="Shown.")
    with pytest.raises(ValueError, match="expected the shape of the first"):
        viewer.show_pair(volume, particle(8), labels=("a", "b"), alt="Shown.")
    with pytest.raises(ValueError, match="expected the voxel size of the first"):
        viewer.show_pair(volume, volume.replace(voxel_size_nm=1.0), labels=("a", "b"), alt="Shown.")
    with pytest.raises(ValueError, match="values on both sides of 99"):
        viewer.show_surface(volume, level=99, alt="Shown.")
    with pytest.raises(ValueError, match="no measured value"):
        viewer.show_surface(Tomogram(np.full((3, 3, 3), np.nan), 1.0), alt="Shown.")
    with pytest.raises(ValueError, match="color: expected a matplotlib color"):
        viewer.show_surface(volume, color="manganese", alt="Shown.")
    with pytest.raises(ValueError, match=r"level: expected labels among \['Mn'\], got \['Co'\]"):
        viewer.show_surface({"Mn": volume}, level={"Co": 30}, alt="Shown.")
    with pytest.raises(ValueError, match="opacity: expected above 0"):
        viewer.show_surface(volume, opacity=0, alt="Shown.")


def test_no_label_and_no_setting_breaks_a_page():
    shown = viewer.Viewer(
        "sweep", "Shown.", {"label": "<!-- </script> <b>", "setting": float("nan"), "ends": (1, np.inf)}, bytes
    )
    script = shown.html.partition('type="application/json">')[2].partition("</script>")[0]
    read = json.loads(script)
    assert (read["label"], read["setting"], read["ends"]) == ("<!-- </script> <b>", None, [1, None])
    assert "<!--" not in script


def test_a_volume_is_packed_in_little_more_memory_than_four_bytes_a_voxel():
    z, y, x = np.ogrid[-48:48, -48:48, -48:48]
    ball = np.where(x**2 + y**2 + z**2 < 40**2, np.float32(1) + x / np.float32(96), np.float32(0))
    tracemalloc.start()
    _pack.pack([ball])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * ball.size + 60 * _pack.SLAB_VALUES
