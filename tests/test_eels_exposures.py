"""The check for beam damage, on exposures whose change is known."""

import numpy as np
import pytest

from tritomo_helpers import eels

LOW_EV, CORE_EV = np.arange(-12.0, 12.0, 0.3), np.arange(620.0, 720.0, 0.3)
CENTERS_EV = (643.0, 690.0, 705.0)


def exposures(change, *, seed=0, drift_ev=1.5, brighter=0.1, move_px=((0, 0), (1, 0), (1, -2))):
    """Three scans of a disc with one peak that changes from scan to scan, on a moving axis and in a moving place."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((28, 28)) - 14
    adf, low, core = [], [], []
    for index, (dy, dx) in enumerate(move_px):
        matter = np.clip(11 - np.hypot(y - dy, x - dx), 0, 1) * (1 + brighter * index)
        drift = rng.uniform(-drift_ev, drift_ev, (28, 28, 1))
        peak = 400 * (1 + change * index / 2) * np.exp(-(((CORE_EV - drift - CENTERS_EV[0]) / 1.5) ** 2))
        core.append(rng.poisson(matter[..., None] * (peak + 150)))
        low.append(1e4 * np.exp(-(((LOW_EV - drift) / 0.8) ** 2)))
        adf.append(1e6 * matter)
    axes = {"core_loss_energy_ev": CORE_EV, "low_loss_energy_ev": LOW_EV}
    return (np.stack(core), np.stack(low), np.stack(adf)), axes


@pytest.mark.parametrize("change", [0.0, -0.06, 0.06])
def test_a_known_change_is_found_with_its_sign_and_its_error(change):
    stacks, axes = exposures(change)
    found = eels.compare_exposures(*stacks, **axes, centers_ev=CENTERS_EV)
    assert found.change[0] == pytest.approx(change, abs=4 * found.standard_error[0])
    assert found.standard_error[0] < 0.015, "a change of 6 % would not be seen otherwise"


@pytest.mark.parametrize("brighter", [0.1, 0.75])
def test_scatter_is_counting_noise_where_nothing_changed(brighter):
    stacks, axes = exposures(0.0, seed=1, brighter=brighter)
    found = eels.compare_exposures(*stacks, **axes, centers_ev=CENTERS_EV)
    n = found.on_particle.sum()
    scatter = np.nanstd(found.over_noise, axis=(1, 2))
    assert scatter == pytest.approx(1, abs=4 / np.sqrt(2 * n))
    assert found.over_noise.shape == (3, 28, 28)
    assert np.isnan(found.over_noise[:, ~found.on_particle]).all()


def test_drift_that_is_not_seen_looks_like_a_change_of_single_pixels():
    (core, low, adf), axes = exposures(0.0, drift_ev=3.0)
    found = eels.compare_exposures(core, np.broadcast_to(low[0, :1, :1], low.shape), adf, **axes, centers_ev=CENTERS_EV)
    assert np.nanstd(found.over_noise[0]) > 1.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda core, low, adf: (core[:1], low[:1], adf[:1]), "adf: expected at least two exposures"),
        (lambda core, low, adf: (core[..., 1:], low, adf), "core_loss: expected .* give one spectrum per pixel"),
        (lambda core, low, adf: (core, low[:, 1:], adf), "low_loss: expected .* give one spectrum per pixel"),
        (lambda core, low, adf: (core, low, np.zeros_like(adf)), "adf: expected a particle in all exposures"),
    ],
)
def test_bad_input(change, words):
    stacks, axes = exposures(0.0)
    with pytest.raises(ValueError, match=words):
        eels.compare_exposures(*change(*stacks), **axes, centers_ev=CENTERS_EV)
