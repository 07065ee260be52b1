"""Drift, neighborhood filter and deconvolution of dual EELS."""

from functools import cache

import numpy as np
import pytest

from tritomo_helpers import eels
from tritomo_helpers.containers import SpectrumTiltSeries
from tritomo_helpers.spectroscopy import continuum, references

STEP = 0.15
LOW = -30 + STEP * np.arange(2048)
CORE = 600 + STEP * np.arange(1112)
BUILT_FROM, N = 300.0, 8192


@cache
def plasmon():
    """Fourier transform of one loss (Drude, 23 eV)."""
    e = STEP * np.arange(4000)
    shape = e / ((e**2 - 23**2) ** 2 + (14 * e) ** 2) * np.exp(-e / 150)
    return np.fft.rfft(shape / shape.sum(), N)


def transfer(thickness, drift_ev=0.0):
    """Fourier transform of zero loss and plural plasmons, as Poisson statistics wants it."""
    f = np.fft.rfftfreq(N, STEP)
    zero_loss = np.exp(-((np.pi * f) ** 2) / (4 * np.log(2)))
    return zero_loss * np.exp(thickness * (plasmon() - 1) - 2j * np.pi * f * drift_ev)


def low_loss(thickness, drift_ev=0.0):
    shifted = np.exp(-2j * np.pi * np.fft.rfftfreq(N, STEP) * 30)
    return np.fft.irfft(transfer(thickness, drift_ev) * shifted, N)[: LOW.size]


@cache
def single_edge(state="Mn4"):
    energy = BUILT_FROM + STEP * np.arange(6000)
    mn = references.load("Mn")
    lines = dict(zip(mn.states, mn.on(energy), strict=True))[state]
    return continuum("Mn L", energy) + references.white_line_cross_section("Mn") * lines


@cache
def single_edge_components():
    return np.fft.rfft(single_edge(), N)


def core_part(spectrum):
    return spectrum[2000 : 2000 + CORE.size]


def plural_edge(thickness, drift_ev=0.0):
    return core_part(np.fft.irfft(single_edge_components() * transfer(thickness, drift_ev), N))


# --- drift -----------------------------------------------------------------------------------------------------------
def noisy_scan(rng, n_tilts=2, shape=(6, 8), electrons=187_000):
    drift = rng.normal(0, 0.4, (n_tilts, *shape))
    thickness = rng.uniform(0, 1.5, drift.shape)
    low = np.array([low_loss(t, d) for t, d in zip(thickness.ravel(), drift.ravel(), strict=True)])
    low = rng.poisson(electrons * np.maximum(low, 0)) + np.rint(rng.normal(0, 1, low.shape)).astype(int)
    core = np.array([1e-2 * plural_edge(t, d) for t, d in zip(thickness.ravel(), drift.ravel(), strict=True)])
    angles = np.arange(n_tilts) * 10.0
    return (
        SpectrumTiltSeries(low.reshape(*drift.shape, -1).astype(np.int32), angles, LOW, 1.0),
        SpectrumTiltSeries((1e3 * core).reshape(*drift.shape, -1).astype(np.int16), angles, CORE, 1.0),
        drift,
    )


def test_the_zero_loss_is_found_to_a_few_millielectronvolt():
    low, core, drift = noisy_scan(np.random.default_rng(0))
    aligned_low, aligned_core, found = eels.align_zero_loss(low, core)
    error = found - drift
    assert error.std() < 3e-3
    assert np.abs(error).max() < 15e-3
    # What remains in the aligned series is the fraction of a channel, with the sign of the drift.
    rest = eels.zero_loss_center(aligned_low.counts, aligned_low.energy_ev)
    np.testing.assert_allclose(rest, drift - STEP * np.round(found / STEP), atol=15e-3)
    # The other range went along: the white line, smeared by drift before, is where it belongs.
    peak = aligned_core.energy_ev[aligned_core.counts.argmax(axis=-1)] - rest
    assert np.ptp(peak) < 2 * STEP
    assert np.ptp(core.energy_ev[core.counts.argmax(axis=-1)]) > 5 * STEP


def test_counts_stay_counts_and_axes_say_what_was_cropped():
    low, core, _ = noisy_scan(np.random.default_rng(1), n_tilts=1)
    _, aligned_core, found = eels.align_zero_loss(low, core)
    assert aligned_core.counts.dtype == np.int16
    k = np.round(found / STEP).astype(int)
    assert aligned_core.energy_ev.size == CORE.size - (max(k.max(), 0) - min(k.min(), 0))
    first = np.flatnonzero(aligned_core.energy_ev[0] == CORE)[0]
    for y, x in ((0, 0), (3, 5)):
        expected = core.counts[0, y, x][first + k[0, y, x] :][: aligned_core.energy_ev.size]
        np.testing.assert_array_equal(aligned_core.counts[0, y, x], expected)


def test_lazy_and_mapped_scans_align_alike(tmp_path):
    import dask.array as da

    low, core, _ = noisy_scan(np.random.default_rng(2))
    expected = eels.align_zero_loss(low, core)
    lazy = [s.replace(counts=da.from_array(s.counts, chunks=(1, 4, -1, 500))) for s in (low, core)]
    mapped = []
    for name, s in (("low", low), ("core", core)):
        file = np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", s.counts.dtype, s.counts.shape)
        file[...] = s.counts
        mapped.append(s.replace(counts=file))
    for pair in (lazy, mapped):
        found = eels.align_zero_loss(*pair)
        assert hasattr(found[0].counts, "dask")
        np.testing.assert_array_equal(found[2], expected[2])
        for ours, theirs in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(np.asarray(ours.counts), theirs.counts)


def test_a_few_dead_pixels_follow_the_median_and_many_are_an_error():
    low, core, _ = noisy_scan(np.random.default_rng(3), n_tilts=1)
    counts = np.array(low.counts)
    counts[0, 0, 0] = 0
    _, _, drift = eels.align_zero_loss(low.replace(counts=counts), core)
    assert np.isnan(drift).sum() == 1
    counts[0, :3] = 0
    with pytest.raises(ValueError, match="a zero-loss peak on the axis"):
        eels.align_zero_loss(low.replace(counts=counts), core)


# --- neighborhood ----------------------------------------------------------------------------------------------------
def test_the_plain_mean_is_that_of_scipy_inside_and_of_what_exists_at_the_rim():
    from scipy.ndimage import uniform_filter

    counts = np.random.default_rng(0).random((2, 7, 6, 3))
    found = eels.filter_neighbors(SpectrumTiltSeries(counts, [0, 1], [0.0, 1, 2], 1.0)).counts
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], uniform_filter(counts, (1, 3, 3, 1))[:, 1:-1, 1:-1], rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 0], counts[0, :2, :2].mean(axis=(0, 1)), rtol=1e-6)


def test_weights_keep_vacuum_out_of_the_low_loss_of_an_edge_pixel():
    thickness = np.where(np.arange(6) < 3, 1.2, 0.0) * np.ones((1, 5, 6))
    kinds = {t: low_loss(t) for t in (0.0, 1.2)}
    low = SpectrumTiltSeries(np.stack([[[kinds[float(t)] for t in row] for row in thickness[0]]]), [0], LOW, 1.0)
    measured = eels.relative_thickness(low.counts, LOW)
    plain, weighted = (
        eels.relative_thickness(eels.filter_neighbors(low, weights=w).counts, LOW)[0, 2, 2]
        for w in (None, np.maximum(measured, 0))
    )
    assert plain < 0.75 * measured[0, 2, 2]
    assert weighted == pytest.approx(measured[0, 2, 2], rel=0.02)


# --- deconvolution ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("thickness", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("drift_ev", [0.0, 0.06])
def test_plural_scattering_and_drift_are_taken_out(thickness, drift_ev):
    truth = eels.low_pass(core_part(single_edge()), dispersion_ev=STEP, cutoff_per_ev=0.36)
    found = eels.fourier_ratio(
        plural_edge(thickness, drift_ev),
        low_loss(thickness, drift_ev),
        dispersion_ev=STEP,
        cutoff_per_ev=0.36,
        zero_channel=200,
        incident_counts=1.0,
    )
    assert np.abs(found - truth).max() < 0.01 * truth.max()
    assert found.sum() == pytest.approx(truth.sum(), rel=0.01)
    # Nothing else comes close: the plural edge itself, and one that keeps exp(-t/lambda).
    assert np.abs(plural_edge(thickness) - truth).max() > 0.1 * truth.max()
    assert abs(np.exp(-thickness) - 1) > 0.2


def test_without_a_zero_channel_the_edge_keeps_its_drift():
    options = {"dispersion_ev": STEP, "cutoff_per_ev": 0.36}
    found = eels.fourier_ratio(plural_edge(0.8, 0.3), low_loss(0.8, 0.3), **options)
    unmoved = eels.fourier_ratio(plural_edge(0.8), low_loss(0.8), **options)
    np.testing.assert_allclose(found[:-50], np.interp(CORE - 0.3, CORE, unmoved)[:-50], atol=0.01 * unmoved.max())


def test_a_low_loss_without_a_zero_loss_peak_is_refused_or_divided_by_where_it_is_said_to_be():
    """eXSpy's case: a ramp, and a low loss that is one broad Gaussian."""
    ramp, energy = np.arange(200.0), np.arange(200.0)
    low = 50 / (10 * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((energy - 20) / 10) ** 2)
    options = {"dispersion_ev": 1.0, "cutoff_per_ev": 0.02}
    assert np.isnan(eels.fourier_ratio(ramp, low, **options)).all()
    found = eels.fourier_ratio(ramp, low, zero_channel=20.0, incident_counts=low.sum(), **options)
    np.testing.assert_allclose(found[30:170], ramp[30:170], atol=3)  # what is symmetric leaves a ramp alone
    noisy = eels.fourier_ratio(ramp, low, zero_channel=20.0, dispersion_ev=1.0, cutoff_per_ev=0.36)
    assert np.abs(noisy).max() < 5 * ramp.max()


def test_low_pass_of_a_sine_is_the_sine_below_and_nothing_above_the_cutoff():
    window = np.exp(-(((CORE - 680) / 20) ** 2))
    for frequency, share in ((0.25, 1.0), (0.40, 0.0)):
        wave = window * np.cos(2 * np.pi * frequency * (CORE - 680))
        found = eels.low_pass(wave, dispersion_ev=STEP, cutoff_per_ev=0.36)
        np.testing.assert_allclose(found, share * wave, atol=0.01)


def test_every_noisy_spectrum_runs_and_unusable_ones_are_nan():
    rng = np.random.default_rng(0)
    thickness = rng.uniform(0, 3, 64)
    edges = rng.poisson(5 + np.array([0.05 * plural_edge(t) for t in thickness])) - 5.0
    low = rng.poisson(2e4 * np.maximum([low_loss(t) for t in thickness], 0))
    found = eels.fourier_ratio(edges, low, dispersion_ev=STEP, cutoff_per_ev=0.36)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 100 * edges.max()
    edges[0, 5], low = np.nan, np.where(np.arange(64)[:, None] == 1, 0, low)
    found = eels.fourier_ratio(edges, low, dispersion_ev=STEP, cutoff_per_ev=0.36)
    assert np.isnan(found).all(axis=1).tolist() == [True, True] + 62 * [False]


def test_deconvolved_edges_add_up_along_a_projection():
    """Twice the atoms at twice the thickness give twice the edge."""
    options = {"dispersion_ev": STEP, "cutoff_per_ev": 0.36, "incident_counts": 1.0}
    thin = eels.fourier_ratio(plural_edge(0.7), low_loss(0.7), **options)
    thick = eels.fourier_ratio(2 * plural_edge(1.4), low_loss(1.4), **options)
    np.testing.assert_allclose(thick, 2 * thin, atol=0.02 * thin.max())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: eels.align_zero_loss(np.ones((2, 9)), np.ones((2, 9))), "the energy axis of an array"),
        (
            lambda: eels.align_zero_loss(
                np.ones((2, 9)), np.ones((3, 9)), low_loss_ev=np.arange(9), core_loss_ev=np.arange(9)
            ),
            "both ranges from one scan",
        ),
        (
            lambda: eels.align_zero_loss(
                np.ones((2, 9)), np.ones((2, 9)), low_loss_ev=np.arange(9), core_loss_ev=np.arange(9) * 2
            ),
            "the same for low loss and core loss, got 1 and 2 eV",
        ),
        (
            lambda: eels.align_zero_loss(
                np.ones((2, 9)), np.ones((2, 9)), low_loss_ev=np.arange(9), core_loss_ev=np.arange(9) ** 2
            ),
            "evenly spaced",
        ),
        (
            lambda: eels.fourier_ratio(np.ones((2, 9)), np.ones((3, 9)), dispersion_ev=1.0, cutoff_per_ev=0.3),
            "one low loss per edge",
        ),
        (lambda: eels.fourier_ratio(np.ones(9), np.ones(9), dispersion_ev=0, cutoff_per_ev=0.3), "width of a channel"),
        (lambda: eels.low_pass(np.ones(9), dispersion_ev=1, cutoff_per_ev=-1), "cutoff frequency in 1/eV"),
        (
            lambda: eels.filter_neighbors(SpectrumTiltSeries(np.ones((1, 2, 2, 2)), [0], [0, 1], 1.0), size_px=2),
            "an odd number",
        ),
        (
            lambda: eels.filter_neighbors(
                SpectrumTiltSeries(np.ones((1, 2, 2, 2)), [0], [0, 1], 1.0), weights=-np.ones((1, 2, 2))
            ),
            "clip t/lambda",
        ),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_scattering_an_edge_is_undone_by_deconvolution():
    energy, low_ev = 700 + 0.15 * np.arange(1300), -30 + 0.15 * np.arange(1300)
    low = np.exp(-((low_ev / 0.6) ** 2)) + 0.05 * np.exp(-(((low_ev - 23) / 8) ** 2))
    result = eels.scattered_edge("Mn L1", energy, low, low_ev)
    options = {"dispersion_ev": 0.15, "cutoff_per_ev": 0.36}
    single = eels.low_pass(eels.continuum("Mn L1", energy), **options)
    back = eels.fourier_ratio(result, low, zero_channel=200, **options)
    assert np.abs(back - single)[:-200].max() < 0.01 * single.max()
    # A low loss read backward would bring counts below the onset.
    assert np.abs(result[energy < 760]).max() < 1e-3 * result.max()
    with pytest.raises(ValueError, match="an axis on which Mn L1 begins"):
        eels.scattered_edge("Mn L1", energy + 200, low, low_ev)
    with pytest.raises(ValueError, match="the same for low loss and core loss"):
        eels.scattered_edge("Mn L1", energy, low, 2 * low_ev)
