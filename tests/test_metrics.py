"""Scores against cases with a known answer, and against data that must fail them."""

import numpy as np
import pytest
from scipy import ndimage, stats

from tritomo_helpers import metrics


def ball(n=40, radius=11.3, fine=5):
    axis = (np.arange(n * fine) + 0.5) / fine - 0.5 - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    return (z**2 + y**2 + x**2 < radius**2).reshape(n, fine, n, fine, n, fine).mean(axis=(1, 3, 5))


def test_nrmse_is_zero_one_and_masked():
    truth = np.array([1.0, 2.0, 2.0])
    assert metrics.nrmse(truth, truth) == 0
    assert metrics.nrmse(np.zeros(3), truth) == 1
    assert metrics.nrmse([1.0, 2.0, 99.0], truth, mask=[True, True, False]) == 0
    with pytest.raises(ValueError, match="x inside the mask: expected finite"):
        metrics.nrmse([np.nan, 2, 2], truth)
    with pytest.raises(ValueError, match="expected a value other than zero"):
        metrics.nrmse(truth, truth, mask=np.zeros(3, bool))
    with pytest.raises(ValueError, match="expected shape"):
        metrics.nrmse([1.0], truth)


def test_dice_of_shifted_boxes():
    a, b = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    a[2:6, 2:6], b[3:7, 2:6] = True, True
    assert metrics.dice(a, b) == pytest.approx(0.75)
    assert metrics.dice(a, ~a) == 0
    with pytest.raises(ValueError, match="two empty masks"):
        metrics.dice(np.zeros(3), np.zeros(3))


def test_amplitude_r_factor_is_blind_to_phase():
    k = np.array([3 + 4j, 1j])
    assert metrics.r_factor(k * 1j, k) == 0
    assert metrics.r_factor(k * 1j, k, convention="difference") == pytest.approx(np.sqrt(2))
    rng = np.random.default_rng(1)
    f = k + rng.standard_normal(2)
    assert metrics.r_factor(f, k) <= metrics.r_factor(f, k, convention="difference")
    with pytest.raises(ValueError, match="convention"):
        metrics.r_factor(k, k, convention="other")
    with pytest.raises(ValueError, match="only zeros"):
        metrics.r_factor(k, 0 * k)


def test_free_mask_is_seeded():
    masks = [metrics.free_mask((50, 40), rng=np.random.default_rng(s)) for s in (1, 1, 2)]
    assert masks[0].sum() == 100
    np.testing.assert_array_equal(masks[0], masks[1])
    assert np.any(masks[0] != masks[2])
    with pytest.raises(ValueError, match="fraction"):
        metrics.free_mask(10, rng=np.random.default_rng(1), fraction=1.0)


def test_thinned_counts_are_independent_and_poisson():
    counts = np.random.default_rng(1).poisson(8.0, 200_000)
    first, second = metrics.thin_counts(counts, rng=np.random.default_rng(2), fraction=0.25)
    np.testing.assert_array_equal(first + second, counts)
    assert first.mean() == pytest.approx(2.0, abs=0.02)
    assert first.var() == pytest.approx(2.0, abs=0.04)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    halves = counts // 2  # split without drawing: not independent
    assert np.corrcoef(halves, counts - halves)[0, 1] > 0.9
    with pytest.raises(ValueError, match="whole numbers"):
        metrics.thin_counts([0.5], rng=np.random.default_rng(1))


def test_poisson_deviance_is_one_where_the_model_is_right():
    mean = np.full(100_000, 20.0)
    counts = np.random.default_rng(3).poisson(mean)
    assert metrics.poisson_deviance(mean, counts) == pytest.approx(1.0, abs=0.03)
    assert metrics.poisson_deviance(1.3 * mean, counts) > 2
    assert metrics.poisson_deviance([0.0], [1.0]) == np.inf


def test_fsc_finds_where_noise_takes_over():
    rng = np.random.default_rng(4)
    signal = ndimage.gaussian_filter(rng.standard_normal((32, 32, 32)), 2, mode="wrap")
    halves = [signal + 0.3 * signal.std() * rng.standard_normal(signal.shape) for _ in range(2)]
    shells = metrics.fsc(*halves, voxel_size_nm=4.63)
    assert shells.correlation[0] > 0.95
    assert abs(shells.correlation[-4:]).max() < 0.12
    assert shells.frequency_per_nm[-1] == pytest.approx(1 / (2 * 4.63))
    # signal power exp(-(2 pi k 2)^2) is all but gone at a period of 3 to 8 voxels
    assert 3 * 4.63 < shells.resolution_nm() < 10 * 4.63
    unrelated = metrics.fsc(rng.standard_normal(signal.shape), halves[0], voxel_size_nm=4.63)
    assert abs(unrelated.correlation[4:]).max() < 0.12


def test_fsc_along_one_axis_sees_blur_along_it():
    volume = np.random.default_rng(5).standard_normal((24, 24, 24))
    noise = np.random.default_rng(6).standard_normal((2, 24, 24, 24))
    blurred = [ndimage.gaussian_filter1d(volume, 2.5, axis=0, mode="wrap") + 0.1 * n for n in noise]
    along = metrics.fsc(*blurred, voxel_size_nm=1.0, axis=0).correlation[8:].mean()
    across = metrics.fsc(*blurred, voxel_size_nm=1.0, axis=2).correlation[8:].mean()
    assert along < 0.3
    assert across > 0.6


def test_fsc_along_one_axis_counts_what_lies_within_30_degrees_of_it():
    volume, other = np.random.default_rng(7).standard_normal((2, 23, 23, 23))
    z, y, x = np.meshgrid(*[np.fft.fftfreq(23)] * 3, indexing="ij")
    angle = np.rad2deg(np.arctan2(np.hypot(y, x), np.abs(z)))
    for replaced, alike in ((angle > 30.01, True), (angle > 27, False)):
        mixed = np.fft.ifftn(np.where(replaced, np.fft.fftn(other), np.fft.fftn(volume))).real
        correlation = metrics.fsc(volume, mixed, voxel_size_nm=1.0, axis=0).correlation
        assert (correlation.min() > 1 - 1e-9) == alike


def test_poisson_deviance_is_twice_the_logarithm_of_a_likelihood_ratio():
    expected, counts = np.array([3.0, 0.5, 7.0]), np.array([2, 0, 11])
    logarithm = stats.poisson.logpmf(counts, counts) - stats.poisson.logpmf(counts, expected)
    assert metrics.poisson_deviance(expected, counts) == pytest.approx(2 * logarithm.mean(), rel=1e-12)


def test_edge_width_of_a_blurred_ball():
    sharp = ball()
    sigma = 2.0
    blurred = ndimage.gaussian_filter1d(sharp, sigma, axis=0)
    # 10 to 90 % of an error function spans 2.563 sigma; a slightly tilted surface widens it
    assert metrics.edge_width(blurred, axis=0, voxel_size_nm=1.0, radius=0.3) == pytest.approx(2.563 * sigma, rel=0.06)
    assert metrics.edge_width(blurred, axis=2, voxel_size_nm=1.0) < 0.5 * 2.563 * sigma
    assert metrics.edge_width(sharp, axis=0, voxel_size_nm=4.63, radius=0.3) < 1.7 * 4.63
    with pytest.raises(ValueError, match="a particle on an empty ground"):
        metrics.edge_width(np.ones((5, 5, 5)), axis=0, voxel_size_nm=1.0)


def test_bootstrap_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        low, high = metrics.bootstrap_interval(rng.standard_normal(60), rng=rng, n_resamples=300)
        hits += low < 0 < high
    assert 0.87 < hits / 200 < 0.99
    with pytest.raises(ValueError, match="two or more"):
        metrics.bootstrap_interval([1.0], rng=rng)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_differences_of_counts_do_not_wrap(dtype):
    calculated, measured = np.array([10, 20], dtype), np.array([12, 18], dtype)
    for convention in ("amplitude", "difference"):
        assert metrics.r_factor(calculated, measured, convention=convention) == pytest.approx(4 / 30)


def test_what_is_not_measured_is_not_inside_a_mask():
    mask = np.array([1.0, np.nan, 0.0])
    assert metrics.nrmse([1.0, 99.0, 99.0], [1.0, 2.0, 3.0], mask=mask) == 0
    assert metrics.dice(mask, [True, False, False]) == 1
