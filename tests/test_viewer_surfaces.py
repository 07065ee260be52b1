"""Surfaces, cuts and films: where they are, which value they show, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.viewer_input import config_of
from tritomo_helpers import viewer
from tritomo_helpers.containers import Tomogram
from tritomo_helpers.viewer import _pack


def cube_of_x(n=12):
    """A cube whose value is its x in voxels from the origin, NaN outside."""
    values = np.full((n, n, n), np.nan)
    values[2:-2, 2:-2, 2:-2] = (np.arange(n) - n // 2)[2:-2]
    mask = Tomogram(np.isfinite(values) * 1.0, 2.0, "mask")
    return mask, Tomogram(values, 2.0, "Mn (at%)")


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


def middles_of(shown):
    """Colors (r, g, b) in the middle of each picture."""
    colors = []
    for address in config_of(shown)["pictures"]:
        with Image.open(io.BytesIO(_pack.base64.b64decode(address.partition(",")[2]))) as image:
            picture = np.asarray(image.convert("RGB"), float)
        colors.append(picture[picture.shape[0] // 2, picture.shape[1] // 2])
    return colors


def test_film_shows_the_value_that_faces_the_reader_at_each_tilt():
    _, values = cube_of_x()
    shown = viewer.show_turntable(
        {"Mn": {"cube": values}}, limits={"Mn": (-4, 4)}, cmap="gray", depth_nm=0.5, n_views=4, alt="A cube."
    )
    config = config_of(shown)
    middles = [color.mean() for color in middles_of(shown)]
    # Along n = (sin t, 0, cos t): at 90 deg the beam enters at the lowest x, at 270 deg at the highest.
    assert middles[1] < middles[0] - 20
    assert middles[3] > middles[0] + 20
    assert middles[0] == pytest.approx(middles[2], abs=25)
    assert config["parameters"][config["plays"]]["texts"] == ["0°", "90°", "180°", "270°"]


def test_what_was_not_measured_is_gray_in_a_film_and_not_the_color_of_zero():
    _, values = cube_of_x()
    full = values.replace(values=np.where(np.isfinite(values.values), 4.0, np.nan))
    gap = full.replace(values=np.where(np.arange(12) < 6, np.nan, full.values))  # the half of low x, seen at 90 deg
    settings = {"limits": {"Mn": (0, 4), "Co": (0, 4)}, "cmap": "cividis", "depth_nm": 0.5, "n_views": 4, "alt": "Two."}
    shown = viewer.show_turntable({"Mn": {"cube": full}, "Co": {"cube": gap}}, **settings)
    colors = middles_of(shown)
    unmeasured, measured = colors[4 + 1], colors[4 + 3]
    assert np.ptp(unmeasured) < 12, "gray"
    assert np.ptp(measured) > 60, "yellow, the highest value"
    np.testing.assert_allclose(measured, colors[3], atol=8)


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
