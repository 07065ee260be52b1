"""One tilt at the dose of the paper: what its sums and pixels are off by, in units of what counting allows."""

from dataclasses import replace

import numpy as np
import pytest

from tritomo_helpers import phantoms, simulation, valence

STATES = ("Mn4", "Mn3", "Mn2", "Co3")
SETTINGS = simulation.Acquisition(
    signals=("eels",),
    tilt_angles_deg=(0.0,),
    scan_shape=(32, 32),
    pixel_size_nm=9.26,
    misalignment_px=0.0,
    drift_nm=0.0,
    tilt_error_deg=0.0,
    axis_rotation_deg=0.0,
    repeats=False,
)


def one_tilt(particle, seed, expected=None):
    """Maps of one noisy tilt, and what they are without noise, with the covariance of the true mean spectra."""
    specimen = phantoms.particle(particle, shape=32)
    got = simulation.acquire(specimen, SETTINGS, rng=np.random.default_rng(seed))
    found = valence.fit_spectra(got.core_loss, got.low_loss, references="crystal-field", calibrate=False)
    return found, valence.expected_maps(specimen, SETTINGS) if expected is None else expected


def z_of_sums(found, expected):
    """Percentages of the particle minus the truth, in standard deviations of the Fisher matrix."""
    measured, true = (maps.particle_percentages() for maps in (found, expected))
    return np.array([(measured[s][0] - true[s][0]) / true[s][1] for s in STATES])


@pytest.fixture(scope="module")
def cycled():
    return one_tilt("cycled-200-1", seed=4)


def test_sums_are_within_three_standard_deviations_of_the_fisher_matrix(cycled):
    assert np.abs(z_of_sums(*cycled)).max() < 3
    # The fit claims what the true mean spectra allow, no more and no less.
    claimed, allowed = ([maps.particle_percentages()[s][1] for s in STATES] for maps in cycled)
    assert claimed == pytest.approx(allowed, rel=0.05)


def test_amplitudes_reach_the_bound_and_their_errors_are_as_claimed(cycled):
    found, expected = cycled
    inside = expected.thickness.images > 0.2
    error = np.stack(
        [found.amplitudes[s].images - expected.amplitudes[s].images for s in expected.amplitudes], axis=-1
    )[inside]
    claimed, allowed = (maps.covariance[inside].astype(float) for maps in cycled)
    z = np.linalg.solve(np.linalg.cholesky(claimed), error[..., None])[..., 0]
    assert z.size > 2000
    assert 0.95 < z.std() < 1.05
    # The Cramér-Rao bound of each amplitude, when all others are unknown too.
    bound = np.sqrt(np.diagonal(allowed, axis1=-2, axis2=-1))
    over = np.sqrt(np.mean((error / bound) ** 2, axis=0))
    assert over.max() < 1.1, dict(zip(expected.amplitudes, over, strict=True))
    assert over.min() > 0.9


@pytest.mark.acceptance
@pytest.mark.parametrize("particle", ["pristine-1", "cycled-200-1"])
def test_sums_of_repeats_scatter_as_the_fisher_matrix_says(particle):
    first, expected = one_tilt(particle, seed=10)
    z = [z_of_sums(first, expected)]
    z += [z_of_sums(*one_tilt(particle, seed, expected)) for seed in range(11, 18)]
    # 32 numbers, of which those of an element hang together: their root mean square is known to a fifth.
    assert 0.6 < np.sqrt(np.mean(np.square(z))) < 1.4
    # Chance alone takes one of 32 beyond three standard deviations in eight of a hundred runs.
    assert np.count_nonzero(np.abs(z) > 3) <= 1
    assert np.abs(np.mean(z, axis=0)).max() < 3 / np.sqrt(8)


@pytest.mark.acceptance
def test_only_the_counts_of_the_core_loss_move_the_sums():
    """With the core loss free of noise nothing is left; a low loss free of noise, the true kernel, changes nothing."""
    specimen = phantoms.particle("pristine-1", shape=32)
    silent = replace(SETTINGS, eels=replace(SETTINGS.eels, counting_noise=False, readout_noise=0.0))
    # The seed whose Co3+ is more than three standard deviations off.
    noisy, quiet = (simulation.acquire(specimen, scan, rng=np.random.default_rng(10)) for scan in (SETTINGS, silent))
    expected = valence.expected_maps(specimen, SETTINGS)

    def z(core, low):
        noise = {"variance_per_count": 1.0, "readout_variance": 1.0}
        return z_of_sums(valence.fit_spectra(core, low, references="crystal-field", calibrate=False, **noise), expected)

    measured = z(noisy.core_loss, noisy.low_loss)
    assert np.abs(measured).max() > 3
    assert z(noisy.core_loss, quiet.low_loss) == pytest.approx(measured, abs=0.15)
    assert z(quiet.core_loss, noisy.low_loss) == pytest.approx(np.zeros(4), abs=0.3)


@pytest.mark.acceptance
@pytest.mark.parametrize("particle", ["pristine-1", "cycled-200-1"])
def test_sums_of_many_draws_of_one_image_are_as_far_off_as_the_fisher_matrix_says(particle):
    specimen = phantoms.particle(particle, shape=32)
    silent = replace(SETTINGS, eels=replace(SETTINGS.eels, counting_noise=False, readout_noise=0.0))
    got = simulation.acquire(specimen, silent, rng=np.random.default_rng(3))
    expected = valence.expected_maps(specimen, SETTINGS)
    z = []
    for draw in range(16):
        rng = np.random.default_rng([77, draw])
        counts = rng.poisson(got.core_loss.counts).astype(np.float32)
        counts += SETTINGS.eels.readout_noise * rng.standard_normal(counts.shape, dtype=np.float32)
        core = got.core_loss.replace(counts=np.rint(counts))
        found = valence.fit_spectra(core, got.low_loss, references="crystal-field", calibrate=False)
        z.append(z_of_sums(found, expected))
    # 64 numbers, about half of them independent: their root mean square is known to an eighth.
    assert 0.65 < np.sqrt(np.mean(np.square(z))) < 1.35
    assert np.count_nonzero(np.abs(z) > 3) <= 1
