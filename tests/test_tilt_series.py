import dask.array as da
import numpy as np
import pytest

from tritomo_helpers import tilt_series as ts_
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries

from .helper import relative_error


def series(images, label=""):
    return TiltSeries(images, np.arange(len(images)) * 10.0, 4.63, label)


def spectra(counts):
    return SpectrumTiltSeries(counts, np.arange(counts.shape[0]) * 10.0, np.arange(counts.shape[3]), 4.63)


def balls(radii, n=48):
    y, x = np.mgrid[-(n // 2) : n - n // 2, -(n // 2) : n - n // 2]
    return np.stack([2 * np.sqrt(np.clip(r**2 - x**2 - y**2, 0, None)) for r in radii])


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


# Masks


def test_otsu_alone_cuts_the_thin_rim_and_the_grown_mask_keeps_it(rng):
    thickness = balls([12, 15, 18])
    noisy = series(rng.poisson(thickness * 100 + 50))
    grown, plain = ts_.otsu_masks(noisy), ts_.otsu_masks(noisy, grow_to_sigma=None)
    assert dice(grown, thickness > 0) > 0.98
    assert dice(plain, thickness > 0) < 0.97
    # Otsu's region of a ball ends where the thickness falls below its threshold: a smaller disk, inside the other.
    assert not (plain & ~grown).any()


def test_grown_mask_of_the_mean_thickness_profile_loses_no_mass(rng):
    thickness = balls([16])
    noisy = series(rng.poisson(thickness * 100 + 50))
    inside = (thickness * ts_.otsu_masks(noisy)).sum() / thickness.sum()
    assert inside > 0.999
    assert (thickness * ts_.otsu_masks(noisy, grow_to_sigma=None)).sum() / thickness.sum() < 0.985


def test_holes_are_filled_and_a_speck_is_left_out():
    image = balls([14])
    image[0, 22:26, 22:26] = 0
    image[0, 2, 2] = image.max()
    mask = ts_.otsu_masks(series(image))[0]
    assert mask[23, 23]
    assert not mask[2, 2]


@pytest.mark.parametrize("level", [0.0, 3.0, 500.0])
def test_noise_has_no_mask(rng, level):
    assert not ts_.otsu_masks(series(rng.poisson(level, (5, 48, 48)))).any()


@pytest.mark.parametrize(("seen", "visible"), [(0.22, False), (0.38, True)])
def test_what_noise_hides_has_no_mask(seen, visible):
    """White noise is added until neighbors agree that much; half-way between is the threshold."""
    ball = balls([14])[0]
    power = ball.var() * (ts_.neighbor_correlation(ball) / seen - 1)
    image = ball + np.random.default_rng(3).normal(0, np.sqrt(power), ball.shape)
    assert ts_.neighbor_correlation(image) == pytest.approx(seen, abs=0.05)
    mask = ts_.otsu_masks(series(image[None]))
    assert mask.any() == visible


def test_a_not_measured_pixel_stops_the_mask_and_names_the_tilt():
    images = balls([10, 10])
    images[1, 3, 3] = np.nan
    with pytest.raises(ValueError, match="image at 10 deg: expected finite"):
        ts_.otsu_masks(series(images))


def test_masks_set_the_outside_of_every_channel_to_zero(rng):
    masks = balls([8, 12], n=32) > 0
    counts = rng.poisson(5, (2, 32, 32, 6)).astype(np.uint16)
    cut = ts_.apply_masks(spectra(counts), masks).counts
    assert cut.dtype == np.uint16
    assert np.array_equal(cut[masks], counts[masks])
    assert cut[~masks].max() == 0
    lazy = ts_.apply_masks(spectra(da.from_array(counts, chunks=(1, 16, 16, 3))), masks).counts
    assert isinstance(lazy, da.Array)
    assert np.array_equal(lazy.compute(), cut)
    with pytest.raises(ValueError, match=r"masks: expected shape \(2, 32, 32\)"):
        ts_.apply_masks(spectra(counts), masks[:1])


# Shifts


@pytest.mark.parametrize("n", [15, 16])
def test_whole_pixels_are_exact(rng, n):
    images = rng.normal(size=(1, n, n + 3))
    moved = ts_.apply_shifts(series(images), [[3, -2]]).images
    assert np.array_equal(moved[0], np.roll(images[0], (3, -2), axis=(0, 1)))


@pytest.mark.parametrize("shape", [(15, 17), (16, 16), (16, 17)])
@pytest.mark.parametrize("shift", [(0.3, -1.7), (0.5, 0.5), (-2.5, 3.25)])
def test_there_and_back_returns_the_input_and_the_sum_is_kept(rng, shape, shift):
    images = rng.normal(size=(1, *shape))  # white noise: full power at the Nyquist frequency too
    moved = ts_.apply_shifts(series(images), [shift])
    back = ts_.apply_shifts(moved, -np.array([shift])).images
    assert np.allclose(back, images, atol=1e-12)
    assert np.isclose(moved.images.sum(), images.sum())
    assert relative_error(moved.images, images) > 0.5


def test_a_fraction_of_a_pixel_is_exact_for_a_smooth_image():
    y, x = np.mgrid[-16:16, -16:16]
    at = lambda sy, sx: np.exp(-((y - sy) ** 2 + (x - sx) ** 2) / 12.0)  # noqa: E731
    moved = ts_.apply_shifts(series(at(0, 0)[None]), [[1.3, -2.6]]).images[0]
    assert relative_error(moved, at(1.3, -2.6)) < 1e-6


def test_what_enters_from_outside_can_be_marked_as_not_measured():
    images = np.ones((1, 8, 8))
    moved = ts_.apply_shifts(series(images), [[1.5, 0]], outside="nan").images[0]
    assert np.isnan(moved).sum() == 2 * 8
    assert np.isnan(moved[:2]).all()
    assert ts_.apply_shifts(series(images), [[0, -3]], outside="zero").images[0, :, 5:].max() == 0
    with pytest.raises(ValueError, match="outside: expected one of 'wrap', 'nan', 'zero'"):
        ts_.apply_shifts(series(images), [[0, 0]], outside="edge")


def test_every_channel_moves_alike_in_numpy_dask_and_memory_maps(rng, tmp_path):
    counts = rng.poisson(20, (3, 12, 13, 7)).astype(np.uint16)
    shifts = [[0.4, -1.2], [2, 0], [-0.1, 0.9]]
    eager = ts_.apply_shifts(spectra(counts), shifts).counts
    assert eager.dtype == np.float32
    one = ts_.apply_shifts(series(counts[..., 4]), shifts).images
    assert np.allclose(eager[..., 4], one, atol=1e-4)

    calls = []
    source = da.from_array(counts, chunks=(2, 5, 6, 3)).map_blocks(lambda b: calls.append(1) or b, dtype=counts.dtype)
    calls.clear()  # Dask tries functions on empty blocks
    lazy = ts_.apply_shifts(spectra(source), shifts).counts
    assert isinstance(lazy, da.Array)
    assert not calls
    assert np.allclose(lazy.compute(scheduler="synchronous"), eager, atol=1e-4)
    assert calls

    stored = np.memmap(tmp_path / "counts.dat", dtype=np.uint16, mode="w+", shape=counts.shape)
    stored[:] = counts
    mapped = ts_.apply_shifts(spectra(stored), shifts).counts
    assert isinstance(mapped, da.Array)
    assert np.allclose(mapped.compute(scheduler="synchronous"), eager, atol=1e-4)


def test_input_is_not_changed(rng):
    images = rng.normal(size=(1, 8, 8))
    before = images.copy()
    ts_.apply_shifts(series(images), [[0.5, 0.5]])
    ts_.apply_shifts(series(images), [[1, 0]], outside="nan")
    assert np.array_equal(images, before)


def test_bad_shifts_are_refused():
    images = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match=r"shifts_px: expected shape \(2, 2\)"):
        ts_.apply_shifts(series(images), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"NaN at 10 deg.*drop=True"):
        ts_.apply_shifts(series(images), [[0, 0], [np.nan, 0]])
    images[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"image to shift.*NaN"):
        ts_.apply_shifts(series(images), [[0.5, 0], [0, 0]])
    with pytest.raises(TypeError, match="a TiltSeries or a SpectrumTiltSeries, got ndarray"):
        ts_.apply_shifts(images, np.zeros((2, 2)))


@pytest.mark.parametrize("angle", [2.8, -7.0, 30.0])
def test_turning_is_undone_by_the_opposite_turn_and_keeps_the_sum(rng, angle):
    counts = rng.normal(size=(1, 24, 25, 2))
    turned = ts_.apply_rotation(spectra(counts), angle)
    assert np.allclose(ts_.apply_rotation(turned, -angle).counts, counts, atol=1e-12)
    assert np.isclose(turned.counts.sum(), counts.sum())


def test_turning_moves_x_toward_y_and_is_exact_for_a_smooth_image():
    y, x = np.mgrid[-32:32, -32:32]
    blob = lambda cy, cx: np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 10.0)  # noqa: E731
    angle = np.deg2rad(10)
    turned = ts_.apply_rotation(series(blob(0, 15)[None]), 10.0).images[0]
    assert relative_error(turned, blob(15 * np.sin(angle), 15 * np.cos(angle))) < 1e-6
    with pytest.raises(ValueError, match="within 45 deg"):
        ts_.apply_rotation(series(blob(0, 0)[None]), 60.0)


# Normalization


def test_factors_undo_shadowing_and_average_over_elements():
    shadow = np.array([0.5, 0.8, 1.0, 0.7])
    maps = {
        "O": series(200 * shadow[:, None, None] * np.ones((4, 3, 3))),
        "Mn": series(shadow[:, None, None] + np.zeros((4, 3, 3))),
    }
    factors = ts_.normalization_factors(maps)
    assert np.allclose(factors * shadow, (factors * shadow)[0])
    level = ts_.normalize_tilts(maps["O"], factors).images.sum(axis=(1, 2))
    assert np.allclose(level, level.mean())
    assert level.mean() == pytest.approx(maps["O"].images.sum() / 4)  # one element: its mean total is kept
    # Equal weight for each element, whatever its counts.
    other = series(np.array([1.0, 1.0, 1.0, 3.0])[:, None, None] * np.ones((4, 3, 3)))
    both = ts_.normalization_factors([maps["O"], other])
    assert np.allclose(both, (factors + ts_.normalization_factors(other)) / 2)


def test_averaging_over_elements_lowers_the_noise(rng):
    maps = [series(rng.poisson(5, (200, 4, 4)), name) for name in ("O", "Mn", "Co", "Ni")]
    assert ts_.normalization_factors(maps).std() < 0.7 * ts_.normalization_factors(maps[0]).std()


def test_factors_apply_to_spectra_lazily():
    counts = da.ones((2, 3, 3, 5), dtype=np.uint16, chunks=(1, 3, 3, 5))
    result = ts_.normalize_tilts(spectra(counts), [1.0, 2.0]).counts
    assert isinstance(result, da.Array)
    assert np.allclose(result[1].compute(), 2)


def test_bad_totals_and_factors_are_refused():
    images = np.ones((2, 3, 3))
    with pytest.raises(ValueError, match="total of Mn: expected a positive sum at every tilt, got 0 at 10 deg"):
        ts_.normalization_factors([series(images * [[[1]], [[0]]], "Mn")])
    with pytest.raises(ValueError, match="tilt_angles_deg of Mn"):
        ts_.normalization_factors([series(images, "O"), series(images[:1], "Mn")])
    with pytest.raises(ValueError, match="at least one series"):
        ts_.normalization_factors({})
    with pytest.raises(ValueError, match="factors: expected a finite number above zero"):
        ts_.normalize_tilts(series(images), [1.0, np.nan])


def test_selection_keeps_angles_and_images_together():
    images = np.arange(3.0)[:, None, None] * np.ones((3, 2, 2))
    kept = ts_.select_tilts(series(images), [False, True, True])
    assert kept.tilt_angles_deg.tolist() == [10, 20]
    assert kept.images[0, 0, 0] == 1
    with pytest.raises(ValueError, match="at least one tilt"):
        ts_.select_tilts(series(images), [False] * 3)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_every_element_of_a_mapping_is_treated_alike(rng):
    maps = {name: series(rng.normal(size=(2, 8, 8)), name) for name in ("Mn", "Co")}
    masks = rng.random((2, 8, 8)) > 0.5
    for together, alone in (
        (ts_.apply_shifts(maps, [[1.5, 0], [0, 2]]), lambda m: ts_.apply_shifts(m, [[1.5, 0], [0, 2]])),
        (ts_.apply_rotation(maps, 3.0), lambda m: ts_.apply_rotation(m, 3.0)),
        (ts_.apply_masks(maps, masks), lambda m: ts_.apply_masks(m, masks)),
        (ts_.normalize_tilts(maps, [1, 2]), lambda m: ts_.normalize_tilts(m, [1, 2])),
    ):
        assert [m.label for m in together.values()] == ["Mn", "Co"]
        for name in maps:
            assert np.array_equal(together[name].images, alone(maps[name]).images)
    with pytest.raises(ValueError, match="mapping: expected at least one element"):
        ts_.apply_shifts({}, [[0, 0]])


# Bins


@pytest.mark.parametrize("lazy", [False, True])
def test_bins_keep_all_counts_and_where_they_are(rng, lazy):
    counts = rng.integers(0, 200, (3, 4, 6, 5)).astype(np.uint8)
    binned = ts_.bin_pixels(spectra(da.from_array(counts) if lazy else counts), 2)
    assert hasattr(binned.counts, "dask") is lazy
    values = np.asarray(binned.counts)
    assert values[1, 0, 2, 3] == counts[1, 0:2, 4:6, 3].sum(dtype=float), "more than a byte can hold"
    np.testing.assert_array_equal(values.sum(axis=(1, 2)), counts.sum(axis=(1, 2), dtype=float))
    assert binned.pixel_size_nm == 2 * 4.63
    with pytest.raises(ValueError, match="n: expected a divisor of 4 and of 6 pixels, got 4"):
        ts_.bin_pixels(spectra(counts), 4)
