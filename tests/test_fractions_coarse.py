"""Half the resolution for the choice of settings: the same geometry, the same constant map, the same answer."""

import numpy as np
import pytest

from tests.test_fractions import MEAN, case, sphere_data
from tritomo_helpers.tomography.fractions import Prior, choose_prior, halved, may_be_halved, split_by_fission
from tritomo_helpers.tomography.fractions.coarse import _of_volume
from tritomo_helpers.tomography.fractions.data import Operator


def wave(shape=32):
    """Fractions that vary slowly, along no axis of the grid and about no center of it."""
    z, y, x = np.indices((shape,) * 3) - shape // 2
    departure = 0.05 * np.sin(0.25 * x + 0.1 * z + 0.15 * y + 0.7)
    return MEAN[:, None, None, None] + np.stack([departure, -departure, 0 * departure])


def off(fine_truth, data):
    """Part of the averaged images that the coarse model of averaged fractions leaves unexplained."""
    coarse, _ = halved(data)
    constant = coarse.expected()
    predicted = coarse.expected(np.stack([_of_volume(f) for f in fine_truth])) - constant
    measured = coarse.images - constant
    return np.linalg.norm(predicted - measured) / np.linalg.norm(measured)


def test_half_the_resolution_keeps_axis_sign_and_size():
    data, _ = sphere_data(noise=0.01, shape=32)
    truth = wave()
    data = data.replace(images=data.expected(truth))
    assert off(truth, data) < 0.05
    assert off(truth[..., ::-1], data) > 0.5
    # Half a fine pixel beside the axis is already seen.
    aside = 0.5 * (truth + np.roll(truth, 1, axis=-1))
    assert off(aside, data) > 0.08


def test_noise_of_slow_variations_is_kept():
    data, _ = sphere_data(noise=0.2, shape=32)
    noisy = data.replace(images=data.expected() + 0.2 * np.random.default_rng(2).standard_normal(data.images.shape))
    coarse, _ = halved(noisy)
    departure = (coarse.images - coarse.expected())[0]
    stated = coarse.covariance[0, 0, :, 4:12, 4:12].mean()
    blocks = departure[:, 4:12, 4:12].reshape(15, 2, 4, 2, 4).mean(axis=(2, 4))
    assert blocks.var() * 16 == pytest.approx(stated, rel=0.35)


def test_without_weights_the_operator_is_that_of_weights_of_one():
    data = case()
    ones = data.replace(weights=np.ones_like(data.weights))
    plain, weighted = Operator(data.replace(weights=None)), Operator(ones)
    rng = np.random.default_rng(4)
    modes = rng.standard_normal((*plain.shape[:2], 2, plain.shape[2])).astype(np.float32)
    images = rng.standard_normal(plain.constant.shape).astype(np.float32)
    np.testing.assert_allclose(plain.constant, weighted.constant, rtol=1e-5)
    np.testing.assert_allclose(plain.forward(modes), weighted.forward(modes), atol=1e-4)
    np.testing.assert_allclose(plain.adjoint(images), weighted.adjoint(images), atol=1e-4)


def test_settings_chosen_on_half_the_resolution_are_those_of_the_whole():
    data, _ = sphere_data(noise=0.03, shape=16, state_sd=0.05)
    splits = [split_by_fission(data, rng=np.random.default_rng(3))]
    coarse, coarse_splits = halved(data, splits)
    grid = {"sd": (0.0, 0.02, 0.04, 0.08)}
    start = Prior(sd=0.04, length_nm=14.0)
    whole, half = (
        choose_prior(d, start=start, grid=grid, rng=np.random.default_rng(1), splits=s)
        for d, s in ((data, splits), (coarse, coarse_splits))
    )
    assert half.prior == whole.prior
    assert 0.6 * whole.gain < half.gain < 1.1 * whole.gain


def test_what_cannot_be_halved():
    data, _ = sphere_data(noise=0.1, shape=16)
    assert may_be_halved(data, shortest_length_nm=10)
    assert not may_be_halved(data, shortest_length_nm=9)
    with pytest.raises(ValueError, match=r"data: expected no weights.*To fix: choose the settings on the data"):
        halved(case())
