"""Viewers without a browser: what is packed, how large it gets, what is refused. tests/book drives them in one."""

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

from tritomo_helpers import viewer
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.viewer import _pack

N_TILTS = 5


def particle(n, *, noise=0.02, outside=np.nan, seed=0):
    """Composition of a rough particle that fills a tenth of the box, with noise on it."""
    g = (np.arange(n) - n // 2) / n
    z, y, x = np.meshgrid(g, g, g, indexing="ij")
    r = np.sqrt(x**2 + (1.2 * y) ** 2 + (1.4 * z) ** 2) + 0.03 * np.sin(14 * x) * np.cos(11 * y)
    values = 40 + 30 * np.sin(9 * x + 5 * z) * (1 - r / 0.3)
    values += np.random.default_rng(seed).normal(0, 100 * noise, r.shape)
    return Tomogram(np.where(r < 0.34, values, outside), 4.63, "Mn (at%)")


def config_of(shown):
    """What the script on the page reads."""
    source = re.search(r'<script type="application/json">(.*?)</script>', shown.html, re.DOTALL)[1]
    return json.loads(source)


@pytest.fixture
def volume():
    return particle(16)


@pytest.fixture
def series():
    return TiltSeries(np.ones((N_TILTS, 6, 8)), np.linspace(-60, 60, N_TILTS), 2.0, "ADF (counts)")


@pytest.mark.parametrize("outside", [np.nan, 0.0])
@pytest.mark.parametrize(("n", "limit"), [(64, 500_000), (128, 1_000_000)])
def test_size_of_a_particle(n, limit, outside):
    shown = viewer.show_volume(particle(n, outside=outside), alt="Manganese.")
    assert len(shown.html.encode()) < 0.6 * limit
    assert config_of(shown)["digits"] == 1  # 0.1 at%


def test_size_of_noise_that_fills_the_box():
    dense = Tomogram(np.random.default_rng(0).normal(50, 10, (64, 64, 64)), 4.63, "Mn (at%)")
    assert len(viewer.show_volume(dense, alt="Noise.").html.encode()) < 500_000


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
    page = shown.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert text in page
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


def test_surface_of_a_ball_has_its_radius_and_faces_outward():
    z, y, x = np.indices((21, 23, 25)) - np.array([10, 11, 12])[:, None, None, None]
    ball = Tomogram(8.0 - np.sqrt(x**2 + y**2 + z**2), 2.0, "distance (px)")
    config = config_of(viewer.show_surface(ball, alt="A ball.", level=1.0))
    (mesh,) = config["meshes"]
    points = (_pack.unpack(mesh["points"], 0)[:, 0] - 1).T * mesh["step"] + mesh["origin"]
    faces = (_pack.unpack(mesh["faces"], 0)[:, 0] - 1).T.astype(int)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 14.0, atol=0.15)
    a, b, c = (points[faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.02)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # closed


def test_surface_at_the_box_is_closed_and_unmeasured_is_outside():
    values = np.ones((8, 8, 8))
    values[0] = np.nan
    values[1] = 0.0
    mesh = config_of(viewer.show_surface(Tomogram(values, 1.0), alt="A slab.", smoothing_px=0))["meshes"][0]
    z = (_pack.unpack(mesh["points"], 0)[2, 0] - 1) * mesh["step"] + mesh["origin"][2]
    np.testing.assert_allclose((z.min(), z.max()), (-2.5, 3.5), atol=0.05)


def test_surface_colors_and_labels():
    z, y, x = np.indices((12, 12, 12)) - 6
    mask = Tomogram((x**2 + y**2 + z**2 < 20) * 1.0, 4.63, "mask")
    level = Tomogram(20.0 - (x**2 + y**2 + z**2), 4.63, "Co (at%)")
    config = config_of(viewer.show_surface({"particle": mask, "Co rich": level}, level={"Co rich": 12}, alt="Two."))
    assert [m["label"] for m in config["meshes"]] == ["particle", "Co rich at 12 at%"]
    assert [m["opacity"] for m in config["meshes"]] == [0.35, 1.0]
    assert config["meshes"][1]["color"].upper() == "#0072B2"


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


def test_no_label_and_no_setting_breaks_a_page():
    shown = viewer.Viewer(
        "sweep", "Shown.", {"label": "<!-- </script> <b>", "setting": float("nan"), "ends": (1, np.inf)}, b""
    )
    script = shown.html.partition('type="application/json">')[2].partition("</script>")[0]
    read = json.loads(script)
    assert (read["label"], read["setting"], read["ends"]) == ("<!-- </script> <b>", None, [1, None])
    assert "<!--" not in script


def cube_of_x(n=12):
    """A cube whose value is its x in voxels from the origin, NaN outside."""
    values = np.full((n, n, n), np.nan)
    values[2:-2, 2:-2, 2:-2] = (np.arange(n) - n // 2)[2:-2]
    mask = Tomogram(np.isfinite(values) * 1.0, 2.0, "mask")
    return mask, Tomogram(values, 2.0, "Mn (at%)")


def test_painted_surface_has_the_value_at_each_point():
    mask, values = cube_of_x()
    shown = viewer.show_surface(mask, values=values, limits=(-4, 4), smoothing_px=0, alt="A cube.")
    (mesh,) = config_of(shown)["meshes"]
    x = (_pack.unpack(mesh["points"], 0)[0, 0] - 1) * mesh["step"] + mesh["origin"][0]
    level = _pack.unpack(mesh["values"], 0)[0, 0] - 1
    # What lies beyond the outermost voxels takes their value.
    np.testing.assert_allclose(level, 255 * (np.clip(x / 2, -4, 3) + 4) / 8, atol=1.5)
    assert config_of(shown)["bar"]["ends"] == ["−4", "4"]


@pytest.mark.parametrize(
    ("cut", "corner"), [(("+x",), (1, 0, 0)), (("-x", "+z"), (-1, 0, 1)), (("+y", "-z"), (0, 1, -1))]
)
def test_a_cut_takes_what_lies_on_all_of_its_sides(cut, corner):
    mask, _ = cube_of_x()
    (mesh,) = config_of(viewer.show_surface(mask, cut=cut, smoothing_px=0, alt="A cube."))["meshes"]
    points = (_pack.unpack(mesh["points"], 0)[:, 0] - 1).T * mesh["step"] + mesh["origin"]
    beyond = [(points[:, i] + 1) * side > 2 for i, side in enumerate(corner) if side]  # the middle lies at -1 nm
    assert not np.all(beyond, axis=0).any()
    assert np.any(beyond, axis=1).all() or len(cut) == 1


def test_film_shows_the_value_that_faces_the_reader_at_each_tilt():
    _, values = cube_of_x()
    shown = viewer.show_turntable(
        {"Mn": {"cube": values}}, limits={"Mn": (-4, 4)}, cmap="gray", depth_nm=0.5, n_views=4, alt="A cube."
    )
    config = config_of(shown)
    middles = []
    for address in config["pictures"]:
        with Image.open(io.BytesIO(_pack.base64.b64decode(address.partition(",")[2]))) as image:
            picture = np.asarray(image.convert("L"), float)
        middles.append(picture[picture.shape[0] // 2, picture.shape[1] // 2])
    # Along n = (sin t, 0, cos t): at 90 deg the beam enters at the lowest x, at 270 deg at the highest.
    assert middles[1] < middles[0] - 20
    assert middles[3] > middles[0] + 20
    assert middles[0] == pytest.approx(middles[2], abs=25)
    assert config["parameters"][config["plays"]]["texts"] == ["0°", "90°", "180°", "270°"]


def test_cuts_paint_and_films_are_refused_with_a_remedy():
    mask, values = cube_of_x()
    with pytest.raises(ValueError, match="cut: expected one of"):
        viewer.show_surface(mask, cut=("left",), alt="A cube.")
    with pytest.raises(ValueError, match="values: expected shape and voxel size"):
        viewer.show_surface(mask, values=values.replace(voxel_size_nm=3.0), alt="A cube.")
    with pytest.raises(ValueError, match="values: expected labels among"):
        viewer.show_surface({"particle": mask}, values={"other": values}, alt="A cube.")
    with pytest.raises(ValueError, match="Co: expected the particles"):
        viewer.show_turntable({"Mn": {"a": values}, "Co": {"b": values}}, alt="Two.")
    with pytest.raises(ValueError, match="n_views: expected 2 to 400 frames"):
        viewer.show_turntable({"Mn": {"a": values}}, n_views=500, alt="Too long.")
    with pytest.raises(ValueError, match="rows: expected a quantity"):
        viewer.show_turntable({}, alt="Nothing.")


def test_a_volume_is_packed_in_little_more_memory_than_four_bytes_a_voxel():
    z, y, x = np.ogrid[-48:48, -48:48, -48:48]
    ball = np.where(x**2 + y**2 + z**2 < 40**2, np.float32(1) + x / np.float32(96), np.float32(0))
    tracemalloc.start()
    _pack.pack([ball])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * ball.size + 60 * _pack.SLAB_VALUES
