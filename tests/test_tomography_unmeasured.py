"""What was not measured weighs nothing: NaN, dead pixels, masked arrays, missing tilts, and weights given outright."""

import numpy as np
import pytest

from tritomo_helpers import alignment, metrics, tilt_series, tomography
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries
from tritomo_helpers.projection import Projector

ANGLES = np.arange(-70.0, 71.0, 10.0)
QUICK = {
    "wbp": {},
    "sirt": {"n_iterations": 40},
    "sart": {"n_iterations": 20},
    "cgls": {"n_iterations": 12},
    "genfire": {"oversampling": 2, "n_iterations": 100},
    "tv": {"weight": 2e-3, "supersampling": 1, "n_iterations": 20},
}


@pytest.fixture(scope="module")
def truth():
    volume = np.zeros((20, 12, 20), dtype=np.float32)
    volume[5:13, 3:9, 7:15] = 1.0
    volume[10:15, 5:10, 4:10] = 0.6
    return volume


@pytest.fixture(scope="module")
def series(truth):
    return TiltSeries(Projector(ANGLES, (20, 20)).forward(truth), ANGLES, 4.63, "ADF")


@pytest.fixture(scope="module")
def dead():
    """3 % of the pixels, at every tilt others."""
    return np.random.default_rng(1).random((15, 12, 20)) < 0.03


def volume(series, method, **options):
    return tomography.reconstruct(series, method=method, **QUICK[method], **options).tomogram.values


@pytest.mark.parametrize("method", tomography.METHODS)
def test_hot_pixels_weigh_nothing_in_any_method(method, truth, series, dead):
    hot = np.where(dead, 40 * series.images.max(), series.images).astype(np.float32)
    nan = series.replace(images=np.where(dead, np.nan, hot))
    masked = series.replace(images=np.ma.array(hot, mask=dead))
    weighted = {"weights": ~dead}
    whole = metrics.nrmse(volume(series, method), truth)
    found = volume(nan, method)
    assert metrics.nrmse(found, truth) < 1.15 * whole
    np.testing.assert_array_equal(volume(masked, method), found)
    np.testing.assert_array_equal(volume(series.replace(images=hot), method, **weighted), found)
    assert metrics.nrmse(volume(series.replace(images=hot), method), truth) > 2 * whole  # what they do otherwise


@pytest.mark.parametrize("method", tomography.METHODS)
def test_a_missing_tilt_is_left_out(method, series):
    images = series.images.copy()
    images[4] = np.nan
    kept = np.arange(15) != 4
    result = tomography.reconstruct(series.replace(images=images), method=method, **QUICK[method])
    np.testing.assert_array_equal(result.tomogram.values, volume(tilt_series.select_tilts(series, kept), method))
    assert "nothing was measured at -30 deg" in result.notes[0]


def test_methods_that_need_whole_images_say_what_they_filled(series, dead):
    nan = series.replace(images=np.where(dead, np.nan, series.images))
    for method in tomography.METHODS:
        notes = tomography.reconstruct(nan, method=method, **QUICK[method]).notes
        assert notes[0].startswith(f"{dead.sum()} of {dead.size} pixels were not measured")
        assert any("filled from the reprojection" in n for n in notes) == (method in ("wbp", "genfire"))
    halves = np.where(dead, 0.5, 1.0)
    assert "weights other than zero" in tomography.reconstruct(series, method="wbp", weights=halves).notes[0]
    assert tomography.reconstruct(series, method="wbp").notes == ()


@pytest.mark.parametrize("method", ["sirt", "sart", "cgls", "tv"])
def test_weights_by_the_noise_beat_equal_weights_and_only_ratios_count(method, truth, series):
    sd = np.where(np.arange(15)[:, None, None] % 2, 0.2, 4.0) * np.ones(series.images.shape)
    noisy = series.replace(images=series.images + sd * np.random.default_rng(2).standard_normal(sd.shape))
    weighted = volume(noisy, method, weights=sd**-2)
    error = metrics.nrmse(weighted, truth)
    assert error < 0.7 * metrics.nrmse(volume(noisy, method), truth)
    assert error < 0.7 * metrics.nrmse(volume(noisy, method, weights=sd**2), truth)
    np.testing.assert_allclose(volume(noisy, method, weights=512 * sd**-2), weighted, atol=1e-5)


def test_voxels_that_no_measured_pixel_sees_are_nan(series):
    images = series.images.copy()
    images[:, 6] = np.nan
    result = tomography.reconstruct(series.replace(images=images), method="sirt", n_iterations=5)
    assert np.isnan(result.tomogram.values[:, 6]).all()
    assert np.isfinite(np.delete(result.tomogram.values, 6, axis=1)).all()
    assert result.notes[-1] == "400 voxels are seen by no measured pixel: NaN"


def test_choices_and_scores_do_not_see_what_was_not_measured(series, dead):
    rng = np.random.default_rng(3)
    noisy = series.images + 0.3 * rng.standard_normal(series.images.shape)
    scores, stops = [], []
    for value in (-1e3, 1e3):
        damaged = series.replace(images=np.where(dead, value, noisy))
        options = {"method": "sirt", "weights": ~dead}
        scores.append(tomography.held_out_error(damaged, n_folds=1, n_iterations=10, **options))
        stops.append(tomography.reconstruct(damaged, n_folds=1, **options).settings.n_iterations)
    assert scores[0] == scores[1] < 0.3
    assert stops[0] == stops[1]


def test_the_weights_of_each_element_are_its_own(series, dead):
    channels = {"Mn": series, "Co": series}
    both = tomography.reconstruct(channels, method="sirt", n_iterations=5, weights={"Mn": ~dead})
    alone = tomography.reconstruct(series, method="sirt", n_iterations=5)
    np.testing.assert_array_equal(both["Co"].tomogram.values, alone.tomogram.values)
    assert both["Mn"].notes
    assert both["Co"].notes == ()


def test_images_shifted_with_nan_outside_can_be_reconstructed(truth, series):
    shifts = np.random.default_rng(4).integers(-3, 4, (15, 2)).astype(float)
    moved = alignment.apply(series, alignment.Alignment(-shifts, ANGLES))
    back = alignment.apply(moved, alignment.Alignment(shifts, ANGLES), outside="nan")
    assert np.isnan(back.images).any()
    error = metrics.nrmse(volume(back, "sirt"), truth, mask=truth > 0)
    assert error < 1.1 * metrics.nrmse(volume(series, "sirt"), truth, mask=truth > 0)


def test_masked_arrays_keep_what_is_masked():
    images = np.ma.array(np.arange(4, dtype=np.uint16).reshape(1, 2, 2), mask=[[[0, 1], [0, 0]]])
    series = TiltSeries(images, [0.0], 1.0)
    np.testing.assert_array_equal(series.images, [[[0, np.nan], [2, 3]]])
    assert not isinstance(series.images, np.ma.MaskedArray)
    spectra = SpectrumTiltSeries(images[..., None], [0.0], [1.0], 1.0)
    assert np.isnan(spectra.counts[0, 0, 1, 0])
    with pytest.raises(ValueError, match="read-only"):
        series.images[0] = 1


def test_a_support_that_is_not_known_somewhere_is_not_inside_there(series):
    support = np.ones((20, 12, 20))
    support[:, :, :5] = np.nan
    assert not volume(series, "sirt", support=support)[:, :, :5].any()
    masks = (series.images > 0).astype(float)
    masks[:, 2] = np.nan
    hull = tomography.support_from_masks(series.replace(images=masks), margin_px=0)
    assert hull[:, 2].all()  # nothing excludes it
