import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from tritomo_helpers import constants, plotting
from tritomo_helpers.plotting import style
from tritomo_helpers.viewer import _color


@pytest.fixture(autouse=True)
def _book_style(monkeypatch):
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        plotting.use_style()
        yield
        plt.close("all")


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    from matplotlib.colors import to_rgb

    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_each_element_and_valence_state_has_its_own_color():
    assert set(plotting.VALENCE_COLORS) == set(constants.D_HOLES)
    for colors in (plotting.ELEMENT_COLORS, plotting.VALENCE_COLORS):
        assert len(set(colors.values())) == len(colors)
        assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in colors.values())
    assert style.color_of("Mn L3") == plotting.ELEMENT_COLORS["Mn"]
    assert style.color_of("total", "black") == "black"
    states = [style.color_of(s) for s in ("Mn4+", "Mn3+", "Mn2+")]
    assert len(set(states)) == 3


@pytest.mark.parametrize("quantity", ["ADF (counts)", "HAADF", "intensity", "Mn (at%)", "difference (nm)", "Δ (at%)"])
def test_figures_and_viewers_choose_one_color_map(quantity):
    colors = plotting.show_image(np.eye(3), quantity=quantity).images[0].get_cmap()
    assert colors.name == _color.choose_color_map(None, quantity) == style.color_map_of(quantity)


def test_higher_valence_is_darker():
    mn = [luminance(style.color_of(s)) for s in ("Mn4+", "Mn3+", "Mn2+")]
    co = [luminance(style.color_of(s)) for s in ("Co3+", "Co2+")]
    assert mn == sorted(mn)
    assert co == sorted(co)


@pytest.mark.parametrize(
    ("n_pixels", "pixel_size_nm", "expected"),
    [(64, 4.63, 100.0), (256, 0.0066, 0.5), (256, 13.08, 1000.0), (10, 1.0, 5.0)],
)
def test_scale_bar_is_a_round_length_and_as_long_as_it_says(n_pixels, pixel_size_nm, expected):
    axes = plotting.show_image(np.zeros((n_pixels, n_pixels)), pixel_size_nm=pixel_size_nm)
    (bar,) = axes.artists
    length_px = bar.size_bar.get_children()[0].get_width()
    assert length_px * pixel_size_nm == pytest.approx(expected)
    unit = {"nm": 1.0, "µm": 1000.0}
    number, name = bar.txt_label.get_text().split()
    assert float(number) * unit[name] == pytest.approx(expected)


@pytest.mark.parametrize("directions", [None, ("x", "z")])
def test_scale_bar_lies_below_the_image_and_covers_nothing(directions):
    one = plotting.show_image(np.eye(64), pixel_size_nm=4.63, quantity="ADF (counts)", directions=directions)
    several = plotting.show_images([np.eye(64)] * 3, pixel_size_nm=4.63, quantity="counts", directions=directions)
    for axes in (one, several[0]):
        axes.figure.draw_without_rendering()
        (bar,) = axes.artists
        extent = bar.get_window_extent()
        others = [a.get_tightbbox() for a in axes.figure.axes if a is not axes] + [axes.xaxis.label.get_window_extent()]
        assert extent.y1 <= axes.bbox.y0 + 1e-6
        assert extent.x0 == pytest.approx(axes.bbox.x0, abs=1)
        assert extent.y0 >= axes.figure.bbox.y0
        assert extent.count_overlaps([box for box in others if box.width > 0]) == 0


def test_images_of_one_scale_share_a_scale_bar_and_others_have_their_own():
    def bars(images, **sizes):
        return [len(axes.artists) for axes in plotting.show_images(images, columns=2, **sizes)]

    assert bars([np.eye(8)] * 3, pixel_size_nm=1.0) == [0, 0, 1]
    assert bars([np.eye(8)] * 2, pixel_size_nm=[1.0, 2.0]) == [1, 1]
    assert bars([np.eye(8), np.eye(6)], pixel_size_nm=1.0) == [1, 1]


def test_outline_goes_around_the_mask_and_the_truth_is_dashed_black():
    mask = np.zeros((8, 8), bool)
    mask[2:5, :3] = True  # it touches the border of the image
    axes = plotting.show_image(np.eye(8), quantity="ADF", outlines={"truth": mask, "otsu": mask}, directions=("x", "z"))
    paths = [path.vertices for path in axes.collections[0].get_paths()]
    x, y = np.concatenate(paths).T
    assert (x.min(), x.max(), y.min(), y.max()) == (-0.5, 2.5, 1.5, 4.5)
    truth, ours = axes.collections
    assert tuple(truth.get_edgecolor()[0]) == (0, 0, 0, 1)
    assert truth.get_linestyle()[0][1] is not None
    assert ours.get_linestyle()[0][1] is None
    assert axes.get_xlabel() == "x →"
    assert [t.get_text() for t in axes.figure.legends[0].get_texts()] == ["truth", "otsu"]


def test_each_image_has_its_own_outlines():
    masks = [np.arange(16).reshape(4, 4) % 4 < width for width in (1, 2)]
    axes = plotting.show_images([np.eye(4)] * 2, outlines=[{"mask": m} for m in masks])
    assert [len(a.collections) for a in axes] == [1, 1]
    assert len(axes[0].figure.legends[0].get_texts()) == 1


def test_sinogram_has_tilts_down_and_nanometers_across():
    angles = np.arange(-70, 71, 10)
    axes = plotting.show_sinograms([np.ones((15, 65))] * 2, angles, pixel_size_nm=2.0, titles=["a", "b"])
    ticks = dict(zip(axes[0].get_yticks(), (t.get_text() for t in axes[0].get_yticklabels()), strict=True))
    assert (ticks[0], ticks[14]) == ("−70", "70")
    across = dict(zip((t.get_text() for t in axes[0].get_xticklabels()), axes[0].get_xticks(), strict=True))
    assert (across["0"], across["50"]) == (32, 32 + 25)
    (even,) = plotting.show_sinograms([np.ones((15, 64))], angles, pixel_size_nm=2.0, across="y")
    assert (axes[0].get_xlabel(), even.get_xlabel()) == ("position (nm)", "y (nm)")
    assert even.get_xticks()[1] == 32, "the axis lies at N // 2"


def test_images_side_by_side_share_limits_and_one_color_bar():
    axes = plotting.show_images([np.eye(4), 5 * np.eye(4), np.eye(4) - 2], titles=list("abc"), quantity="Mn (at%)")
    assert {a.images[0].get_clim() for a in axes} == {(-2.0, 5.0)}
    bars = [a for a in axes[0].figure.axes if hasattr(a, "_colorbar")]
    assert len(bars) == 1
    assert bars[0].get_xlabel() == "Mn (at%)"


def test_not_measured_is_neither_a_limit_nor_a_color_of_the_map():
    image = np.array([[1.0, np.nan], [3.0, 2.0]])
    axes = plotting.show_image(image, quantity="counts")
    assert axes.images[0].get_clim() == (1.0, 3.0)
    colors = axes.images[0].get_cmap()
    assert tuple(colors.get_bad()) not in {tuple(colors(v)) for v in np.linspace(0, 1, 256)}


def test_the_difference_is_symmetric_and_keeps_its_sign():
    axes = plotting.show_difference([[2.0, 0.0]], [[0.0, 1.0]])
    assert axes.images[0].get_clim() == (-2.0, 2.0)
    np.testing.assert_array_equal(axes.images[0].get_array(), [[2.0, -1.0]])


def test_adf_is_gray_and_other_quantities_are_not():
    gray = plotting.show_image(np.eye(3), quantity="ADF (counts)").images[0].get_cmap().name
    other = plotting.show_image(np.eye(3), quantity="Mn (counts)").images[0].get_cmap().name
    assert (gray, other) == ("gray", "cividis")


def test_edges_are_marked_where_they_are_and_only_in_the_range_shown():
    energy = np.arange(500.0, 900.0)
    edges = {"O K": 532.0, "Mn L3": 640.0, "Co L3": 779.0}
    axes = plotting.show_spectrum(energy, energy, edges=edges, range_ev=(600, 700))
    marks = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in marks] == [640.0]
    assert marks[0].get_color() == plotting.ELEMENT_COLORS["Mn"]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), energy[(energy >= 600) & (energy <= 700)])


def test_names_of_close_edges_do_not_collide():
    energy = np.arange(630.0, 680.0)
    axes = plotting.show_spectrum(energy, energy, edges={"Mn L3": 640.0, "Mn L2": 641.0})
    first, second = (text.xyann[0] for text in axes.texts)
    assert second - first >= 0.05 * (energy[-1] - energy[0])


def test_a_curve_called_truth_is_dashed_black_and_takes_no_shade_from_the_others():
    axes = plotting.show_curves({"truth": ([0, 1], [1, 1]), "fit": ([0, 1], [1, 2])}, x_label="x", y_label="y")
    truth, fit = axes.lines
    assert (truth.get_color(), truth.get_linestyle()) == ("black", "--")
    assert fit.get_linestyle() == "-"


def test_no_curve_but_the_truth_is_dashed():
    curves = {name: ([0, 1], [1, 2]) for name in ("truth", "a", "b", "c", "d", "e")}
    axes = plotting.show_curves(curves, x_label="x", y_label="y")
    truth, *others = (line._unscaled_dash_pattern[1] for line in axes.lines)
    assert truth is not None
    assert len({str(pattern) for pattern in others}) == 4
    assert truth not in others
    assert all(pattern is None or len(pattern) > 2 or pattern[0] < 2 for pattern in others)


def test_valence_states_are_written_as_chemists_write_them():
    axes = plotting.show_profiles({"Mn4": [1, 2], "Co3": [2, 3]}, [0, 5], x_label="", y_label="")
    assert [t.get_text() for t in axes.figure.legends[0].get_texts()] == ["Mn⁴⁺", "Co³⁺"]
    assert style.typeset("Mn K, 20 Mn2+ ions, Mn25") == "Mn K, 20 Mn²⁺ ions, Mn25"


def test_paper_is_hollow_ours_is_filled_truth_is_dashed_black():
    axes = plotting.show_profiles(
        {"Mn": [1, 2]}, [0, 5], x_label="", y_label="", truth={"Mn": [1, 1]}, null=([0, 0], [1, 1])
    )
    plotting.show_paper_values(axes, [0], [1], label="Mn, paper")
    assert axes.lines[-1].get_markerfacecolor() == "white"
    ours = axes.containers[0].lines[0]
    assert ours.get_markerfacecolor() == plotting.ELEMENT_COLORS["Mn"]
    truth = next(line for line in axes.lines if line.get_label() == "truth")
    assert (truth.get_color(), truth.get_linestyle()) == ("black", "--")
    assert "null" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_lines_leave_as_svg_and_images_as_png_at_twice_the_size():
    lines = plotting.show_spectrum([1, 2], [1, 2]).figure
    assert style.figure_png(lines) is None
    assert style.figure_svg(lines).count("<svg") == 1
    picture = plotting.show_image(np.eye(8), quantity="x").figure
    assert style.figure_svg(picture) is None
    data, metadata = style.figure_png(picture)
    width = int.from_bytes(data[16:20], "big")  # of the IHDR chunk
    assert width == pytest.approx(2 * metadata["width"], abs=2)


def test_same_figure_gives_the_same_bytes():
    texts = {style.figure_svg(plotting.show_spectrum([1, 3, 2], [1, 2, 3], edges={"O K": 2}).figure) for _ in range(2)}
    assert len(texts) == 1


def test_a_notebook_gets_one_format_per_figure():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        plotting.use_style()
        for figure, expected in ((plotting.show_spectrum([1, 2], [1, 2]).figure, "svg"), (_image_figure(), "png")):
            data, _ = shell.display_formatter.format(figure)
            kinds = {kind for kind in data if kind.startswith("image/")}
            assert len(kinds) == 1
            assert expected in kinds.pop()
    finally:
        InteractiveShell.clear_instance()


def _image_figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().imshow([[0, 1]])
    return figure


def test_labels_stay_readable_on_a_telephone():
    """350 CSS pixels are what a page leaves for a figure on a 390-pixel screen; 9 of them is the smallest text."""
    figures = [
        plotting.show_spectrum([1, 2], [600, 700], label="O K", edges={"Mn L3": 640}, title="t").figure,
        plotting.show_images([np.eye(4)] * 3, titles=list("abc"), quantity="counts", pixel_size_nm=1)[0].figure,
        plotting.show_image(np.eye(4), quantity="ADF (counts)", pixel_size_nm=1).figure,
    ]
    for figure in figures:
        figure.canvas.draw()
        shrink = min(1.0, 350 / (figure.get_figwidth() * 96))
        sizes = [
            text.get_fontsize() for text in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if text.get_text()
        ]
        assert min(sizes) * 96 / 72 * shrink >= 9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plotting.show_image(np.zeros(4)), "2 axes"),
        (lambda: plotting.show_image(np.full((2, 2), np.nan)), "at least one measured pixel"),
        (lambda: plotting.show_image(np.eye(2), limits=(1, 0)), "low < high"),
        (lambda: plotting.show_images([]), "at least one image"),
        (lambda: plotting.show_images([np.eye(2)], titles=["a", "b"]), "one per image"),
        (lambda: plotting.show_images([np.eye(2)], outlines=[{}, {}]), "one per image"),
        (lambda: plotting.show_image(np.eye(2), outlines={"mask": np.ones((2, 2))}), "a mask with a border"),
        (lambda: plotting.show_sinograms([np.eye(2)], [0, 1, 2], pixel_size_nm=1), "one row for each tilt"),
        (lambda: plotting.show_difference(np.eye(2), np.eye(3)), "one grid"),
        (lambda: plotting.show_spectrum([1, 2], [2, 1]), "increasing"),
        (lambda: plotting.show_spectrum([1, 2, 3], [1, 2]), "shape"),
        (lambda: plotting.show_spectrum([1, 2], [1, 2], range_ev=(5, 6)), "a range that meets"),
        (lambda: plotting.mark_windows(plotting.show_spectrum([1, 2], [1, 2]), {"w": (2, 1)}), "swap"),
        (lambda: plotting.show_curves({"a": ([1], [1, 2])}, x_label="", y_label=""), "one y for each x"),
        (lambda: plotting.show_curves({"a": ([1], [1])}, x_label="", y_label="", emphasize="mean"), "name of a curve"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_picture_of_the_geometry_obeys_the_convention():
    """Each ball's foot on the image axis lies at u = x cos t - z sin t, along u = (cos t, -sin t) in (x, z)."""
    centers, angle = np.array([[0, 0, 110.0], [75, 0, 0]]), 30.0
    axes = plotting.show_geometry([angle], centers_nm=centers, radii_nm=[17, 28])[0]
    t = np.deg2rad(angle)
    feet = np.array([line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"])
    along_u = feet @ [np.cos(t), -np.sin(t)]
    np.testing.assert_allclose(along_u, centers[:, 0] * np.cos(t) - centers[:, 2] * np.sin(t))
    assert along_u[0] < 0 < along_u[1]
    low, high = axes.get_ylim()
    assert low > high  # z runs down, as the beam does


def test_a_legend_of_our_own_stays_out_of_the_axes():
    axes = plotting.show_curves({"a": ([0, 1], [0, 1]), "b": ([0, 1], [1, 0])}, x_label="x", y_label="y")
    figure = axes.figure
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= axes.get_window_extent().y1
    assert axes.get_legend() is None


def test_points_have_no_line_and_the_mean_stands_out():
    names = {"along": ([0, 1], [0, 1]), "across": ([0, 1], [1, 0]), "mean": ([0, 1], [0.5, 0.5])}
    lines = plotting.show_curves(names, x_label="x", y_label="y", points=True).lines
    assert [line.get_linestyle() for line in lines] == ["None"] * 3
    assert len({line.get_marker() for line in lines[:2]}) == 2, "not told apart by color alone"
    lines = plotting.show_curves(names, x_label="x", y_label="y", emphasize="mean").lines
    assert lines[2].get_color() == "black"
    assert lines[2].get_linewidth() > 1.5 * lines[0].get_linewidth()


def test_numbers_of_a_matrix_can_be_read_on_their_colors():
    ax = plotting.show_matrix([[100, -100, 0], [30, np.nan, -1e-9]], rows=["a", "b"], columns=list("xyz"))
    written = [text for text in ax.texts if text.get_text()]
    assert [text.get_text() for text in written] == ["100", "−100", "0", "30", "0"], "not measured stays empty"
    for text, value in zip(written, (100, -100, 0, 30, 0), strict=True):
        paper, ink = (luminance(c) for c in (ax.images[0].to_rgba(value), text.get_color()))
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) > 4.5
    with pytest.raises(ValueError, match=r"one name for each.*1 and 2 names.*shape \(1, 3\)"):
        plotting.show_matrix([[1, 2, 3]], rows=["a"], columns=["x", "y"])


def test_gap_points_from_the_expected_to_the_seen():
    ax = Figure().subplots()
    plotting.mark_gap(ax, 200, 44, 11, unit="points")
    arrow, words = ax.texts
    assert (arrow.xyann, arrow.xy) == ((200, 44), (200, 11))
    assert words.get_text() == "−33 points"


def test_particles_of_a_stage_differ_in_shade_and_the_legend_belongs_to_all_rows():
    flat = [([2.0, 6.0], [66.0, 66.5], [0.1, 0.1])]
    rows = {
        "O (at%)": {"pristine": flat * 2, "100 cycles": flat * 4},
        "Mn (at%)": {"pristine": flat, "100 cycles": flat},
    }
    grid = plotting.show_particle_profiles(rows)
    shades = [luminance(container[0].get_color()) for container in grid[0][1].containers]
    assert len(set(shades)) == 4
    assert shades == sorted(shades, reverse=True)
    (legend,) = grid[0][0].figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [f"particle {n}" for n in (1, 2, 3, 4)]
    assert all(len(set(line.get_color())) == 1 for line in legend.get_lines()), "gray, as no row is"
